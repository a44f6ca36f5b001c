"""Replays: the events of a window sent once more to a webhook, by the same engine and its limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from calapp.broker import CHORES, nudge
from calapp.db import after_commit, database_now
from calapp.deliveries import rendering
from calapp.deliveries.batches import ByIds
from calapp.deliveries.models import Delivery, Event, Replay, ReplayState, State, stands, waiting_at
from calapp.deliveries.order import WAIT_AGAIN, queue_up
from calapp.deliveries.rendering import Rendered
from calapp.errors import Conflict, Invalid
from calapp.webhooks.models import Webhook

MOST_WAITING = 200  # deliveries of the webhook; a replay adds no more while so many wait
NOT_DELIVERED = (State.FAILED, State.EXPIRED)
FINISHED = (*NOT_DELIVERED, State.DELIVERED)

# A delivered one stays as it is: a new one carries its event once more. The order is that of the ids.
COPIES = ByIds(
    """INSERT INTO delivery (event_id, webhook_id, chain, body, content_type, created_at,
  state, attempts, tries, manual)
SELECT event_id, webhook_id, chain, body, content_type, :at, 'waiting', 0, 0, true FROM delivery
WHERE id {among} ORDER BY id RETURNING id, event_id"""
)

# What waits still comes due at once, and keeps its place: in its schedule, and behind an earlier one.
HASTEN = ByIds(
    """UPDATE delivery SET due_at = :at WHERE id {among} AND state = 'waiting' AND due_at > :at
AND claim IS NULL AND after_id IS NULL"""
)


@dataclass(frozen=True, kw_only=True)
class Window:
    """Which events are sent once more: those that happened from one instant to another."""

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


def count(session: Session, webhook_id: int, window: Window) -> int:
    """Return how many events a replay of this window would send."""
    return session.scalar(select(func.count()).select_from(_wanted(webhook_id, window).subquery())) or 0


def start(session: Session, webhook: Webhook, window: Window, total: int) -> Replay:
    """Begin a replay of so many events, counted before the transaction: a long log takes a while to walk.

    Raises Conflict while one runs or the webhook is off, Invalid when there is nothing to send.
    """
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
    if not total:
        raise Invalid("There is nothing to send in this window.")
    webhook.hold_until = None  # its host says that it is worth an attempt now; Retry-After stands
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


def plan(session: Session) -> list[Step]:
    """Return what every running replay does next; a plain read, since it may walk a long log."""
    query = select(Replay).where(Replay.state == ReplayState.RUNNING).order_by(Replay.id)
    return [step for replay in session.scalars(query) if (step := _next_step(session, replay))]


def _next_step(session: Session, replay: Replay) -> Step | None:
    webhook = session.get(Webhook, replay.webhook_id)
    if webhook is None or webhook.deleted_at is not None or not webhook.active:
        return Step(replay.id, replay.cursor, (), ReplayState.STOPPED)
    room = _room(session, webhook.id)
    window = Window(from_at=replay.from_at, to_at=replay.to_at, only_failed=replay.only_failed)
    begin = replay.cursor or _last_before(session, webhook.id, window)
    query = _wanted(webhook.id, window).add_columns(Delivery.state).where(Delivery.id > begin)
    found = session.execute(query.order_by(Delivery.id).limit(MOST_WAITING)).all()
    ids: list[int] = []
    for delivery_id, state in found:
        room -= state != State.WAITING  # which takes no room: it waits already
        if room < 0:
            break
        ids.append(delivery_id)
    if found and not ids:
        return None
    whole = len(ids) == len(found) < MOST_WAITING
    leads_to = ReplayState.DONE if whole else ReplayState.RUNNING
    return Step(replay.id, replay.cursor, ids, leads_to, rendering.corrected(session, ids))


def _last_before(session: Session, webhook_id: int, window: Window) -> int:
    """Return the last delivery before a window, searched from the newest on: what is older is not walked."""
    query = (
        select(Delivery.id)
        .where(Delivery.webhook_id == webhook_id, Delivery.created_at < window.from_at)
        .order_by(Delivery.id.desc())
    )
    return session.scalar(query.limit(1)) or 0


def take(session: Session, step: Step) -> None:
    """Put what was planned on its way, unless another worker was first or the replay was stopped."""
    query = select(Replay).where(Replay.id == step.replay_id, Replay.state == ReplayState.RUNNING)
    replay = session.scalar(
        query.with_for_update(skip_locked=True), execution_options={"populate_existing": True}
    )
    if replay is None or replay.cursor != step.cursor:
        return
    if step.ids:
        replay.done += _send(session, replay.webhook_id, step.ids, step.corrected)
        replay.cursor = step.ids[-1]
    if step.leads_to != ReplayState.RUNNING:
        _end(session, replay, step.leads_to)


def _wanted(webhook_id: int, window: Window) -> Any:
    """Select the first delivery of each event of the window, unless a copy of it is on its way already.

    One that still waits is among them: it comes due at once.
    """
    other = aliased(Delivery)
    passed_over = exists().where(
        other.event_id == Delivery.event_id,
        # The sum keeps the databases from walking the webhook's whole log for each of its rows.
        other.webhook_id + 0 == webhook_id,
        or_(other.id < Delivery.id, and_(other.state == State.WAITING, Delivery.state != State.WAITING)),
    )
    states = NOT_DELIVERED if window.only_failed else FINISHED
    conditions: list[ColumnElement[bool]] = [
        Delivery.webhook_id == webhook_id,
        Delivery.created_at >= window.from_at,
        Delivery.created_at <= window.to_at,
        Delivery.state.in_((*states, State.WAITING)),
        Event.body.is_not(None),
        ~passed_over,
    ]
    return select(Delivery.id).join(Event, Event.id == Delivery.event_id).where(*conditions)


def _room(session: Session, webhook_id: int) -> int:
    some = select(Delivery.id).where(waiting_at(webhook_id)).limit(MOST_WAITING)
    return MOST_WAITING - (session.scalar(select(func.count()).select_from(some.subquery())) or 0)


def _send(session: Session, webhook_id: int, ids: Sequence[int], corrected: Mapping[int, Rendered]) -> int:
    """Make deliveries wait, copies of those that were delivered; return how many, since a look may be old.

    What waits already comes due at once. One whose template can still not be rendered stays failed.
    """
    for delivery_id, made in corrected.items():
        if made.problem is None:
            made.give(session.get_one(Delivery, delivery_id, with_for_update=True))
    session.flush()
    query = select(Delivery.id, Delivery.event_id, Delivery.chain, Delivery.state)
    query = query.where(
        Delivery.id.in_(ids), Delivery.state.in_(FINISHED), ~Delivery.template_failed
    ).order_by(Delivery.id)
    found = session.execute(query.with_for_update()).all()
    copied = COPIES.run(
        session, [row.id for row in found if row.state == State.DELIVERED], at=database_now(session)
    )
    copies = {row.event_id: row.id for row in copied}
    queue_up(
        session, webhook_id, [(copies.get(row.event_id, row.id), row.chain) for row in found], WAIT_AGAIN
    )
    waiting = session.scalars(select(Delivery.id).where(Delivery.id.in_(ids), stands(State.WAITING))).all()
    waiting = sorted(set(waiting) - {row.id for row in found})
    if waiting:
        HASTEN.run(session, waiting, at=database_now(session))
        after_commit(session, "nudge", nudge)
    return len(found) + len(waiting)


def _end(session: Session, replay: Replay, state: ReplayState) -> None:
    replay.state = state
    replay.finished_at = database_now(session)
