"""What is parked: sent in order or discarded, in steps, whatever happens meanwhile."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp import maintenance
from calapp.db import transaction
from calapp.deliveries import engine, resend
from calapp.deliveries import maintenance as delivery_maintenance
from calapp.deliveries.models import Delivery, Event, State
from calapp.errors import Conflict
from calapp.webhooks import service as webhooks
from calapp.webhooks.models import OffReason, Webhook
from tests.conftest import on_both_databases
from tests.receiver import Receiver, answer

pytestmark = on_both_databases

GONE = answer("410 Gone")


@pytest.fixture
def settle(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that decides what becomes of the parked; a step is two, four may be due."""
    monkeypatch.setattr(resend, "STEP", 2)
    monkeypatch.setattr(resend, "MOST_DUE", 4)

    def decide(choice: str) -> None:
        with transaction() as session:
            resend.decide(session, session.get_one(Webhook, webhook.id), resend.read_choice(choice))

    return decide


@pytest.fixture
def switch(webhook: Webhook) -> Callable[..., None]:
    """Return a function that switches the webhook as its host does."""

    def to(*, on: bool) -> None:
        with transaction() as session:
            found = session.get_one(Webhook, webhook.id)
            webhooks.switch_on(found) if on else webhooks.switch_off(found, OffReason.HOST)

    return to


@pytest.fixture
def parked_events(happen: Callable[..., Event], switch: Callable[..., None]) -> list[str]:
    """Six events that were parked, of two chains by turns, at a webhook that is on again."""
    switch(on=False)
    uids = [happen(f"chain {n % 2}", sequence=n // 2 + 1).uid for n in range(6)]
    switch(on=True)
    return uids


def states(session: Session) -> list[str]:
    session.rollback()
    return list(session.scalars(select(Delivery.state).order_by(Delivery.id)))


def received(receiver: Receiver, chain: str) -> list[int]:
    """Return the places in their chain of what was received of it."""
    told = [json.loads(request.body)["payload"] for request in receiver.requests]
    return [payload["sequence"] for payload in told if payload["uid"] == chain]


def go_on(deliver: Callable[[], None]) -> None:
    """Let the sweep and the engine work by turns until all is done."""
    for _ in range(5):
        maintenance.continue_parked()
        deliver()


def test_parked_events_are_sent_in_order(parked_events, settle, receiver, deliver, session, webhook) -> None:
    settle("send")
    go_on(deliver)
    assert sorted(request.headers["webhook-id"] for request in receiver.requests) == sorted(parked_events)
    assert [received(receiver, f"chain {n}") for n in range(2)] == [[1, 2, 3]] * 2
    session.refresh(webhook)
    assert webhook.parked_decision is None


def test_a_step_leaves_the_rest_to_the_next(parked_events, settle, session, webhook) -> None:
    settle("send")
    with transaction() as writing:
        assert resend.continue_decision(writing, webhook.id) == 2
    assert states(session) == ["waiting"] * 2 + ["parked"] * 4


def test_no_more_is_sent_than_the_receiver_keeps_up_with(happen, switch, settle, session) -> None:
    switch(on=False)
    for number in range(6):
        happen(f"chain {number}")
    switch(on=True)
    settle("send")
    for _ in range(3):  # nothing is delivered in between
        maintenance.continue_parked()
    assert states(session) == ["waiting"] * 4 + ["parked"] * 2


def test_an_event_that_comes_meanwhile_follows_those_of_its_booking(
    parked_events, settle, happen, receiver, deliver, session
) -> None:
    settle("send")
    happen("chain 0", sequence=4)
    happen("other")
    assert states(session)[-2:] == ["parked", "waiting"]
    go_on(deliver)
    assert received(receiver, "chain 0") == [1, 2, 3, 4]


def test_an_event_that_comes_in_the_last_step_waits_behind_it(
    parked_events, settle, happen, app, session, webhook
) -> None:
    taken = threading.Event()

    def last_step() -> None:
        with app.app_context(), transaction() as writing:
            for _ in range(3):
                resend.continue_decision(writing, webhook.id)
            writing.flush()
            taken.set()
            time.sleep(0.2)

    settle("send")
    with ThreadPoolExecutor(1) as pool:
        step = pool.submit(last_step)
        assert taken.wait(5)
        happen("chain 1", sequence=4)
        step.result()
    session.rollback()
    last = session.scalars(select(Delivery).order_by(Delivery.id.desc()).limit(2)).all()
    assert (last[0].state, last[0].after_id) == (State.WAITING, last[1].id)


def test_events_that_stay_parked_hold_no_new_one_back(parked_events, happen, session) -> None:
    happen("chain 0", sequence=4)
    assert states(session)[-1] == "waiting"


def test_what_came_before_the_decision_goes_behind_what_is_parked(
    parked_events, settle, happen, receiver, deliver, session
) -> None:
    happen("chain 0", sequence=4)
    settle("send")
    for _ in range(2):
        maintenance.continue_parked()
    deliver()
    assert received(receiver, "chain 0") == [1, 2, 3, 4]


@pytest.mark.parametrize("how", ["host", "gone"])
def test_switched_off_in_the_middle_the_rest_stays_parked(
    how, parked_events, settle, switch, receiver, deliver, session, webhook
) -> None:
    settle("send")
    with transaction() as writing:
        resend.continue_decision(writing, webhook.id)
    receiver.behave = GONE
    switch(on=False) if how == "host" else deliver()
    maintenance.repeat(delivery_maintenance.park_waiting)
    receiver.behave = answer()
    switch(on=True)
    go_on(deliver)
    assert states(session) == ["parked"] * 6
    settle("send")
    go_on(deliver)
    assert [received(receiver, f"chain {n}")[-3:] for n in range(2)] == [[1, 2, 3]] * 2


def test_a_decision_that_was_stopped_leaves_the_rest_parked(parked_events, settle, session, webhook) -> None:
    settle("send")
    with transaction() as writing:
        resend.continue_decision(writing, webhook.id)
    settle("stop")
    maintenance.continue_parked()
    assert states(session) == ["waiting"] * 2 + ["parked"] * 4


def test_only_what_was_parked_at_the_decision_is_let_go(
    happen, switch, settle, receiver, deliver, session
) -> None:
    switch(on=False)
    for number in range(5):
        happen(f"chain {number}")
    settle("drop")
    happen("later")
    go_on(deliver)
    assert states(session) == ["expired"] * 5 + ["parked"]
    assert receiver.requests == []


def test_a_webhook_that_is_off_sends_nothing_that_is_parked(happen, switch, settle) -> None:
    switch(on=False)
    happen()
    with pytest.raises(Conflict, match="is off"):
        settle("send")


def test_a_webhook_that_is_deleted_in_the_middle_is_told_nothing_more(
    parked_events, settle, receiver, deliver, session, webhook
) -> None:
    settle("send")
    with transaction() as writing:
        webhooks.delete(writing.get_one(Webhook, webhook.id))
    go_on(deliver)
    assert states(session) == ["parked"] * 6
    assert receiver.requests == []


@pytest.fixture
def undecided(happen: Callable[..., Event], switch: Callable[..., None]) -> None:
    """A booking whose first event is parked and whose second came when the webhook was on again."""
    switch(on=False)
    happen("booked", sequence=1)
    switch(on=True)
    happen("booked", sequence=2, trigger="BOOKING_CANCELLED")
    happen("booked", sequence=3, trigger="BOOKING_NO_SHOW_UPDATED")
    happen("other")


def sweep(deliver: Callable[[], None]) -> None:
    """Let everything work that works by itself."""
    for _ in range(4):
        maintenance.continue_parked()
        engine.continue_releases()
        engine.free_left_behind()
        deliver()


def test_d5_later_events_wait_behind_what_is_parked(undecided, receiver, deliver, session) -> None:
    sweep(deliver)
    assert states(session) == ["parked", "waiting", "waiting", "delivered"]


def test_d5_released_they_come_in_order(undecided, settle, receiver, deliver) -> None:
    settle("send")
    sweep(deliver)
    assert received(receiver, "booked") == [1, 2, 3]


def test_d5_when_it_was_discarded_the_later_ones_go(undecided, settle, receiver, deliver) -> None:
    settle("drop")
    sweep(deliver)
    assert received(receiver, "booked") == [2, 3]


def test_d5_what_is_parked_after_a_decision_to_discard_holds_later_events_up(
    happen, switch, settle, receiver, deliver, session
) -> None:
    switch(on=False)
    happen("other")
    settle("drop")
    happen("booked", sequence=1)
    switch(on=True)
    happen("booked", sequence=2, trigger="BOOKING_CANCELLED")
    sweep(deliver)
    assert states(session) == ["expired", "parked", "waiting"]


def test_d5_after_an_hour_they_go_all_the_same(undecided, receiver, deliver, clock, session) -> None:
    clock.shift(3590)
    sweep(deliver)
    assert received(receiver, "booked") == []
    clock.shift(15)
    sweep(deliver)
    assert received(receiver, "booked") == [2, 3]
    assert states(session)[0] == "parked"


def test_d5_an_event_an_hour_later_waits_for_nothing(undecided, happen, receiver, deliver, clock) -> None:
    clock.shift(3700)
    sweep(deliver)
    happen("booked", sequence=4)
    sweep(deliver)
    assert received(receiver, "booked") == [2, 3, 4]


def test_d5_a_mended_webhook_does_not_overtake(undecided, receiver, deliver, webhook) -> None:
    with transaction() as session:
        webhooks.forget_failures(session.get_one(Webhook, webhook.id))
    sweep(deliver)
    assert received(receiver, "booked") == []
