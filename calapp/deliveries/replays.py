"""Replays: the events of a window sent once more to a webhook, by the same engine and its limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, exists, func, select
from sqlalchemy.orm import Session, aliased

from calapp.broker import CHORES, nudge
from calapp.db import after_commit, database_now
from calapp.deliveries.models import Delivery, Event, Replay, ReplayState, State
from calapp.deliveries.service import copy_of, queue_up, wait_again
from calapp.errors import Conflict, Invalid
from calapp.webhooks.models import Webhook

MOST_WAITING = 200  # deliveries of the webhook; a replay adds no more while so many wait
NOT_DELIVERED = (State.FAILED, State.EXPIRED)
FINISHED = (*NOT_DELIVERED, State.DELIVERED)


@dataclass(frozen=True, kw_only=True)
class Window:
    """Which events are sent once more: those that happened from one instant to another."""

    from_at: datetime
    to_at: datetime
    only_failed: bool  # not those that were delivered


def count(session: Session, webhook_id: int, window: Window) -> int:
    """Return how many events a replay of this window would send."""
    return session.scalar(select(func.count()).select_from(_wanted(webhook_id, window).subquery())) or 0


def start(session: Session, webhook: Webhook, window: Window) -> Replay:
    """Begin a replay; raise Conflict while one runs or the webhook is off, Invalid when there is nothing."""
    session.refresh(webhook, with_for_update=True)  # two clicks at once start one
    if not webhook.active:
        raise Conflict("The webhook is off. Please switch it on first.")
    if running(session, webhook.id):
        raise Conflict("A replay of this webhook is running already.")
    window = Window(
        from_at=window.from_at,
        to_at=min(window.to_at, database_now(session)),
        only_failed=window.only_failed,
    )
    total = count(session, webhook.id, window)
    if not total:
        raise Invalid("There is nothing to send in this window.")
    replay = Replay(
        webhook_id=webhook.id,
        from_at=window.from_at,
        to_at=window.to_at,
        only_failed=window.only_failed,
        total=total,
    )
    session.add(replay)
    session.flush()
    after_commit(session, "nudge chores", lambda: nudge(CHORES))
    return replay


def running(session: Session, webhook_id: int) -> Replay | None:
    """Return the replay of a webhook that runs, if one does, locked until the transaction ends."""
    query = select(Replay).where(Replay.webhook_id == webhook_id, Replay.state == ReplayState.RUNNING)
    return session.scalar(query.limit(1).with_for_update(), execution_options={"populate_existing": True})


def latest(session: Session, webhook_id: int) -> Replay | None:
    """Return the newest replay of a webhook."""
    return session.scalar(
        select(Replay).where(Replay.webhook_id == webhook_id).order_by(Replay.id.desc()).limit(1)
    )


def stop(session: Session, webhook_id: int) -> None:
    """Stop the replay of a webhook; what it has put on its way is still sent."""
    replay = running(session, webhook_id)
    if replay:
        _end(session, replay, ReplayState.STOPPED)


def any_running(session: Session) -> bool:
    """Say whether a replay runs."""
    return session.scalar(select(exists().where(Replay.state == ReplayState.RUNNING))) or False


def continue_replays(session: Session) -> int:
    """Take every running replay a step further; return how many deliveries were put on their way."""
    # One worker at a time goes on with a replay, so that nothing is sent twice.
    query = select(Replay).where(Replay.state == ReplayState.RUNNING).order_by(Replay.id)
    found = session.scalars(query.with_for_update(skip_locked=True)).all()
    done = [replay.done for replay in found]
    for replay in found:
        replay_step(session, replay)
    return sum(replay.done for replay in found) - sum(done)


def replay_step(session: Session, replay: Replay) -> bool:
    """Put the next events of a replay on their way, as many as there is room; return whether it runs on."""
    webhook = session.get(Webhook, replay.webhook_id)
    if webhook is None or webhook.deleted_at is not None or not webhook.active:
        _end(session, replay, ReplayState.STOPPED)
        return False
    room = MOST_WAITING - _waiting(session, webhook.id)
    if room <= 0:
        return True
    window = Window(from_at=replay.from_at, to_at=replay.to_at, only_failed=replay.only_failed)
    rows = session.execute(
        _wanted(webhook.id, window).where(Delivery.id > replay.cursor).order_by(Delivery.id).limit(room)
    ).all()
    _send(session, webhook.id, rows)
    replay.done += len(rows)
    if len(rows) < room:
        _end(session, replay, ReplayState.DONE)
        return False
    replay.cursor = rows[-1].id
    return True


def _wanted(webhook_id: int, window: Window) -> Any:
    """Select the first delivery of each event of the window; its copies are the replays of before."""
    earlier = aliased(Delivery)
    copied = exists().where(
        earlier.event_id == Delivery.event_id,
        earlier.webhook_id == Delivery.webhook_id,
        earlier.id < Delivery.id,
    )
    conditions: list[ColumnElement[bool]] = [
        Delivery.webhook_id == webhook_id,
        Delivery.created_at >= window.from_at,
        Delivery.created_at <= window.to_at,
        Delivery.state.in_(NOT_DELIVERED if window.only_failed else FINISHED),
        Event.body.is_not(None),
        ~copied,
    ]
    columns = (Delivery.id, Delivery.chain, Delivery.state, Delivery.event_id)
    return select(*columns).join(Event, Event.id == Delivery.event_id).where(*conditions)


def _waiting(session: Session, webhook_id: int) -> int:
    some = (
        select(Delivery.id)
        .where(Delivery.webhook_id == webhook_id, Delivery.state == State.WAITING)
        .limit(MOST_WAITING)
    )
    return session.scalar(select(func.count()).select_from(some.subquery())) or 0


def _send(session: Session, webhook_id: int, rows: Sequence[Row[Any]]) -> None:
    at = database_now(session)
    delivered = [session.get_one(Delivery, row.id) for row in rows if row.state == State.DELIVERED]
    copies = [copy_of(delivery, at) for delivery in delivered]
    session.add_all(copies)
    session.flush()
    numbers = {copy.event_id: copy.id for copy in copies}
    again = [(numbers.get(row.event_id, row.id), row.chain) for row in rows]
    queue_up(session, webhook_id, again, {**wait_again(at), "due_at": None})


def _end(session: Session, replay: Replay, state: ReplayState) -> None:
    replay.state = state
    replay.finished_at = database_now(session)
