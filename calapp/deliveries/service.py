"""What a host does with deliveries by hand: look and resend."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from calapp.broker import nudge
from calapp.db import after_commit, database_now
from calapp.deliveries import rendering
from calapp.deliveries.batches import writer
from calapp.deliveries.models import Attempt, Delivery, State, stands
from calapp.deliveries.order import WAIT_AGAIN
from calapp.deliveries.rendering import TemplateChoice
from calapp.errors import Conflict, Gone, NotFound
from calapp.webhooks.models import Webhook


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
    """Send an event once more; return the delivery that carries it: a new one when it was delivered before.

    Its body is as it was, or rendered with the webhook's current template when that is the choice or there is
    no other. Raises Conflict while the webhook is off, the delivery is being sent or the template cannot be
    rendered, Gone when its body was pruned.
    """
    at = database_now(session)
    session.refresh(delivery, with_for_update=True)  # two clicks at once send it once
    _check_sendable(delivery, at)
    made = rendering.for_resend(delivery, choice)
    if delivery.state == State.DELIVERED:
        delivery = _copy_in_hand(session, delivery) or _add_copy(session, delivery, at)
    else:
        WAIT_AGAIN.run(session, [(delivery.id, None, writer(session)(at))])
        session.refresh(delivery)
    if made:
        made.give(delivery)
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
    """Add a new delivery of the same event with the same body; a delivered one stays as it is."""
    again = Delivery(
        event_id=delivery.event_id,
        webhook_id=delivery.webhook_id,
        chain=delivery.chain,
        body=delivery.body,
        content_type=delivery.content_type,
        created_at=at,
        due_at=at,
        manual=True,
    )
    session.add(again)
    session.flush()
    return again


def try_at_once(webhook: Webhook) -> None:
    """End the pause of a webhook that keeps failing; one that it asked for by Retry-After stands."""
    webhook.hold_until = None
