"""Replays: all events of a time range are resent, in order, while there is room."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from calapp import limits
from calapp.accounts.service import lock_user
from calapp.broker import wake_maintenance
from calapp.db import after_commit, database_now
from calapp.deliveries import outbox
from calapp.deliveries.models import Delivery, Event, Replay, ReplayState, State
from calapp.deliveries.outbox import Rendered
from calapp.deliveries.resend import FINISHED, NOT_DELIVERED, room, send_again
from calapp.errors import Conflict, Invalid
from calapp.statements import Plain
from calapp.webhooks.models import Webhook

MOST_WAITING = 200  # deliveries of the webhook; a replay adds no more while so many wait


@dataclass(frozen=True, kw_only=True)
class TimeRange:
    """Which events are sent again: those that happened from one instant to another."""

    from_at: datetime
    to_at: datetime
    only_failed: bool  # not those that were delivered


@dataclass(frozen=True)
class Step:
    """What a replay does next: which deliveries it sends, and what becomes of it."""

    replay_id: int
    cursor: int  # from which it was planned
    ids: Sequence[int]
    leads_to: ReplayState
    corrected: Mapping[int, Rendered] = field(default_factory=dict)  # of those whose template had failed


class Counted(NamedTuple):
    """How many events a replay would send, and how many of them still wait and would come due at once."""

    total: int
    waiting: int


def count(session: Session, webhook_id: int, time_range: TimeRange) -> Counted:
    """Return how many events a replay of this time range would send."""
    found = _wanted(webhook_id, time_range).add_columns(Delivery.state).subquery()
    waits = func.count().filter(found.c.state == State.WAITING)
    return Counted(*session.execute(select(func.count(), waits).select_from(found)).one())


def start(session: Session, webhook: Webhook, time_range: TimeRange, total: int) -> Replay:
    """Begin a replay of `total` events, counted before the transaction: a long log takes a while to walk.

    Raises Conflict while one runs or the webhook is off, LimitReached while as many of the host run as may,
    Invalid when there is nothing to send.
    """
    lock_user(session, webhook.user_id)  # two at once may not both be the last one
    session.refresh(webhook, with_for_update=True)  # two clicks at once start one
    if not webhook.active:
        raise Conflict("The webhook is off. Please switch it on first.")
    if running(session, webhook.id):
        raise Conflict("A replay of this webhook is already running.")
    _check_number(session, webhook.user_id)
    time_range = TimeRange(
        from_at=time_range.from_at,
        to_at=min(time_range.to_at, database_now(session)),
        only_failed=time_range.only_failed,
    )
    if not total:
        raise Invalid("There is nothing to send in this time range.")
    webhook.backoff_until = None  # its host says that it is worth an attempt now; Retry-After stays
    replay = Replay(
        webhook_id=webhook.id,
        from_at=time_range.from_at,
        to_at=time_range.to_at,
        only_failed=time_range.only_failed,
        total=total,
    )
    session.add(replay)
    session.flush()
    after_commit(session, "wake maintenance", wake_maintenance)
    return replay


def _check_number(session: Session, user_id: int) -> None:
    mine = (
        select(func.count(Replay.id))
        .join(Webhook, Webhook.id == Replay.webhook_id)
        .where(Webhook.user_id == user_id, Replay.state == ReplayState.RUNNING)
    )
    if (session.scalar(mine) or 0) >= limits.REPLAYS_PER_HOST:
        most = limits.REPLAYS_PER_HOST
        running_now = "1 replay is" if most == 1 else f"{most} replays are"
        words = f"{running_now} running, which is the limit. Please wait until one has finished."
        raise limits.reached("REPLAYS_PER_HOST", host=user_id, words=words)


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
    """Stop the replay of a webhook; what it has queued is still sent."""
    replay = running(session, webhook_id)
    if replay:
        _end(session, replay, ReplayState.STOPPED)


REPLAYS_RUN = Plain("SELECT 1 FROM replay WHERE state = 'running' LIMIT 1")


def plan(session: Session) -> list[Step]:
    """Return what every running replay does next: a plain read, since it may walk a long log."""
    query = select(Replay).where(Replay.state == ReplayState.RUNNING).order_by(Replay.id)
    return [step for replay in session.scalars(query) if (step := _next_step(session, replay))]


def _next_step(session: Session, replay: Replay) -> Step | None:
    webhook = session.get(Webhook, replay.webhook_id)
    if webhook is None or webhook.deleted_at is not None or not webhook.active:
        return Step(replay.id, replay.cursor, (), ReplayState.STOPPED)
    free = room(session, webhook.id, MOST_WAITING)
    time_range = TimeRange(from_at=replay.from_at, to_at=replay.to_at, only_failed=replay.only_failed)
    # Before the first step it is searched from the newest on: what is older than the range is not walked.
    earlier = select(Delivery.id).where(
        Delivery.webhook_id == webhook.id, Delivery.created_at < replay.from_at
    )
    begin = replay.cursor or session.scalar(earlier.order_by(Delivery.id.desc()).limit(1)) or 0
    query = _wanted(webhook.id, time_range).add_columns(Delivery.state).where(Delivery.id > begin)
    found = session.execute(query.order_by(Delivery.id).limit(MOST_WAITING)).all()
    ids: list[int] = []
    for delivery_id, state in found:
        free -= state != State.WAITING  # which takes no room: it waits already
        if free < 0:
            break
        ids.append(delivery_id)
    if found and not ids:
        return None
    whole = len(ids) == len(found) < MOST_WAITING
    leads_to = ReplayState.DONE if whole else ReplayState.RUNNING
    return Step(replay.id, replay.cursor, ids, leads_to, outbox.corrected(session, ids))


def continue_replay(session: Session, step: Step) -> None:
    """Put what was planned on its way, unless another worker was first or the replay was stopped."""
    query = select(Replay).where(Replay.id == step.replay_id, Replay.state == ReplayState.RUNNING)
    replay = session.scalar(
        query.with_for_update(skip_locked=True), execution_options={"populate_existing": True}
    )
    if replay is None or replay.cursor != step.cursor:
        return
    if step.ids:
        for delivery_id, made in step.corrected.items():
            if made.problem is None:
                made.give(session.get_one(Delivery, delivery_id, with_for_update=True))
        session.flush()
        replay.done += send_again(session, replay.webhook_id, step.ids)
        replay.cursor = step.ids[-1]
    if step.leads_to != ReplayState.RUNNING:
        _end(session, replay, step.leads_to)


def _wanted(webhook_id: int, time_range: TimeRange) -> Any:
    """Select the first delivery of each event of the time range, unless it is being resent already.

    One that still waits is among them: it comes due at once.
    """
    other = aliased(Delivery)
    passed_over = exists().where(
        other.event_id == Delivery.event_id,
        # The sum keeps the databases from walking the webhook's whole log for each of its rows.
        other.webhook_id + 0 == webhook_id,
        or_(other.id < Delivery.id, and_(other.state == State.WAITING, Delivery.state != State.WAITING)),
    )
    states = NOT_DELIVERED if time_range.only_failed else FINISHED
    conditions: list[ColumnElement[bool]] = [
        Delivery.webhook_id == webhook_id,
        Delivery.created_at >= time_range.from_at,
        Delivery.created_at <= time_range.to_at,
        Delivery.state.in_((*states, State.WAITING)),
        Event.body.is_not(None),
        ~passed_over,
    ]
    return select(Delivery.id).join(Event, Event.id == Delivery.event_id).where(*conditions)


def _end(session: Session, replay: Replay, state: ReplayState) -> None:
    replay.state = state
    replay.finished_at = database_now(session)
