"""What a host does with deliveries by hand: look and resend."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from calapp.broker import nudge
from calapp.db import after_commit, database_now
from calapp.deliveries import rendering
from calapp.deliveries.models import Attempt, Delivery, State, in_flight, stands
from calapp.deliveries.rendering import TemplateChoice
from calapp.errors import Conflict, Gone, NotFound


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
    made = rendering.for_resend(delivery, choice)
    if delivery.state == State.DELIVERED:
        delivery = _add_copy(session, delivery)
    elif delivery.state == State.WAITING:
        _step_out_of_line(session, delivery)
    else:
        delivery.state, delivery.tries = State.WAITING, 0
    if made:
        made.give(delivery)
    delivery.due_at = delivery.pressed_at = at
    delivery.manual = True
    delivery.claim = delivery.reason = delivery.finished_at = delivery.expires_at = None
    after_commit(session, "nudge", nudge)
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
