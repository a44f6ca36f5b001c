"""Replays: what was sent in a time range is sent again, with its ids, at the pace of the engine."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from re import search

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from calapp.clock import now
from calapp.db import db, transaction
from calapp.deliveries import engine, replays, resend
from calapp.deliveries.models import Delivery, Replay, ReplayState, waiting_at
from calapp.deliveries.replays import TimeRange
from calapp.errors import Conflict, Invalid
from calapp.webhooks.models import Webhook
from tests.conftest import on_both_databases
from tests.receiver import Receiver, answer

pytestmark = on_both_databases


def start(webhook: Webhook, *, only_failed: bool = False) -> Replay:
    time_range = TimeRange(
        from_at=now() - timedelta(hours=1), to_at=now() + timedelta(hours=1), only_failed=only_failed
    )
    total = replays.count(db.session(), webhook.id, time_range).total
    with transaction() as session:
        return replays.start(session, session.merge(webhook), time_range, total)


def ids(receiver: Receiver) -> list[str]:
    return [request.headers["webhook-id"] for request in receiver.requests]


def test_a_replay_sends_the_same_ids_in_order(
    webhook: Webhook, receiver: Receiver, happen: Callable, deliver: Callable[[], None]
) -> None:
    for sequence in range(1, 4):
        happen(sequence=sequence)
    deliver()
    start(webhook)
    engine.continue_replays()
    deliver()
    assert ids(receiver)[3:] == ids(receiver)[:3]


def test_a_finished_replay_sends_nothing_more(
    webhook: Webhook, receiver: Receiver, happen: Callable, deliver: Callable[[], None], session: Session
) -> None:
    happen()
    deliver()
    replay = start(webhook)
    for _ in range(3):
        engine.continue_replays()
        deliver()
    session.refresh(replay)
    assert (len(receiver.requests), replay.state, replay.done) == (2, ReplayState.DONE, 1)


def test_a_replay_goes_on_where_it_was(
    webhook: Webhook,
    receiver: Receiver,
    happen: Callable,
    deliver: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(5):
        happen(f"chain {number}")
    deliver()
    monkeypatch.setattr(replays, "MOST_WAITING", 2)
    start(webhook)
    for _ in range(4):  # each as if by another worker: what it needs is in the database
        engine.continue_replays()
        deliver()
    assert sorted(ids(receiver)[5:]) == sorted(ids(receiver)[:5])


def test_a_stopped_replay_sends_no_more(
    webhook: Webhook, receiver: Receiver, happen: Callable, deliver: Callable[[], None]
) -> None:
    happen()
    deliver()
    start(webhook)
    with transaction() as session:
        replays.stop(session, webhook.id)
    engine.continue_replays()
    deliver()
    assert len(receiver.requests) == 1


def test_only_one_replay_runs_for_a_webhook(webhook: Webhook, happen: Callable, deliver: Callable) -> None:
    happen()
    deliver()
    start(webhook)
    with pytest.raises(Conflict, match="already running"):
        start(webhook)


def test_a_window_without_events_is_refused(webhook: Webhook) -> None:
    with pytest.raises(Invalid, match="nothing to send"):
        start(webhook)


def test_a_replay_of_failed_ones_leaves_the_delivered(
    webhook: Webhook, happen: Callable, deliver: Callable[[], None]
) -> None:
    happen()
    deliver()
    with pytest.raises(Invalid, match="nothing to send"):
        start(webhook, only_failed=True)


def test_an_event_that_is_on_its_way_again_is_not_sent_twice(
    webhook: Webhook, receiver: Receiver, happen: Callable, deliver: Callable[[], None], session: Session
) -> None:
    happen()
    deliver()
    with transaction() as writing:
        resend.resend(writing, writing.scalars(select(Delivery)).one())
    with pytest.raises(Invalid, match="nothing to send"):
        start(webhook)
    deliver()
    assert len(receiver.requests) == 2


def test_two_workers_with_one_plan_send_it_once(
    webhook: Webhook, receiver: Receiver, happen: Callable, deliver: Callable[[], None], session: Session
) -> None:
    happen()
    deliver()
    start(webhook)
    plans = [replays.plan(session) for _ in range(2)]
    session.rollback()
    for [step] in plans:
        with transaction() as writing:
            replays.continue_replay(writing, step)
    deliver()
    assert len(receiver.requests) == 2


def test_a_replay_that_was_stopped_after_it_was_planned_sends_nothing(
    webhook: Webhook, receiver: Receiver, happen: Callable, deliver: Callable[[], None], session: Session
) -> None:
    happen()
    deliver()
    start(webhook)
    [step] = replays.plan(session)
    with transaction() as writing:
        replays.stop(writing, webhook.id)
    with transaction() as writing:
        replays.continue_replay(writing, step)
    deliver()
    assert len(receiver.requests) == 1


def test_a_replay_ends_when_its_webhook_is_switched_off(
    webhook: Webhook, happen: Callable, deliver: Callable[[], None], change: Callable, session: Session
) -> None:
    happen()
    deliver()
    replay = start(webhook)
    change(webhook, active=False)
    engine.continue_replays()
    session.refresh(replay)
    assert (replay.state, replay.done) == (ReplayState.STOPPED, 0)


def test_a_replay_waits_while_the_receiver_is_slow(
    webhook: Webhook,
    receiver: Receiver,
    happen: Callable,
    deliver: Callable[[], None],
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(5):
        happen(f"chain {number}")
    deliver()
    monkeypatch.setattr(replays, "MOST_WAITING", 2)
    replay = start(webhook)
    for _ in range(3):  # nothing is delivered in between
        engine.continue_replays()
    session.refresh(replay)
    assert (replay.state, replay.done) == (ReplayState.RUNNING, 2)


def test_a_window_is_begun_behind_what_is_older(
    webhook: Webhook, receiver: Receiver, happen: Callable, deliver: Callable[[], None], session: Session
) -> None:
    old, new = happen("old"), happen("new")
    deliver()
    hours_ago = now() - timedelta(hours=3)
    with transaction() as writing:
        writing.execute(update(Delivery).where(Delivery.event_id == old.id).values(created_at=hours_ago))
    start(webhook)
    engine.continue_replays()
    deliver()
    assert ids(receiver)[2:] == [new.uid]


def test_a_long_log_is_walked_once_and_not_for_each_of_its_rows(
    webhook: Webhook, session: Session, database: str
) -> None:
    time_range = TimeRange(from_at=now() - timedelta(days=1), to_at=now(), only_failed=False)
    wanted = replays._wanted(webhook.id, time_range).compile(
        session.bind, compile_kwargs={"literal_binds": True}
    )
    plan = "\n".join(
        str(row) for row in session.execute(text(f"EXPLAIN {'' if database else 'QUERY PLAN '}{wanted}"))
    )
    # PostgreSQL may hash the few rows of an empty table; what it may not do is look into the log once more.
    assert plan.count("ix_delivery_log") <= 1
    assert database or "delivery_1 USING INDEX ix_delivery_event_id" in plan


def test_what_waits_is_found_without_a_walk_through_the_log(
    webhook: Webhook, session: Session, database: str
) -> None:
    query = select(Delivery.id).where(waiting_at(webhook.id))
    wanted = query.compile(session.bind, compile_kwargs={"literal_binds": True})
    plan = str(session.execute(text(f"EXPLAIN {'' if database else 'QUERY PLAN '}{wanted}")).all())
    assert "ix_delivery_log" not in plan


@pytest.fixture
def waiting(
    webhook: Webhook,
    receiver: Receiver,
    happen: Callable[..., object],
    deliver: Callable[[], None],
    change: Callable[..., None],
) -> Webhook:
    """A webhook in backoff with five deliveries that are due in fourteen hours."""
    receiver.behave = answer("503 Service Unavailable")
    for number in range(5):
        happen(f"chain {number}")
    deliver()
    with transaction() as writing:
        writing.execute(update(Delivery).values(due_at=now() + timedelta(hours=14), attempts_on_schedule=7))
    change(webhook, backoff_until=now() + timedelta(minutes=20), failures=9)
    receiver.requests.clear()
    receiver.behave = answer()
    return webhook


def test_d7_what_still_waits_is_offered_and_goes_at_once(
    waiting: Webhook, receiver: Receiver, deliver: Callable[[], None], session: Session
) -> None:
    replay = start(waiting, only_failed=True)
    engine.continue_replays()
    deliver()
    session.refresh(replay)
    assert (replay.total, replay.done, replay.state) == (5, 5, ReplayState.DONE)
    assert len(receiver.requests) == 5


def test_d7_what_waits_takes_no_room_from_what_is_sent_again(
    waiting: Webhook, monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    monkeypatch.setattr(replays, "MOST_WAITING", 2)
    replay = start(waiting, only_failed=True)
    for _ in range(4):
        engine.continue_replays()
    session.refresh(replay)
    assert (replay.done, replay.state) == (5, ReplayState.DONE)


def test_d7_what_fails_again_keeps_its_place_in_the_schedule(
    waiting: Webhook, receiver: Receiver, deliver: Callable[[], None], session: Session
) -> None:
    receiver.behave = answer("422 Unprocessable Content")
    start(waiting, only_failed=True)
    engine.continue_replays()
    session.rollback()
    assert set(session.scalars(select(Delivery.attempts_on_schedule))) == {7}


def test_d7_the_form_counts_what_it_will_send_and_offers_what_waits_before_it_starts(
    rick_client: FlaskClient, webhook: Webhook, receiver: Receiver, happen: Callable, deliver, session
) -> None:
    receiver.behave = answer("404 Not Found")
    for number in range(2):
        happen(f"chain {number}")
    deliver()
    page = f"/integrations/webhooks/{webhook.id}/deliveries/replay"
    opened = rick_client.get(page).text
    assert "2 events would be sent. All of them are still waiting and come due at once." in opened
    field = partial(search, string=opened)
    given = {name: field(rf'name="{name}"[^>]*value="([^"]*)"').group(1) for name in ("from", "to")}
    changed = {**given, "which": "all", "counted": "|".join((*given.values(), "failed"))}
    counted = rick_client.post(page, data=changed)
    assert (counted.status_code, "2 events would be sent." in counted.text) == (200, True)
    assert session.scalars(select(Replay)).all() == []
    started = rick_client.post(page, data={**changed, "counted": "|".join((*given.values(), "all"))})
    assert started.status_code == 303
    assert session.scalars(select(Replay.total)).one() == 2
