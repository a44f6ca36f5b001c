"""What a host does with deliveries by hand: look, resend, and release or let go what was parked."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from calapp.broker import nudge
from calapp.db import after_commit, database_now
from calapp.deliveries.models import Attempt, Delivery, State
from calapp.deliveries.outbox import TRIES_THAT_HOLD
from calapp.deliveries.upkeep import STEP
from calapp.errors import Conflict, Gone, NotFound
from calapp.webhooks.models import Webhook

LET_GO = "It was let go by hand when the webhook was switched on again."


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
        .where(Delivery.webhook_id.in_(list(webhook_ids)), Delivery.state == state)
        .group_by(Delivery.webhook_id)
    )
    return {row.webhook_id: row.number for row in session.execute(query)}


def resend(session: Session, delivery: Delivery) -> Delivery:
    """Send an event once more; return the delivery that carries it: a new one when it was delivered before.

    Raises Conflict while the webhook is off or the delivery is being sent, Gone when its body was pruned.
    """
    at = database_now(session)
    session.refresh(delivery, with_for_update=True)  # two clicks at once send it once
    _check_sendable(delivery, at)
    if delivery.state == State.DELIVERED:
        delivery = _copy_in_hand(session, delivery) or _add_copy(session, delivery, at)
    else:
        session.execute(update(Delivery).where(Delivery.id == delivery.id).values(wait_again(at)))
        session.refresh(delivery)
    try_at_once(delivery.webhook)
    after_commit(session, "nudge", nudge)
    return delivery


def _check_sendable(delivery: Delivery, at: datetime) -> None:
    if not delivery.webhook.active:
        raise Conflict("The webhook is off. Please switch it on first; nothing is sent while it is off.")
    if delivery.event.body is None:
        raise Gone("The body of this event is no longer kept; bodies go after 30 days.")
    leased = delivery.claim is not None and delivery.due_at is not None and delivery.due_at > at
    if delivery.state == State.WAITING and leased:
        raise Conflict("It is being sent just now.")


def wait_again(at: datetime) -> dict[str, object]:
    """Return the values of a delivery that starts its schedule anew; what is sent by hand does not expire."""
    return {
        "state": State.WAITING,
        "due_at": at,
        "after_id": None,
        "claim": None,
        "tries": 0,
        "manual": True,
        "reason": None,
        "finished_at": None,
        "expires_at": None,
    }


def _copy_in_hand(session: Session, delivery: Delivery) -> Delivery | None:
    """Return the copy that a first click has made and that still waits."""
    return session.scalar(
        select(Delivery)
        .where(
            Delivery.event_id == delivery.event_id,
            Delivery.webhook_id == delivery.webhook_id,
            Delivery.state == State.WAITING,
        )
        .limit(1)
    )


def _add_copy(session: Session, delivery: Delivery, at: datetime) -> Delivery:
    again = copy_of(delivery, at)
    session.add(again)
    session.flush()
    return again


def copy_of(delivery: Delivery, at: datetime) -> Delivery:
    """Return a new delivery of the same event with the same body; a delivered one stays as it is."""
    return Delivery(
        event_id=delivery.event_id,
        webhook_id=delivery.webhook_id,
        chain=delivery.chain,
        body=delivery.body,
        content_type=delivery.content_type,
        created_at=at,
        **wait_again(at),
    )


def try_at_once(webhook: Webhook) -> None:
    """End the pause of a webhook that keeps failing; one that it asked for by Retry-After stands."""
    webhook.hold_until = None


def release_parked(session: Session, webhook: Webhook) -> int:
    """Make a step of what is parked wait, oldest first and each chain in its order; return how many.

    Raises Conflict while the webhook is off.
    """
    if not webhook.active:
        raise Conflict("The webhook is off. Please switch it on first.")
    parked = (
        select(Delivery.id, Delivery.chain)
        .where(Delivery.webhook_id == webhook.id, Delivery.state == State.PARKED)
        .order_by(Delivery.id)
        .limit(STEP)
        .with_for_update(of=Delivery)
    )
    rows = [(row.id, row.chain) for row in session.execute(parked)]
    values = {"state": State.WAITING, "tries": 0, "reason": None, "claim": None}
    queue_up(session, webhook.id, rows, values)
    return len(rows)


def let_go_parked(session: Session, webhook: Webhook) -> int:
    """Mark a step of what is parked as expired; return how many. Each can still be resent."""
    parked = (
        select(Delivery.id)
        .where(Delivery.webhook_id == webhook.id, Delivery.state == State.PARKED)
        .order_by(Delivery.id)
        .limit(STEP)
    )
    ids = session.scalars(parked).all()
    values = {"state": State.EXPIRED, "reason": LET_GO, "finished_at": database_now(session)}
    _change(session, ids, values)
    return len(ids)


def queue_up(
    session: Session, webhook_id: int, rows: Sequence[tuple[int, str]], values: dict[str, object]
) -> None:
    """Make deliveries (id, chain; oldest first) wait, the k-th of a chain behind the (k-1)-th; and nudge."""
    if not rows:
        return
    at = database_now(session)
    waiting = _waiting(session, webhook_id, dict(rows))
    last: dict[str, int] = {}
    orders: list[dict[str, object]] = []
    for delivery_id, chain in rows:
        earlier = [one for one in waiting.get(chain, ()) if one < delivery_id]
        before = last.get(chain) or max(earlier, default=None)
        orders.append({"_id": delivery_id, "_after": before, "_due": None if before else at})
        last[chain] = delivery_id
    _change(session, [delivery_id for delivery_id, _ in rows], values)
    _order(session, orders)
    later = {chain: [one for one in waiting.get(chain, ()) if one > tail] for chain, tail in last.items()}
    _order(
        session,
        [{"_id": min(ids), "_after": last[chain], "_due": None} for chain, ids in later.items() if ids],
        # What is out already cannot be called back; what was tried keeps its place in the schedule.
        Delivery.attempts == 0,
        Delivery.after_id.is_(None),
    )
    after_commit(session, "nudge", nudge)


def _waiting(session: Session, webhook_id: int, rows: dict[int, str]) -> dict[str, list[int]]:
    """Return, for each chain of these rows, the ids of what else waits and holds later ones up."""
    found: dict[str, list[int]] = {}
    query = select(Delivery.chain, Delivery.id).where(
        Delivery.webhook_id == webhook_id,
        Delivery.state == State.WAITING,
        Delivery.tries < TRIES_THAT_HOLD,
        Delivery.chain.in_(set(rows.values())),
    )
    for chain, delivery_id in session.execute(query):
        if delivery_id not in rows:
            found.setdefault(chain, []).append(delivery_id)
    return found


def _order(session: Session, orders: Sequence[Mapping[str, object]], *conditions: object) -> None:
    if not orders:
        return
    table = Delivery.__table__
    statement = (
        table.update()
        .where(table.c.id == bindparam("_id"), *conditions)
        .values(after_id=bindparam("_after"), due_at=bindparam("_due"))
    )
    session.connection().execute(statement, list(orders))


def _change(session: Session, ids: Sequence[int], values: dict[str, object]) -> None:
    if ids:
        session.execute(
            update(Delivery)
            .where(Delivery.id.in_(ids))
            .values(**values)
            .execution_options(synchronize_session=False)
        )
