"""The order within a chain: of the deliveries that are made to wait, which stands behind which."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, exists, func, or_, select, text, update
from sqlalchemy.orm import Session, aliased

from calapp.broker import CHORES, wake_workers
from calapp.db import UTCDateTime, after_commit, database_now
from calapp.deliveries import outbox
from calapp.deliveries.batches import ByIds, ByRows, writer
from calapp.deliveries.models import (
    Attempt,
    Delivery,
    Event,
    Replay,
    ReplayState,
    State,
    in_flight,
    stands,
    waiting_at,
)
from calapp.deliveries.outbox import ATTEMPTS_THAT_BLOCK, Rendered, TemplateChoice, lock_parked
from calapp.errors import Conflict, Gone, Invalid, NotFound
from calapp.webhooks.models import Settling, Webhook

PLACES = {"id": "integer", "after_id": "integer", "due_at": "timestamptz"}

WAIT = ByRows(
    """UPDATE delivery SET state = 'waiting', after_id = r.after_id, due_at = r.due_at, claim = NULL,
  tries = 0, reason = NULL {from_rows} WHERE delivery.id = r.id""",
    **PLACES,
)

# Sent manually: it does not expire.
WAIT_AGAIN = ByRows(
    """UPDATE delivery SET state = 'waiting', after_id = r.after_id, due_at = r.due_at, claim = NULL,
  tries = 0, reason = NULL, manual = true, finished_at = NULL, expires_at = NULL
{from_rows} WHERE delivery.id = r.id""",
    **PLACES,
)

# What is out already cannot be called back; what was tried keeps its place in the schedule.
STAND_BEHIND = ByRows(
    """UPDATE delivery SET after_id = r.after_id, due_at = NULL {from_rows} WHERE delivery.id = r.id
  AND delivery.attempts = 0 AND (delivery.after_id IS NULL OR delivery.after_id <= r.after_id)""",
    id="integer",
    after_id="integer",
)


def queue_up(session: Session, webhook_id: int, rows: Sequence[tuple[int, str]], statement: ByRows) -> None:
    """Make deliveries (id, chain; oldest first) wait, the k-th of a chain behind the (k-1)-th; wake workers.

    `statement` is WAIT or WAIT_AGAIN.
    """
    if not rows:
        return
    at = writer(session)(database_now(session))
    waiting = _waiting(session, webhook_id, dict(rows))
    last: dict[str, int] = {}
    places: list[tuple[int, int | None, str | None]] = []
    for delivery_id, chain in rows:
        earlier = [one for one in waiting.get(chain, ()) if one < delivery_id]
        before = last.get(chain) or max(earlier, default=None)
        places.append((delivery_id, before, None if before else at))
        last[chain] = delivery_id
    statement.run(session, places)
    later = {chain: [one for one in waiting.get(chain, ()) if one > tail] for chain, tail in last.items()}
    behind = [(min(ids), last[chain]) for chain, ids in later.items() if ids]
    if behind:
        STAND_BEHIND.run(session, behind)
    after_commit(session, "wake", wake_workers)


def _waiting(session: Session, webhook_id: int, rows: dict[int, str]) -> dict[str, list[int]]:
    """Return, for each chain of these rows, the ids of what else waits and holds later ones up."""
    found: dict[str, list[int]] = {}
    query = select(Delivery.chain, Delivery.id).where(
        Delivery.webhook_id == webhook_id,
        stands(State.WAITING),
        Delivery.attempts_on_schedule < ATTEMPTS_THAT_BLOCK,
        Delivery.chain.in_(set(rows.values())),
    )
    for chain, delivery_id in session.execute(query):
        if delivery_id not in rows:
            found.setdefault(chain, []).append(delivery_id)
    return found


def find(session: Session, webhook_id: int, delivery_id: int) -> Delivery:
    """Return a webhook's delivery; raise NotFound when it has none with this id."""
    delivery = session.get(Delivery, delivery_id)
    if delivery is None or delivery.webhook_id != webhook_id:
        raise NotFound
    return delivery


def find_of_host(session: Session, user_id: int, delivery_id: int) -> Delivery:
    """Return a host's delivery; raise NotFound for a stranger's, or when its webhook is deleted."""
    delivery = session.get(Delivery, delivery_id)
    if delivery is None or delivery.webhook.user_id != user_id or delivery.webhook.deleted_at is not None:
        raise NotFound
    return delivery


def attempts_of(session: Session, delivery_id: int) -> list[Attempt]:
    """Return the tries of a delivery, newest first."""
    query = select(Attempt).where(Attempt.delivery_id == delivery_id)
    return list(session.scalars(query.order_by(Attempt.id.desc())))


def counts(session: Session, webhook_ids: Iterable[int], state: State) -> dict[int, int]:
    """Return how many deliveries of each webhook stand in a state; a webhook without any is left out."""
    query = (
        select(Delivery.webhook_id, func.count().label("number"))
        .where(Delivery.webhook_id.in_(list(webhook_ids)), stands(state))
        .group_by(Delivery.webhook_id)
    )
    return {row.webhook_id: row.number for row in session.execute(query)}


def resend(session: Session, delivery: Delivery, choice: TemplateChoice | None = None) -> Delivery:
    """Send this very delivery at once; return the one that carries it: a new one when it was delivered.

    It goes whatever its webhook waits for, ahead of earlier events of its booking, too; `sequence` tells the
    receiver. When it fails, the webhook's backoff stays what it is, and one that waits keeps its place in its
    schedule. Its body is as it was, or rendered with the webhook's current template when that is the choice
    or there is no other. Raises Conflict while the webhook is off, the delivery is being sent or the template
    cannot be rendered, Gone when its body was pruned.
    """
    session.refresh(delivery, with_for_update={"key_share": True})  # two clicks at once send it once
    if delivery.state == State.DELIVERED:
        delivery = _copy_in_hand(session, delivery) or delivery
    at = database_now(session)
    _check_sendable(delivery, at)
    made = outbox.for_resend(delivery, choice)
    if delivery.state == State.DELIVERED:
        delivery = _add_copy(session, delivery)
    elif delivery.state == State.WAITING:
        _step_out_of_line(session, delivery)
    else:
        delivery.state, delivery.attempts_on_schedule = State.WAITING, 0
    if made:
        made.give(delivery)
    delivery.due_at = delivery.pressed_at = at
    delivery.manual = True
    delivery.claim = delivery.reason = delivery.finished_at = delivery.expires_at = None
    after_commit(session, "wake", wake_workers)
    return delivery


def _step_out_of_line(session: Session, delivery: Delivery) -> None:
    """Let what waits behind a delivery wait behind the one that it waited behind itself."""
    if delivery.after_id is None:
        return
    session.execute(
        update(Delivery)
        .where(Delivery.after_id == delivery.id, stands(State.WAITING))
        .values(after_id=delivery.after_id)
        .execution_options(synchronize_session=False)
    )
    delivery.after_id = None


def _check_sendable(delivery: Delivery, at: datetime) -> None:
    if delivery.webhook.deleted_at is not None:
        raise Conflict("This webhook was deleted. Nothing is sent to it any more.")
    if not delivery.webhook.active:
        raise Conflict("The webhook is off. Please switch it on first; nothing is sent while it is off.")
    if delivery.event.body is None:
        raise Gone("The body of this event is no longer kept; bodies go after 30 days.")
    if in_flight(delivery, at):
        raise Conflict("It is being sent just now.")


def _copy_in_hand(session: Session, delivery: Delivery) -> Delivery | None:
    """Return the copy that a first click has made and that still waits, locked."""
    query = select(Delivery).where(
        Delivery.event_id == delivery.event_id,
        Delivery.webhook_id == delivery.webhook_id,
        Delivery.state == State.WAITING,
    )
    return session.scalar(
        query.order_by(Delivery.id).limit(1).with_for_update(key_share=True),
        execution_options={"populate_existing": True},
    )


def _add_copy(session: Session, delivery: Delivery) -> Delivery:
    """Add a new delivery of the same event with the same body; a delivered one stays as it is."""
    again = Delivery(
        event_id=delivery.event_id,
        webhook_id=delivery.webhook_id,
        chain=delivery.chain,
        body=delivery.body,
        content_type=delivery.content_type,
        created_at=database_now(session),
        state=State.WAITING,
    )
    session.add(again)
    session.flush()
    return again


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
        raise Invalid("There is nothing to send in this time range.")
    webhook.backoff_until = None  # its host says that it is worth an attempt now; Retry-After stands
    replay = Replay(
        webhook_id=webhook.id,
        from_at=window.from_at,
        to_at=window.to_at,
        only_failed=window.only_failed,
        total=total,
    )
    session.add(replay)
    session.flush()
    after_commit(session, "wake for chores", lambda: wake_workers(CHORES))
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
    return Step(replay.id, replay.cursor, ids, leads_to, outbox.corrected(session, ids))


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
        replay.done += _send_replay(session, replay.webhook_id, step.ids, step.corrected)
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


def _send_replay(
    session: Session, webhook_id: int, ids: Sequence[int], corrected: Mapping[int, Rendered]
) -> int:
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
        after_commit(session, "wake", wake_workers)
    return len(found) + len(waiting)


def _end(session: Session, replay: Replay, state: ReplayState) -> None:
    replay.state = state
    replay.finished_at = database_now(session)


STEP = 250  # rows of one transaction, which holds SQLite's writer for a few milliseconds
MOST_DUE = 1000  # deliveries of the webhook; no more are released while so many are due
LET_GO = "Discarded manually."

DROP = text("""UPDATE delivery SET state = 'expired', reason = :reason, finished_at = :at
WHERE state = 'parked' AND id IN (
  SELECT id FROM delivery WHERE webhook_id = :webhook AND state = 'parked' AND id <= :last
  ORDER BY id LIMIT :step)""").bindparams(bindparam("at", type_=UTCDateTime))

SETTLED = text("UPDATE webhook SET settling = NULL, settling_to = NULL WHERE id = :id")


def read_choice(given: str) -> Settling | None:
    """Read what a host decides: send, drop, or None to stop; raise Invalid for anything else."""
    if given == "stop":
        return None
    try:
        return Settling(given)
    except ValueError:
        raise Invalid("Please choose whether to send or discard the parked events.") from None


def decide(session: Session, webhook: Webhook, choice: Settling | None) -> None:
    """Note what becomes of the events that are parked now; None: they stay. The steps follow.

    Raises Conflict when they are to be sent and the webhook is off.
    """
    lock_parked(session, webhook.id)
    session.refresh(webhook)
    if choice == Settling.SEND and not webhook.active:
        raise Conflict("The webhook is off. Please switch it on first.")
    webhook.settling = choice
    webhook.settling_to = _last_parked(session, webhook.id) if choice else None


def _last_parked(session: Session, webhook_id: int) -> int | None:
    query = select(Delivery.id).where(Delivery.webhook_id == webhook_id, stands(State.PARKED))
    return session.scalar(query.order_by(Delivery.id.desc()).limit(1))


def unsettled(session: Session) -> Sequence[int]:
    """Return the webhooks of which parked events are being sent or discarded; a plain read."""
    return session.scalars(select(Webhook.id).where(Webhook.settling.is_not(None)).order_by(Webhook.id)).all()


def room(session: Session, webhook_id: int) -> int:
    """Return how many deliveries the next step may send; none while the receiver is behind."""
    due = (
        select(Delivery.id)
        .where(
            Delivery.webhook_id == webhook_id,
            stands(State.WAITING),
            Delivery.due_at.is_not(None),
            Delivery.due_at <= database_now(session),
        )
        .limit(MOST_DUE)
    )
    count = session.scalar(select(func.count()).select_from(due.subquery())) or 0
    return min(STEP, MOST_DUE - count)


def take_step(session: Session, webhook_id: int) -> int:
    """Send or discard a step of what is parked, oldest first; return how many deliveries it was."""
    lock_parked(session, webhook_id)
    webhook = session.get(Webhook, webhook_id, populate_existing=True)
    if webhook is None or webhook.settling is None:
        return 0
    sending = webhook.settling == Settling.SEND
    if webhook.deleted_at is not None or (sending and not webhook.active):
        session.execute(SETTLED, {"id": webhook_id})
        return 0
    most = room(session, webhook_id) if sending else STEP
    taken = _send_parked(session, webhook_id, most) if sending else _let_go(session, webhook)
    if taken < most:
        session.execute(SETTLED, {"id": webhook_id})
    return taken


def _send_parked(session: Session, webhook_id: int, most: int) -> int:
    parked = (
        select(Delivery.id, Delivery.chain)
        .where(Delivery.webhook_id == webhook_id, stands(State.PARKED))
        .order_by(Delivery.id)
        .limit(most)
        .with_for_update()
    )
    rows = [(row.id, row.chain) for row in session.execute(parked)]
    queue_up(session, webhook_id, rows, WAIT)
    return len(rows)


def _let_go(session: Session, webhook: Webhook) -> int:
    values = {"webhook": webhook.id, "last": webhook.settling_to or 0, "step": STEP}
    at = database_now(session)
    return int(session.execute(DROP, {**values, "reason": LET_GO, "at": at}).rowcount)  # type: ignore[attr-defined]
