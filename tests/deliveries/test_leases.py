"""Claims and their leases: nothing is sent twice without need, and nobody is pressed."""

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from calapp import maintenance
from calapp.clock import now
from calapp.config import Settings
from calapp.db import transaction
from calapp.deliveries import maintenance as delivery_maintenance
from calapp.deliveries.claims import claim
from calapp.deliveries.engine import Engine
from calapp.deliveries.models import Attempt, Delivery
from calapp.webhooks import service as webhooks
from calapp.webhooks.models import Webhook
from tests.conftest import on_both_databases
from tests.deliveries.conftest import by_body, subscribed
from tests.receiver import Receiver, answer
from tests.running import wait_until

pytestmark = on_both_databases

ERROR = answer("500 Internal Server Error")


def states(session: Session) -> list[str]:
    session.rollback()
    return list(session.scalars(select(Delivery.state).order_by(Delivery.id)))


def test_retry_after_counts_beside_answers_that_are_good(
    webhook, receiver, happen, deliver, session, clock
) -> None:
    answers = {b"busy": answer("429 Slow", b"", "Retry-After: 20")}
    receiver.behave = by_body(answers)
    for chain in ("busy", "one", "two"):
        happen(chain)
    deliver()  # in one batch
    happen("later")
    deliver()
    assert states(session) == ["waiting", "delivered", "delivered", "waiting"]
    answers.clear()
    clock.shift(21)
    deliver()
    assert set(states(session)) == {"delivered"}


def test_a_success_in_flight_does_not_end_what_retry_after_asked_for(
    webhook, receiver, happen, deliver, change, session
) -> None:
    change(webhook, failures=10, failing_since=now())
    receiver.behave = answer("429 Slow", b"", "Retry-After: 60")
    happen()
    deliver()
    change(webhook, backoff_until=None)
    session.refresh(webhook)
    assert webhook.retry_after_until > now()
    with transaction() as writing:
        webhooks.forget_failures(writing.get_one(Webhook, webhook.id))
    session.refresh(webhook)
    assert webhook.retry_after_until is None


def test_an_event_that_always_fails_keeps_to_its_schedule(
    webhook, receiver, happen, deliver, session, clock
) -> None:
    receiver.behave = by_body({b"poison": ERROR})
    happen("poison")
    deliver()
    for number in range(20):
        happen(f"chain {number}")
        deliver()
    poisoned = [request for request in receiver.requests if b"poison" in request.body]
    assert len(poisoned) <= 2
    assert states(session) == ["waiting"] + ["delivered"] * 20


def test_retries_come_due_whatever_the_clock_was_when_they_were_made(
    webhook, receiver, happen, deliver, session
) -> None:
    receiver.behave = answer("503 Service Unavailable")
    happen("one")
    deliver()
    with transaction() as writing:
        writing.execute(update(Delivery).values(created_at=now().replace(year=now().year + 1)))
    receiver.behave = answer()
    happen("two")
    deliver()
    assert states(session) == ["delivered", "delivered"]


def test_what_is_in_flight_here_is_not_sent_again(webhook, receiver, happen, engine, session, clock) -> None:
    happen()
    engine.sender.start(engine.claim())
    clock.shift(3600)  # by a moved clock its lease is over
    assert engine.claim() == []
    engine.deliver()
    assert states(session) == ["delivered"]
    assert len(receiver.requests) == 1


def test_what_is_answered_and_not_yet_written_is_not_sent_again(
    webhook, receiver, happen, engine, session, clock
) -> None:
    happen()
    engine.sender.start(engine.claim())
    engine.wait()
    clock.shift(3600)
    assert engine.claim() == []
    engine.deliver()
    assert (states(session), len(receiver.requests)) == (["delivered"], 1)


def test_a_claim_while_the_database_is_away_loses_no_answer(
    webhook, receiver, happen, engine, session, settings: Settings
) -> None:
    if not settings.sqlite:
        pytest.skip("`make faults` kills PostgreSQL itself (experiment 5)")
    happen()
    engine.sender.start(engine.claim())
    engine.wait()
    rename("delivery", "away")
    assert engine.claim() == []  # as at a wake before they are written
    rename("away", "delivery")
    engine.deliver()
    assert states(session) == ["delivered"]


def test_a_claim_that_was_never_sent_is_sent_by_the_same_process(
    webhook, receiver, happen, engine, deliver, session, clock
) -> None:
    happen()
    engine.claim()  # and something raised here
    clock.shift(40)
    deliver()
    assert states(session) == ["delivered"]


def test_the_late_answer_of_another_process_counts_when_good(
    webhook, receiver, happen, engine, settings: Settings, session, clock
) -> None:
    happen()
    late = engine.claim()
    clock.shift(40)
    other = Engine(settings)
    requests = other.claim()
    engine.sender.start(late)
    engine.deliver()
    assert states(session) == ["delivered"]
    receiver.behave = ERROR
    other.sender.start(requests)
    other.deliver()
    other.sender.close()
    assert states(session) == ["delivered"]
    assert sorted(session.scalars(select(Attempt.status))) == [200, 500]


@pytest.mark.parametrize(("behave", "state"), [(answer(), "delivered"), (ERROR, "parked")])
def test_an_answer_counts_though_the_webhook_was_switched_off_meanwhile(
    webhook, receiver, happen, engine, session, behave: bytes, state: str
) -> None:
    receiver.behave = behave
    happen()
    requests = engine.claim()
    with transaction() as writing:
        writing.get_one(Webhook, webhook.id).active = False
    maintenance.repeat(delivery_maintenance.park_waiting)
    engine.sender.start(requests)
    engine.deliver()
    assert states(session) == [state]
    assert len(session.scalars(select(Attempt)).all()) == 1


def test_the_answer_of_a_webhook_deleted_meanwhile_falls_away(
    webhook, rick, receiver, happen, engine, saved, session, clock
) -> None:
    with Receiver() as other:
        saved(subscribed(rick, other.url()))
        happen()
        requests = engine.claim()
        with transaction() as writing:
            webhooks.delete(writing.get_one(Webhook, webhook.id))
        clock.shift(31 * 86400)
        for _ in range(2):
            maintenance.repeat(delivery_maintenance.remove_deleted)
        clock.shift(-31 * 86400)
        engine.sender.start(requests)
        engine.deliver()
    assert states(session) == ["delivered"]
    assert len(session.scalars(select(Attempt)).all()) == 1


def test_a_webhook_switched_off_after_the_look_is_not_claimed(webhook, happen, engine, session) -> None:
    happen()
    with transaction() as writing:
        writing.get_one(Webhook, webhook.id).active = False
    with transaction() as writing:
        assert claim(writing, {webhook.id: 4}, engine.lease, now()).rows == []
    assert session.scalars(select(Delivery.claim)).all() == [None]


def test_answers_are_kept_while_the_database_is_away(
    webhook, receiver, happen, engine, at_work, session, settings: Settings
) -> None:
    if not settings.sqlite:
        pytest.skip("`make faults` kills PostgreSQL itself (experiment 5)")
    happen()
    engine.sender.start(engine.claim())
    rename("attempt", "away")
    with at_work(engine):
        wait_until(lambda: engine.database_away)
        assert engine.busy()
        rename("away", "attempt")
        wait_until(lambda: not engine.busy())
    assert (states(session), len(receiver.requests)) == (["delivered"], 1)


def rename(table: str, to: str) -> None:
    with transaction() as session:
        session.execute(text("PRAGMA legacy_alter_table = ON"))
        session.execute(text(f"ALTER TABLE {table} RENAME TO {to}"))
