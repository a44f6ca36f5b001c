"""Send now: the delivery that was pressed goes at once, whatever its webhook waits for."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp import maintenance
from calapp.clock import now
from calapp.db import transaction
from calapp.deliveries import maintenance as delivery_maintenance
from calapp.deliveries import resend
from calapp.deliveries.models import Delivery
from calapp.errors import Conflict
from calapp.webhooks import service as webhooks
from calapp.webhooks.models import Webhook
from tests.conftest import on_both_databases
from tests.receiver import Receiver, answer

pytestmark = on_both_databases

AWAY = answer("503 Service Unavailable")


def sequences(receiver: Receiver) -> list[int]:
    return [int(one.body.partition(b'"sequence":')[2].partition(b",")[0]) for one in receiver.requests]


@pytest.fixture
def waiting(webhook, receiver, happen, deliver, change, session) -> list[int]:
    """Eight deliveries of a webhook in backoff, each of a chain of its own; their ids, oldest first."""
    receiver.behave = AWAY
    for number in range(8):
        happen(f"chain {number}", sequence=number)
    deliver()
    change(webhook, backoff_until=now() + timedelta(hours=1), failing_since=now() - timedelta(hours=1))
    receiver.requests.clear()
    return list(session.scalars(select(Delivery.id).order_by(Delivery.id)))


@pytest.fixture
def press(session: Session) -> Callable[[int], int]:
    """Return a function that presses Send now and returns the id of what carries the event."""

    def run(delivery_id: int) -> int:
        with transaction() as writing:
            return resend.resend(writing, writing.get_one(Delivery, delivery_id)).id

    return run


@pytest.mark.parametrize("place", [0, 3, 7])
def test_d1_the_pressed_one_goes_and_no_other(place, waiting, press, receiver, deliver, webhook, session):
    before = (webhook.failures, webhook.backoff_until, webhook.refused_events)
    press(waiting[place])
    deliver()
    session.refresh(webhook)
    assert sequences(receiver) == [place]
    assert (webhook.failures, webhook.backoff_until, webhook.refused_events) == before


def test_d1_a_retry_after_does_not_hold_it(waiting, press, receiver, deliver, change, webhook) -> None:
    change(webhook, retry_after_until=now() + timedelta(hours=3))
    press(waiting[2])
    deliver()
    assert sequences(receiver) == [2]


def test_d1_a_success_ends_the_backoff(waiting, press, receiver, deliver, webhook, session) -> None:
    receiver.behave = answer()
    press(waiting[5])
    deliver()
    session.refresh(webhook)
    assert (sorted(sequences(receiver)), webhook.backoff_until) == (list(range(8)), None)


def test_d1_a_failure_leaves_its_place_in_the_schedule(waiting, press, deliver, session) -> None:
    tries = session.get_one(Delivery, waiting[0]).attempts_on_schedule
    for _ in range(5):
        press(waiting[0])
        deliver()
    delivery = session.get_one(Delivery, waiting[0], populate_existing=True)
    assert (delivery.state, delivery.attempts_on_schedule, delivery.pressed_at) == ("waiting", tries, None)
    assert delivery.due_at > now()


def test_d1_two_presses_at_once_send_it_once(waiting, press, receiver, deliver, app: Flask, session):
    def run(_: int) -> int:
        with app.app_context():
            return press(waiting[4])

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, range(2))) == [waiting[4]] * 2
    session.rollback()
    deliver()
    assert sequences(receiver) == [4]


def test_d1_pressed_in_flight_it_is_not_sent_twice(webhook, receiver, happen, press, engine, session) -> None:
    happen()
    requests = engine.claim()
    with pytest.raises(Conflict, match="right now"):
        press(session.scalars(select(Delivery.id)).one())
    engine.sender.start(requests)
    engine.deliver()
    assert len(receiver.requests) == 1


def test_d1_one_that_waits_behind_another_goes_ahead_of_it(
    webhook, receiver, happen, deliver, press, session
) -> None:
    receiver.behave = AWAY
    happen(sequence=1)
    deliver()
    happen(sequence=2)
    happen(sequence=3)
    first, second, third = session.scalars(select(Delivery.id).order_by(Delivery.id))
    press(second)
    deliver()
    assert sequences(receiver) == [1, 2]
    assert session.get_one(Delivery, third, populate_existing=True).after_id == first


def test_d1_the_press_outlives_a_worker_that_dies(waiting, press, receiver, engine, deliver, clock) -> None:
    press(waiting[6])
    engine.claim()  # and the process dies here
    clock.shift(40)
    deliver()
    assert sequences(receiver) == [6]


def test_d1_it_is_found_due_by_the_sweep(waiting, press, session) -> None:
    assert not delivery_maintenance.anything_due(session)
    press(waiting[1])
    assert delivery_maintenance.anything_due(session)


def test_d1_nothing_is_sent_while_the_webhook_is_off(waiting, press, receiver, deliver, change, webhook):
    press(waiting[1])
    change(webhook, active=False)
    deliver()
    maintenance.repeat(delivery_maintenance.park_waiting)
    with pytest.raises(Conflict, match="is off"):
        press(waiting[2])
    assert receiver.requests == []


def test_d1_nothing_is_sent_to_a_deleted_webhook(waiting, press, receiver, deliver, webhook) -> None:
    press(waiting[1])
    with transaction() as writing:
        webhooks.delete(writing.get_one(Webhook, webhook.id))
    deliver()
    with pytest.raises(Conflict, match="was deleted"):
        press(waiting[2])
    assert receiver.requests == []


def test_d1_the_page_says_what_happened(waiting, webhook, deliver, rick_client, session) -> None:
    page = f"/integrations/webhooks/{webhook.id}/deliveries/{waiting[3]}"
    pressed = rick_client.post(f"{page}/resend", follow_redirects=True)
    assert "Being sent now" in pressed.text
    session.rollback()
    deliver()
    shown = rick_client.get(page).text
    assert "Sent manually" in shown
    assert "503 Service Unavailable" in shown
    assert "backoff is unchanged" in shown


def test_d1_the_page_says_why_nothing_was_sent(waiting, webhook, change, rick_client) -> None:
    change(webhook, active=False)
    page = f"/integrations/webhooks/{webhook.id}/deliveries/{waiting[3]}"
    assert "The webhook is off" in rick_client.post(f"{page}/resend", follow_redirects=True).text
