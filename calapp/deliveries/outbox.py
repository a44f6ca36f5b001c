"""The outbox: the event is written with the fact, in the same transaction, never beside it."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from calapp import limits, logs
from calapp.accounts.models import User
from calapp.broker import nudge
from calapp.db import AfterCommit, after_commit, database_now, one_at_a_time
from calapp.deliveries import body, notices, rendering
from calapp.deliveries.models import Delivery, Event, State, stands
from calapp.webhooks.models import Settling
from calapp.webhooks.service import Subscriber, subscribers

log = logging.getLogger(__name__)

# An earlier delivery of the same chain that has failed so often holds the later ones up no longer.
TRIES_THAT_HOLD = 4
# For so long after its webhook is on again, while nothing is decided, what is parked holds later ones up.
PARKED_HOLD = timedelta(hours=1)


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
    told = subscribers(session, user.id, event_type_id, trigger)
    sending = [one.id for one in told if _sends_parked(one)]
    if sending:
        for webhook_id in sending:
            lock_parked(session, webhook_id)  # its last step may be under way
        told = subscribers(session, user.id, event_type_id, trigger)
    if told:
        rows = _rows(session, event, told, envelope)
        session.execute(insert(Delivery), rows)
        problems = {row["webhook_id"]: row["reason"] for row in rows if row["template_failed"]}
        if problems:
            notices.tell_template_failures(session, problems)
    after_commit(session, "nudge", nudge)
    after_commit(session, f"say {event_id}", _said(event_id, user.id, trigger, subject))
    return event


def _said(event_id: str, user_id: int, trigger: str, subject: str) -> AfterCommit:
    fields = {"event": event_id, "host": user_id, "trigger": str(trigger), "booking": logs.shortened(subject)}
    return lambda: logs.say(log, "event", **fields)


def _sends_parked(webhook: Subscriber) -> bool:
    return webhook.active and webhook.settling == Settling.SEND


def _holds_parked(webhook: Subscriber, at: datetime) -> bool:
    """Return whether a webhook was switched on so lately that its host may still decide what is parked."""
    lately = webhook.on_at is not None and webhook.on_at + PARKED_HOLD > at
    return webhook.active and lately and webhook.settling is None


def _rows(
    session: Session, event: Event, told: Sequence[Subscriber], envelope: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the deliveries of an event, to be written by one statement whatever their number is."""
    earlier = _earlier_waiting(session, [one.id for one in told if one.active], event.chain)
    holding = [one.id for one in told if _sends_parked(one) or _holds_parked(one, event.created_at)]
    parked = _last_parked(session, holding, event.chain)
    room = limits.EVENT_BYTES - len((event.body or "").encode())
    rows = []
    for webhook in told:
        made = rendering.rendered(webhook.payload_template, envelope, room)
        room -= made.size
        state, reason = State.WAITING, None
        if made.problem:
            state, reason = State.FAILED, made.problem
        elif not webhook.active:
            state, reason = State.PARKED, "The webhook was off when this happened."
        elif webhook.id in parked and _sends_parked(webhook):
            reason = "It follows earlier events of its booking, which were parked and are being sent."
            state = State.PARKED
        due_at = event.created_at
        if after_id := None if reason else earlier.get(webhook.id):
            due_at = None
        elif webhook.id in parked and webhook.on_at and not reason:
            after_id, due_at = parked[webhook.id], webhook.on_at + PARKED_HOLD
        rows.append(
            {
                "event_id": event.id,
                "webhook_id": webhook.id,
                "chain": event.chain,
                "state": state,
                "due_at": None if reason else due_at,
                "after_id": after_id,
                **made.columns(),
                "reason": reason,
                "created_at": event.created_at,
                "parked_at": event.created_at if state is State.PARKED else None,
                "finished_at": event.created_at if state is State.FAILED else None,
                "expires_at": event.expires_at,
            }
        )
    return rows


def lock_parked(session: Session, webhook_id: int) -> None:
    """Let nobody else send, let go or add to what is parked at a webhook until the transaction ends."""
    one_at_a_time(session, f"parked at {webhook_id}")


def _earlier_waiting(session: Session, webhook_ids: Sequence[int], chain: str) -> dict[int, int]:
    """Return, by webhook, the id of the delivery that a new one of this chain must wait behind."""
    query = (
        select(Delivery.webhook_id, func.max(Delivery.id))
        .where(
            Delivery.webhook_id.in_(webhook_ids),
            Delivery.chain == chain,
            stands(State.WAITING),
            Delivery.tries < TRIES_THAT_HOLD,
        )
        .group_by(Delivery.webhook_id)
    )
    rows = session.execute(query).all() if webhook_ids else []
    return dict(rows)


def _last_parked(session: Session, webhook_ids: Sequence[int], chain: str) -> dict[int, int]:
    """Return, by webhook, the id of the last delivery of this chain that is parked there."""
    query = (
        select(Delivery.webhook_id, func.max(Delivery.id))
        .where(Delivery.webhook_id.in_(webhook_ids), Delivery.chain == chain, stands(State.PARKED))
        .group_by(Delivery.webhook_id)
    )
    rows = session.execute(query).all() if webhook_ids else []
    return dict(rows)
