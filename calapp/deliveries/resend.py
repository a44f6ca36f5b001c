"""One way to send again: a selection of deliveries, put in order, step by step, while there is room.

Resend of one and release of parked events are selections here; replay of a time range is in replays.py.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, bindparam, func, or_, select, text, update
from sqlalchemy.orm import Session

from calapp.broker import wake_workers
from calapp.db import UTCDateTime, after_commit, database_now
from calapp.deliveries import outbox
from calapp.deliveries.models import (
    Delivery,
    State,
    in_flight,
    in_state,
    waiting_at,
)
from calapp.deliveries.outbox import ATTEMPTS_THAT_BLOCK, Rendered, TemplateChoice, lock_parked
from calapp.errors import Conflict, Gone, Invalid
from calapp.statements import ByIds, ByRows, Plain, writer
from calapp.webhooks.models import ParkedDecision, Webhook

# What is sent manually does not expire.
PUT_IN_LINE = ByRows(
    """UPDATE delivery SET state = 'waiting', after_id = r.after_id, due_at = r.due_at, claim = NULL,
  tries = 0, reason = NULL, finished_at = NULL, manual = (delivery.manual OR r.manual),
  expires_at = CASE WHEN r.manual THEN NULL ELSE delivery.expires_at END
{from_rows} WHERE delivery.id = r.id""",
    id="integer",
    after_id="integer",
    due_at="timestamptz",
    manual="boolean",
)

# What is out already cannot be called back; what was tried keeps its place in the schedule.
WAIT_BEHIND = ByRows(
    """UPDATE delivery SET after_id = r.after_id, due_at = NULL {from_rows} WHERE delivery.id = r.id
  AND delivery.attempts = 0 AND (delivery.after_id IS NULL OR delivery.after_id <= r.after_id)""",
    id="integer",
    after_id="integer",
)


def put_in_line(session: Session, webhook_id: int, rows: Sequence[tuple[int, str]], *, manual: bool) -> None:
    """Make deliveries (id, chain; oldest first) wait, each behind the one before of its chain; wake all."""
    if not rows:
        return
    at = writer(session)(database_now(session))
    waiting = _waiting(session, webhook_id, dict(rows))
    last: dict[str, int] = {}
    places: list[tuple[int, int | None, str | None, bool]] = []
    for delivery_id, chain in rows:
        earlier = [one for one in waiting.get(chain, ()) if one < delivery_id]
        before = last.get(chain) or max(earlier, default=None)
        places.append((delivery_id, before, None if before else at, manual))
        last[chain] = delivery_id
    PUT_IN_LINE.run(session, places)
    later = {chain: [one for one in waiting.get(chain, ()) if one > tail] for chain, tail in last.items()}
    behind = [(min(ids), last[chain]) for chain, ids in later.items() if ids]
    if behind:
        WAIT_BEHIND.run(session, behind)
    after_commit(session, "wake", wake_workers)


def _waiting(session: Session, webhook_id: int, rows: dict[int, str]) -> dict[str, list[int]]:
    """Return, for each chain of these rows, the ids of what else waits and holds later ones up."""
    found: dict[str, list[int]] = {}
    query = select(Delivery.chain, Delivery.id).where(
        Delivery.webhook_id == webhook_id,
        in_state(State.WAITING),
        Delivery.attempts_on_schedule < ATTEMPTS_THAT_BLOCK,
        Delivery.chain.in_(set(rows.values())),
    )
    for chain, delivery_id in session.execute(query):
        if delivery_id not in rows:
            found.setdefault(chain, []).append(delivery_id)
    return found


NOT_DELIVERED = (State.FAILED, State.EXPIRED)
FINISHED = (*NOT_DELIVERED, State.DELIVERED)

# The order is that of the ids.
RESENT = ByIds(
    """INSERT INTO delivery (event_id, webhook_id, chain, body, content_type, created_at,
  state, attempts, tries, manual)
SELECT event_id, webhook_id, chain, body, content_type, :at, 'waiting', 0, 0, true FROM delivery
WHERE id {among} ORDER BY id RETURNING id, event_id"""
)

# What still waits comes due at once, and keeps its place: in its schedule, and behind an earlier one.
HASTEN = ByIds(
    """UPDATE delivery SET due_at = :at WHERE id {among} AND state = 'waiting' AND due_at > :at
AND claim IS NULL AND after_id IS NULL"""
)


def room(session: Session, webhook_id: int, most: int, *, only_due: bool = False) -> int:
    """Return how many more deliveries of a webhook may wait, or be due, until there are so many."""
    some = select(Delivery.id).where(waiting_at(webhook_id))
    if only_due:
        some = some.where(Delivery.due_at.is_not(None), Delivery.due_at <= database_now(session))
    return most - (session.scalar(select(func.count()).select_from(some.limit(most).subquery())) or 0)


def send_again(session: Session, webhook_id: int, ids: Sequence[int], *, manual: bool = True) -> int:
    """Put a selection of a webhook's deliveries in line, oldest first; return how many still were to be sent.

    A delivered one stays as it is and a new one is sent; one that waits comes due immediately where it is in
    line; one whose template could not be rendered stays failed. `manual`: they are marked as resent and do
    not expire.
    """
    query = select(Delivery.id, Delivery.event_id, Delivery.chain, Delivery.state)
    query = query.where(
        Delivery.id.in_(ids),
        or_(Delivery.state == State.PARKED, and_(Delivery.state.in_(FINISHED), ~Delivery.template_failed)),
    )
    found = session.execute(query.order_by(Delivery.id).with_for_update()).all()
    resent = _new_ones(session, [row.id for row in found if row.state == State.DELIVERED])
    rows = [(resent.get(row.event_id, row.id), row.chain) for row in found]
    put_in_line(session, webhook_id, rows, manual=manual)
    waiting = session.scalars(select(Delivery.id).where(Delivery.id.in_(ids), in_state(State.WAITING))).all()
    waiting = sorted(set(waiting) - {row.id for row in found})
    if waiting:
        HASTEN.run(session, waiting, at=database_now(session))
        after_commit(session, "wake", wake_workers)
    return len(found) + len(waiting)


def _new_ones(session: Session, ids: Sequence[int]) -> dict[int, int]:
    """Make a new delivery of each delivered one, which stays as it is; return the new ids by event id."""
    made = RESENT.run(session, ids, at=database_now(session)) if ids else ()
    return {event_id: new_id for new_id, event_id in made}


def resend(session: Session, delivery: Delivery, choice: TemplateChoice | None = None) -> Delivery:
    """Send this very delivery immediately; return its delivery: a new one when it was delivered.

    It goes whatever its webhook waits for, ahead of earlier events of its booking, too; `sequence` tells the
    receiver. When it fails, the webhook's backoff stays what it is, and one that waits keeps its place in its
    schedule. Its body is as it was, or rendered with the webhook's current template when that is the choice
    or there is no other. Raises Conflict while the webhook is off, the delivery is being sent or the template
    cannot be rendered, Gone when its body was pruned.
    """
    session.refresh(delivery, with_for_update={"key_share": True})  # two clicks at once send it once
    chosen = delivery
    if delivery.state == State.DELIVERED:
        delivery = _resent_in_hand(session, delivery) or delivery
    at = database_now(session)
    _check_sendable(delivery, at)
    made = outbox.for_resend(delivery, choice)
    if choice == TemplateChoice.ORIGINAL and delivery is not chosen:
        made = Rendered(chosen.body, chosen.content_type)
    if delivery.state == State.DELIVERED:
        resent_id = _new_ones(session, [delivery.id])[delivery.event_id]
        delivery = session.get_one(Delivery, resent_id)
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
        .where(Delivery.after_id == delivery.id, in_state(State.WAITING))
        .values(after_id=delivery.after_id)
        .execution_options(synchronize_session=False)
    )
    delivery.after_id = None


def _check_sendable(delivery: Delivery, at: datetime) -> None:
    if delivery.webhook.deleted_at is not None:
        raise Conflict("This webhook was deleted.")
    if not delivery.webhook.active:
        raise Conflict("The webhook is off. Please switch it on first.")
    if delivery.event.body is None:
        raise Gone("The body of this event is no longer stored.")
    if in_flight(delivery, at):
        raise Conflict("It is being sent right now.")


def _resent_in_hand(session: Session, delivery: Delivery) -> Delivery | None:
    """Return the delivery that a first click has made and that still waits, locked."""
    query = select(Delivery).where(
        Delivery.event_id == delivery.event_id,
        Delivery.webhook_id == delivery.webhook_id,
        Delivery.state == State.WAITING,
    )
    return session.scalar(
        query.order_by(Delivery.id).limit(1).with_for_update(key_share=True),
        execution_options={"populate_existing": True},
    )


STEP = 250  # rows of one transaction, which holds SQLite's writer for a few milliseconds
MOST_DUE = 1000  # deliveries of the webhook; no more are released while so many are due
DISCARDED = "Discarded manually."

DISCARD = text("""UPDATE delivery SET state = 'expired', reason = :reason, finished_at = :at
WHERE state = 'parked' AND id IN (
  SELECT id FROM delivery WHERE webhook_id = :webhook AND state = 'parked' AND id <= :last
  ORDER BY id LIMIT :step)""").bindparams(bindparam("at", type_=UTCDateTime))

DECISION_DONE = text("UPDATE webhook SET settling = NULL, settling_to = NULL WHERE id = :id")


def read_choice(given: str) -> ParkedDecision | None:
    """Read what a host decides: send, drop, or None to stop; raise Invalid for anything else."""
    if given == "stop":
        return None
    try:
        return ParkedDecision(given)
    except ValueError:
        raise Invalid("Please choose whether to send or discard the parked events.") from None


def decide(session: Session, webhook: Webhook, choice: ParkedDecision | None) -> None:
    """Note what becomes of the events that are parked now; None: they stay. The steps follow.

    Raises Conflict when they are to be sent and the webhook is off.
    """
    lock_parked(session, webhook.id)
    session.refresh(webhook)
    if choice == ParkedDecision.RELEASE and not webhook.active:
        raise Conflict("The webhook is off. Please switch it on first.")
    webhook.parked_decision = choice
    last = select(func.max(Delivery.id)).where(Delivery.webhook_id == webhook.id, in_state(State.PARKED))
    webhook.decided_up_to = session.scalar(last) if choice else None


PARKED_DECIDED = Plain("SELECT 1 FROM webhook WHERE settling IS NOT NULL LIMIT 1")


def decided_webhooks(session: Session) -> Sequence[int]:
    """Return the webhooks of which parked events are being released or discarded; a plain read."""
    return session.scalars(
        select(Webhook.id).where(Webhook.parked_decision.is_not(None)).order_by(Webhook.id)
    ).all()


def release_room(session: Session, webhook_id: int) -> int:
    """Return how many parked events the next step may send; none while the receiver is behind."""
    return min(STEP, room(session, webhook_id, MOST_DUE, only_due=True))


def continue_decision(session: Session, webhook_id: int) -> int:
    """Release or discard a step of what is parked, oldest first; return how many deliveries it was."""
    lock_parked(session, webhook_id)
    webhook = session.get(Webhook, webhook_id, populate_existing=True)
    if webhook is None or webhook.parked_decision is None:
        return 0
    sending = webhook.parked_decision == ParkedDecision.RELEASE
    most = STEP
    if webhook.deleted_at is not None or (sending and not webhook.active):
        taken = 0
    elif sending:
        most = release_room(session, webhook_id)
        parked = select(Delivery.id).where(Delivery.webhook_id == webhook_id, in_state(State.PARKED))
        ids = session.scalars(parked.order_by(Delivery.id).limit(most)).all()
        taken = send_again(session, webhook_id, ids, manual=False)
    else:
        values: dict[str, object] = {"webhook": webhook_id, "last": webhook.decided_up_to or 0, "step": STEP}
        values |= {"reason": DISCARDED, "at": database_now(session)}
        taken = session.execute(DISCARD, values).rowcount  # type: ignore[attr-defined]
    if taken < most:
        session.execute(DECISION_DONE, {"id": webhook_id})
    return taken
