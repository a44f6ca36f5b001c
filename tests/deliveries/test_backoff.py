"""What a failure speaks about, and what backs an endpoint off: only what it says about the endpoint."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from calapp.clock import now
from calapp.config import Settings
from calapp.db import transaction
from calapp.deliveries import engine as jobs
from calapp.deliveries import store
from calapp.deliveries.engine import Engine
from calapp.deliveries.models import Delivery
from calapp.webhooks.models import Webhook
from tests.conftest import on_both_databases
from tests.deliveries.conftest import by_body
from tests.receiver import Receiver, answer

pytestmark = on_both_databases

REFUSED, DENIED = answer("422 Unprocessable Content"), answer("401 Unauthorized")
AWAY = answer("503 Service Unavailable")


def states(session: Session) -> list[str]:
    session.rollback()
    return list(session.scalars(select(Delivery.state).order_by(Delivery.id)))


def chains(receiver: Receiver) -> list[str]:
    """Return of which chains the requests were, in their order."""
    return [
        request.body.partition(b'"uid":"')[2].partition(b'"')[0].decode() for request in receiver.requests
    ]


@pytest.fixture
def answers(receiver: Receiver) -> dict[bytes, bytes]:
    """How the receiver answers to the events whose chain has a word in it; to others with 200."""
    found: dict[bytes, bytes] = {}
    receiver.behave = by_body(found)
    return found


@pytest.fixture
def fail(
    webhook: Webhook, answers: dict[bytes, bytes], happen: Callable, deliver: Callable
) -> Callable[..., Webhook]:
    """Return a function that has so many new events fail, and returns the webhook as it is then."""

    def run(count: int, answer: bytes, name: str = "bad") -> Webhook:
        answers[name.encode()] = answer
        for number in range(count):
            happen(f"{name} {number}")
            deliver()
        return webhook

    return run


def test_d3_six_refused_events_hold_no_good_one_up(fail, webhook, happen, deliver, session, clock):
    fail(6, REFUSED)
    clock.shift(15)
    happen("good")
    deliver()
    session.refresh(webhook)
    assert states(session)[-1] == "delivered"
    assert (webhook.failures, webhook.backoff_until) == (0, None)


def test_d3_a_refused_event_keeps_to_its_schedule_whatever_else_succeeds(
    fail, receiver, answers, happen, deliver, session, clock
) -> None:
    fail(1, REFUSED)
    answers[b"away"] = AWAY
    for number in range(6):
        happen(f"{'away' if number < 2 else 'fine'} {number}")
        happen(f"good {number}")
        deliver()
    assert chains(receiver).count("bad 0") == 1
    clock.shift(7)
    deliver()
    assert chains(receiver).count("bad 0") == 2


def test_d3_five_failures_of_the_endpoint_back_it_off(fail, session) -> None:
    webhook = fail(4, AWAY)
    session.refresh(webhook)
    assert webhook.backoff_until is None
    fail(1, AWAY, "more")
    session.refresh(webhook)
    assert (webhook.failures, webhook.backoff_until > now()) == (5, True)


def test_d3_a_redirect_is_a_failure_of_the_endpoint(fail, session) -> None:
    webhook = fail(5, answer("302 Found", b"", "Location: https://example.com/"))
    session.refresh(webhook)
    assert webhook.backoff_until > now()


def test_d3_denials_count_after_five_different_events(fail, receiver, deliver, session, clock) -> None:
    webhook = fail(4, DENIED)
    for _ in range(2):
        clock.shift(400)
        deliver()  # the same four events once more
    session.refresh(webhook)
    assert (webhook.failures, len(receiver.requests)) == (0, 12)
    fail(1, DENIED, "more")
    session.refresh(webhook)
    assert (webhook.failures, webhook.backoff_until > now()) == (5, True)


def test_d3_twenty_different_refused_events_back_the_endpoint_off(
    fail, answers, deliver, settings: Settings, happen, session, clock
) -> None:
    webhook = fail(19, REFUSED)
    clock.shift(8)
    deliver()  # retries of the same
    session.refresh(webhook)
    assert webhook.backoff_until is None
    answers[b"more"] = REFUSED
    other = Engine(settings)  # a process that was just started
    happen("more")
    other.deliver()
    other.sender.close()
    session.refresh(webhook)
    assert (webhook.failures, webhook.backoff_until > now()) == (20, True)


def test_d3_a_success_begins_the_count_of_different_events_anew(
    fail, webhook, happen, deliver, session
) -> None:
    fail(19, REFUSED)
    happen("good")
    deliver()
    later = (
        update(Delivery).where(Delivery.attempts_on_schedule > 0).values(due_at=now() + timedelta(hours=1))
    )
    with transaction() as writing:
        writing.execute(later)  # a slow machine would come to the second attempts of the first 19
    fail(19, REFUSED, "again")
    session.refresh(webhook)
    assert (webhook.failures, webhook.backoff_until) == (0, None)


def test_d3_probes_alternate_between_the_oldest_and_the_newest_not_yet_tried(
    fail, receiver, answers, happen, deliver, session, clock, change
) -> None:
    webhook = fail(5, AWAY)
    answers[b"new"] = AWAY
    for number in range(6):
        happen(f"new {number}")
    with transaction() as writing:
        writing.execute(
            update(Delivery)
            .where(Delivery.attempts_on_schedule > 0)
            .values(due_at=now() - timedelta(hours=1))
        )
    receiver.requests.clear()
    for _ in range(4):
        change(webhook, backoff_until=now())
        deliver()
    assert chains(receiver) == ["bad 0", "new 5", "bad 1", "new 4"]


def test_d3_a_probe_that_is_refused_is_followed_soon_by_another(
    fail, webhook, answers, happen, deliver, session, clock
) -> None:
    fail(5, AWAY)
    happen("good")
    answers[b"bad"] = REFUSED
    for _ in range(4):
        clock.shift(6.5)
        deliver()
    session.refresh(webhook)
    assert states(session)[-1] == "delivered"
    assert webhook.backoff_until is None


def test_d3_when_all_were_refused_a_success_makes_all_due(fail, answers, deliver, session, clock) -> None:
    fail(20, REFUSED)
    answers.clear()
    clock.shift(3600)
    deliver()
    assert set(states(session)) == {"delivered"}


def test_d3_a_dead_endpoint_costs_one_probe_for_each_step(
    fail, receiver, happen, deliver, settings: Settings, clock
) -> None:
    fail(5, AWAY)
    for number in range(10):
        happen(f"new {number}")
    receiver.requests.clear()
    clock.shift(6.5)
    engines = [Engine(settings) for _ in range(3)]
    claimed = [len(engine.claim()) for engine in engines]
    for engine in engines:
        engine.sender.close()
    assert claimed == [1, 0, 0]


def test_d3_waiting_retries_come_due_in_steps(
    fail, answers, happen, deliver, session, clock, monkeypatch, change
) -> None:
    monkeypatch.setattr(store, "RELEASE_STEP", 2)
    webhook = fail(4, AWAY)
    answers.clear()
    happen("good")
    deliver()
    session.refresh(webhook)
    assert (states(session).count("delivered"), webhook.releasing) == (3, True)
    jobs.continue_releases()
    deliver()
    session.refresh(webhook)
    assert (set(states(session)), webhook.releasing) == ({"delivered"}, False)


def test_d3_what_was_released_and_fails_again_keeps_to_its_schedule(
    fail, receiver, happen, deliver, session, monkeypatch
) -> None:
    monkeypatch.setattr(store, "RELEASE_STEP", 2)
    fail(4, AWAY)
    happen("good")
    deliver()
    for _ in range(5):
        jobs.continue_releases()
        deliver()
    assert len(receiver.requests) <= 4 + 1 + 4
