"""What is parked: sent in order or let go, as its host decides; the worker carries it on in steps.

The decision stands on the webhook and what is left is what is still parked, so a step needs no more than the
database, whichever process takes it.
"""

from collections.abc import Sequence

from sqlalchemy import bindparam, func, select, text
from sqlalchemy.orm import Session

from calapp.db import UTCDateTime, database_now
from calapp.deliveries.models import Delivery, State, stands
from calapp.deliveries.order import WAIT, queue_up
from calapp.deliveries.outbox import lock_parked
from calapp.errors import Conflict, Invalid
from calapp.webhooks.models import Settling, Webhook

STEP = 250  # rows of one transaction, which holds SQLite's writer for a few milliseconds
MOST_DUE = 1000  # deliveries of the webhook; no more are released while so many are due
LET_GO = "It was let go by hand."

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
        raise Invalid("Please choose whether the parked events are sent or let go.") from None


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
    """Return the webhooks of which parked events are being sent or let go; a plain read."""
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
    """Send or let go a step of what is parked, oldest first; return how many deliveries it was."""
    lock_parked(session, webhook_id)
    webhook = session.get(Webhook, webhook_id, populate_existing=True)
    if webhook is None or webhook.settling is None:
        return 0
    sending = webhook.settling == Settling.SEND
    if webhook.deleted_at is not None or (sending and not webhook.active):
        session.execute(SETTLED, {"id": webhook_id})
        return 0
    most = room(session, webhook_id) if sending else STEP
    taken = _send(session, webhook_id, most) if sending else _let_go(session, webhook)
    if taken < most:
        session.execute(SETTLED, {"id": webhook_id})
    return taken


def _send(session: Session, webhook_id: int, most: int) -> int:
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
