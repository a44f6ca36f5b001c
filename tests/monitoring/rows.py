"""Rows of deliveries and tries, as the engine leaves them."""

import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import select

from calapp.accounts.models import User
from calapp.clock import now
from calapp.db import db, transaction
from calapp.deliveries.models import Attempt, Delivery, Event
from calapp.webhooks.models import Webhook
from tests.conftest import make_user


def webhook(backoff_until: datetime | None = None) -> Webhook:
    """Return the one webhook of these rows, made on the first call."""
    session = db.session()
    found = session.scalar(select(Webhook))
    if found is None:
        user = session.scalar(select(User)) or make_user("rick")
        session.add(user)
        session.flush()
        found = Webhook(user_id=user.id, subscriber_url="https://hooks.example/in", triggers=[], headers=[])
        session.add(found)
    found.backoff_until = backoff_until
    session.flush()
    return found


def deliveries(
    state: str,
    number: int = 1,
    *,
    created_at: datetime | None = None,
    due_at: datetime | None = None,
    backoff_until: datetime | None = None,
    of: Webhook | None = None,
) -> list[int]:
    """Store events with a delivery each; return the deliveries' ids."""
    with transaction() as session:
        hook = session.merge(of) if of else webhook(backoff_until)
        made = [_delivery(hook, state, created_at or now(), due_at) for _ in range(number)]
        session.add_all(made)
        session.flush()
        return [one.id for one in made]


def _delivery(hook: Webhook, state: str, created_at: datetime, due_at: datetime | None) -> Delivery:
    user = db.session().get_one(User, hook.user_id)
    user.last_event_number += 1
    uid = secrets.token_hex(10)
    event = Event(
        uid=f"evt_{uid}",
        user_id=user.id,
        number=user.last_event_number,
        trigger="BOOKING_CREATED",
        chain=uid,
        sequence=1,
        subject=uid,
        body="{}",
        created_at=created_at,
    )
    times = {"created_at": created_at, "due_at": due_at}
    return Delivery(event=event, webhook_id=hook.id, chain=uid, state=state, attempts=1, **times)


def tries(delivery_ids: list[int], **values: Any) -> None:
    """Store a try of each delivery."""
    with transaction() as session:
        hook = webhook()
        session.add_all(
            Attempt(delivery_id=one, webhook_id=hook.id, number=1, at=now(), **{"total_ms": 30.0, **values})
            for one in delivery_ids
        )
