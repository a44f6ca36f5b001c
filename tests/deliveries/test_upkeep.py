"""What the worker does besides delivering: warn, switch off, park, expire, prune, put right."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from calapp import maintenance
from calapp.clock import now
from calapp.db import transaction
from calapp.deliveries import engine
from calapp.deliveries import maintenance as delivery_maintenance
from calapp.deliveries.models import Attempt, Delivery, Event, Notice, State
from calapp.mail import Email
from calapp.webhooks import service as webhooks
from calapp.webhooks.models import OffReason, Webhook
from tests.conftest import on_both_databases
from tests.receiver import answer

pytestmark = on_both_databases

DAY = 86400
GONE = answer("410 Gone")


def watch(session: Session) -> list[str]:
    """Let the chores look; return the kinds of the notices that stand, oldest first."""
    maintenance.repeat(delivery_maintenance.watch_failing, whole=2)
    session.rollback()
    return list(session.scalars(select(Notice.kind).order_by(Notice.id)))


@pytest.fixture
def failing(webhook: Webhook, change: Callable[..., None]) -> Webhook:
    """A webhook whose last twenty tries have failed."""
    change(webhook, failures=20, failing_since=now())
    return webhook


def test_an_owner_is_warned_at_each_quarter_and_then_it_is_off(failing, clock, session) -> None:
    for kinds in (["warning"], ["warning"] * 2, ["warning"] * 3, ["warning"] * 3 + ["switched_off"]):
        clock.shift(1.25 * DAY + 60)
        assert watch(session) == kinds
        assert watch(session) == kinds  # told once
    session.refresh(failing)
    assert (failing.active, failing.off_reason) == (False, OffReason.FAILING)


def test_a_warning_comes_by_mail_with_the_date(failing, clock, session) -> None:
    off_at = failing.failing_since + timedelta(days=5)
    clock.shift(1.3 * DAY)
    watch(session)
    mail = session.scalars(select(Email)).one()
    assert failing.subscriber_url in mail.body
    assert f"{off_at:%d %B %Y}" in mail.body


def test_a_webhook_with_few_tries_is_warned_but_stays_on(failing, change, clock, session) -> None:
    change(failing, failures=19)
    clock.shift(9 * DAY)
    assert watch(session) == ["warning"]
    session.refresh(failing)
    assert failing.active


def test_a_success_ends_the_warnings(failing, change, clock, happen, deliver, session) -> None:
    clock.shift(1.3 * DAY)
    watch(session)
    happen()
    deliver()
    clock.shift(9 * DAY)
    assert watch(session) == ["warning"]
    session.refresh(failing)
    assert (failing.failures, failing.warnings, failing.failing_since) == (0, 0, None)


def test_many_failing_webhooks_are_looked_at_once(failing, clock, session) -> None:
    clock.shift(1.3 * DAY)
    assert maintenance.repeat(delivery_maintenance.watch_failing, whole=1) == 1
    assert watch(session) == ["warning"]


def test_the_owner_of_a_webhook_that_is_gone_is_told_once(webhook, receiver, happen, deliver, session, clock):
    receiver.behave = GONE
    happen()
    deliver()
    clock.shift(-3600)  # the clock is set back meanwhile
    for _ in range(3):
        maintenance.repeat(delivery_maintenance.tell_gone)
    assert "410 Gone" in session.scalars(select(Notice)).one().text
    assert "410 Gone" in session.scalars(select(Email)).one().body


def test_what_waits_for_a_webhook_that_is_off_is_parked(webhook, happen, session, change) -> None:
    happen(sequence=1)
    happen(sequence=2)
    change(webhook, active=False)
    maintenance.repeat(delivery_maintenance.park_waiting)
    session.rollback()
    assert set(session.scalars(select(Delivery.state))) == {State.PARKED}


def test_parked_events_expire_after_90_days_with_one_notice(
    webhook, happen, change, clock, session, monkeypatch
) -> None:
    monkeypatch.setattr(delivery_maintenance, "STEP", 2)
    change(webhook, active=False)
    for number in range(5):
        happen(f"chain {number}")
    clock.shift(89 * DAY)
    maintenance.repeat(delivery_maintenance.expire_parked)
    session.rollback()
    assert set(session.scalars(select(Delivery.state))) == {State.PARKED}
    clock.shift(2 * DAY)
    maintenance.repeat(delivery_maintenance.expire_parked, whole=2)
    session.rollback()
    assert set(session.scalars(select(Delivery.state))) == {State.EXPIRED}
    assert "5 events" in session.scalars(select(Notice)).one().text


def test_an_old_event_that_is_parked_anew_has_its_90_days(webhook, receiver, happen, deliver, clock, session):
    event = happen()
    with transaction() as writing:
        writing.execute(update(Delivery).values(created_at=event.created_at - timedelta(days=100)))
    receiver.behave = GONE
    deliver()
    maintenance.repeat(delivery_maintenance.expire_parked)
    session.rollback()
    assert list(session.scalars(select(Delivery.state))) == [State.PARKED]


def test_what_is_old_and_done_is_pruned(webhook, happen, deliver, clock, session) -> None:
    happen()
    deliver()
    clock.shift(31 * DAY)
    maintenance.repeat(delivery_maintenance.prune)
    session.rollback()
    assert session.scalars(select(Event.body)).all() == [None]
    assert session.scalars(select(Attempt)).all() == []


def rows(session: Session) -> list[int]:
    session.rollback()
    return [len(session.scalars(select(table.id)).all()) for table in (Event, Delivery, Attempt)]


def test_what_ended_a_year_ago_is_removed(webhook, happen, deliver, clock, session) -> None:
    happen("old")
    deliver()
    clock.shift(364 * DAY)
    happen("new")
    deliver()
    maintenance.repeat(delivery_maintenance.remove_finished)
    assert rows(session) == [2, 2, 2]
    clock.shift(2 * DAY)
    assert delivery_maintenance.count_removable(session)[-1] == 1
    maintenance.repeat(delivery_maintenance.remove_finished)
    assert rows(session) == [1, 1, 1]
    assert delivery_maintenance.count_removable(session)[-1] == 0


@pytest.mark.parametrize("state", [State.WAITING, State.PARKED])
def test_what_waits_or_is_parked_is_never_removed(webhook, happen, clock, session, state) -> None:
    happen()
    with transaction() as writing:
        writing.execute(update(Delivery).values(state=state))
    clock.shift(1000 * DAY)
    maintenance.repeat(delivery_maintenance.remove_finished)
    assert rows(session) == [1, 1, 0]


@pytest.mark.parametrize(("days", "kept"), [(0, 1), (10, 1)])
def test_deliveries_are_kept_for_ever_or_as_long_as_their_attempts(
    webhook, happen, deliver, clock, session, settings, monkeypatch, days, kept
) -> None:
    monkeypatch.setattr("calapp.config._Process.settings", replace(settings, delivery_retention_days=days))
    happen()
    deliver()
    clock.shift((20 if days else 4000) * DAY)
    maintenance.repeat(delivery_maintenance.remove_finished)
    assert rows(session)[1] == kept


@pytest.mark.parametrize("state", [State.WAITING, State.PARKED])
def test_what_waits_or_is_parked_is_never_pruned(
    webhook, receiver, happen, deliver, clock, session, state
) -> None:
    receiver.behave = answer("500 Internal Server Error")
    happen()
    deliver()
    with transaction() as writing:
        writing.execute(update(Delivery).values(state=state))
    clock.shift(31 * DAY)
    maintenance.repeat(delivery_maintenance.prune)
    session.rollback()
    assert session.scalars(select(Event.body)).one()
    assert session.scalars(select(Attempt)).one()


def test_a_delivery_without_a_body_holds_no_other_up(webhook, receiver, happen, deliver, session) -> None:
    happen("pruned")
    with transaction() as writing:
        writing.execute(update(Event).values(body=None))  # as it was resent manually
    happen("other")
    deliver()
    states = dict(session.execute(select(Delivery.chain, Delivery.state)).all())
    assert states == {"pruned": State.EXPIRED, "other": State.DELIVERED}
    assert len(receiver.requests) == 1


def test_what_was_left_behind_is_freed(webhook, receiver, happen, deliver, session) -> None:
    happen(sequence=1)
    deliver()
    happen(sequence=2)
    earlier = session.scalars(select(Delivery.id).order_by(Delivery.id)).first()
    with transaction() as writing:  # as if it had been written while the earlier one ended
        later = update(Delivery).where(Delivery.id > earlier)
        writing.execute(later.values(after_id=earlier, due_at=None))
    engine.free_left_behind()
    deliver()
    assert len(receiver.requests) == 2


def test_what_waits_is_brought_forward_when_the_clock_was_set_back(
    webhook, receiver, happen, deliver, change, clock, session
) -> None:
    clock.shift(3600)
    receiver.behave = answer("500 Internal Server Error")
    happen()
    deliver()
    change(
        webhook, backoff_until=now() + timedelta(seconds=30), retry_after_until=now() + timedelta(seconds=2)
    )
    clock.shift(-3600)
    with transaction() as writing:
        delivery_maintenance.bring_forward(writing, timedelta(seconds=3600))
    session.refresh(webhook)
    delivery = session.scalars(select(Delivery)).one()
    assert timedelta() < delivery.due_at - now() < timedelta(seconds=8)
    assert timedelta(seconds=20) < webhook.backoff_until - now() < timedelta(seconds=31)
    assert webhook.retry_after_until - now() < timedelta(seconds=3)


def test_d10_what_waits_or_is_parked_for_a_deleted_webhook_is_discarded_and_its_log_stays(
    webhook, happen, deliver, change, session, monkeypatch, clock
) -> None:
    monkeypatch.setattr(delivery_maintenance, "STEP", 2)
    happen("delivered")
    deliver()
    for number in range(3):
        happen(f"waiting {number}")
    change(webhook, active=False)
    happen("parked")
    with transaction() as writing:
        webhooks.delete(writing.get_one(Webhook, webhook.id))
    for _ in range(4):
        maintenance.repeat(delivery_maintenance.discard_of_deleted)
        maintenance.repeat(delivery_maintenance.remove_deleted)
    session.rollback()
    states = session.scalars(select(Delivery.state).order_by(Delivery.id)).all()
    assert states == [State.DELIVERED] + [State.EXPIRED] * 4
    assert set(session.scalars(select(Delivery.reason))) == {None, "Discarded: its webhook was deleted."}
    session.refresh(webhook)
    assert (webhook.secret, webhook.old_secret, webhook.headers) == (None, None, [])


def test_the_rows_of_a_deleted_webhook_go_in_steps_once_its_log_is_no_longer_kept(
    webhook, happen, deliver, session, monkeypatch, clock
) -> None:
    monkeypatch.setattr(delivery_maintenance, "STEP", 2)
    for number in range(5):
        happen(f"chain {number}")
    deliver()
    with transaction() as writing:
        webhooks.delete(writing.get_one(Webhook, webhook.id))
    clock.shift(31 * DAY)
    for _ in range(5):
        maintenance.repeat(delivery_maintenance.remove_deleted)
    session.rollback()
    assert [session.scalars(select(table)).all() for table in (Attempt, Delivery, Webhook)] == [[], [], []]
    assert len(session.scalars(select(Event)).all()) == 5
