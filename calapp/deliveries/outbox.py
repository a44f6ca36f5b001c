"""The outbox: the event is written with the fact, in the same transaction, never beside it."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp import logs
from calapp.accounts.models import User
from calapp.broker import nudge
from calapp.db import AfterCommit, after_commit, database_now, one_at_a_time
from calapp.deliveries import body
from calapp.deliveries.models import Delivery, Event, State, stands
from calapp.errors import Invalid
from calapp.webhooks import template
from calapp.webhooks.models import Settling, Webhook
from calapp.webhooks.service import subscribers

log = logging.getLogger(__name__)

# An earlier delivery of the same chain that has failed so often holds the later ones up no longer.
TRIES_THAT_HOLD = 4


def record(
    session: Session,
    *,
    user: User,
    trigger: str,
    payload: Mapping[str, Any],
    chain: str,
    sequence: int,
    subject: str,
    event_type_id: int,
    expires_at: datetime | None = None,
    search: str = "",
) -> Event:
    """Write an event and a delivery for each webhook that asked for it, and nudge the worker afterwards.

    `user` must be locked (accounts.service.lock_user): the event's number is taken from it.
    """
    created_at = database_now(session)
    event_id = body.new_event_id()
    envelope = body.envelope(event_id, trigger, created_at, payload)
    user.last_event_number += 1
    event = Event(
        uid=event_id,
        user_id=user.id,
        number=user.last_event_number,
        trigger=trigger,
        chain=chain,
        sequence=sequence,
        subject=subject,
        search=search.lower(),
        body=body.encoded(envelope),
        created_at=created_at,
        expires_at=expires_at,
    )
    session.add(event)
    session.flush()  # gives the event its id, which the deliveries carry
    for webhook in subscribers(session, user.id, event_type_id, trigger):
        session.add(_delivery(session, event, webhook, envelope))
    after_commit(session, "nudge", nudge)
    after_commit(session, f"say {event_id}", _said(event_id, user.id, trigger, subject))
    return event


def _said(event_id: str, user_id: int, trigger: str, subject: str) -> AfterCommit:
    fields = {"event": event_id, "host": user_id, "trigger": str(trigger), "booking": logs.shortened(subject)}
    return lambda: logs.say(log, "event", **fields)


def _delivery(session: Session, event: Event, webhook: Webhook, envelope: Mapping[str, Any]) -> Delivery:
    delivery = Delivery(
        event_id=event.id,
        webhook_id=webhook.id,
        chain=event.chain,
        created_at=event.created_at,
        expires_at=event.expires_at,
    )
    _fill(delivery, webhook, envelope)
    if why := _parked_since(session, webhook, event.chain):
        delivery.state = State.PARKED
        delivery.parked_at = event.created_at
        delivery.reason = why
        return delivery
    delivery.after_id = earlier_waiting(session, webhook.id, event.chain)
    delivery.due_at = event.created_at if delivery.after_id is None else None
    return delivery


def _parked_since(session: Session, webhook: Webhook, chain: str) -> str | None:
    """Say why a new delivery is parked, or None; it follows those of its chain that are still to be sent."""
    if webhook.active and webhook.settling == Settling.SEND:
        lock_parked(session, webhook.id)  # its last step may be under way
        session.refresh(webhook)
    if not webhook.active:
        return "The webhook was off when this happened."
    if webhook.settling != Settling.SEND:
        return None
    earlier = select(Delivery.id).where(
        Delivery.webhook_id == webhook.id, Delivery.chain == chain, stands(State.PARKED)
    )
    if session.scalar(earlier.limit(1)) is None:
        return None
    return "It follows earlier events of its booking, which were parked and are being sent."


def lock_parked(session: Session, webhook_id: int) -> None:
    """Let nobody else send, let go or add to what is parked at a webhook until the transaction ends."""
    one_at_a_time(session, f"parked at {webhook_id}")


def _fill(delivery: Delivery, webhook: Webhook, envelope: Mapping[str, Any]) -> None:
    """Give a delivery a body of its own when its webhook has a template that can be read."""
    if webhook.payload_template is None:
        return
    try:
        delivery.body, delivery.content_type = template.render(webhook.payload_template, envelope)
    except Invalid:
        # Checked when it was saved; should a later version read it differently, the event still goes out.
        delivery.body = delivery.content_type = None


def earlier_waiting(session: Session, webhook_id: int, chain: str) -> int | None:
    """Return the id of the delivery that a new one of this chain must wait behind, if there is one."""
    return session.scalar(
        select(Delivery.id)
        .where(
            Delivery.webhook_id == webhook_id,
            Delivery.chain == chain,
            stands(State.WAITING),
            Delivery.tries < TRIES_THAT_HOLD,
        )
        .order_by(Delivery.id.desc())
        .limit(1)
    )
