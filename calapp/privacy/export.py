"""Everything of a host, as JSON: to take along, or to look at."""

import json
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from calapp.accounts.models import ApiKey, User, UserSession
from calapp.availability.models import DateOverride, WeeklyHours
from calapp.bookings.models import Attendee, Booking
from calapp.db import db
from calapp.deliveries.models import Attempt, Delivery, Event, Notice, Replay
from calapp.encryption import is_sealed
from calapp.event_types.models import EventType
from calapp.integrations.models import InspectorRequest
from calapp.mail import Mail
from calapp.webhooks.models import Webhook
from calapp.webhooks.schemas import HIDDEN

# What lets somebody in is no data of the host's to take along.
LEFT_OUT = {
    "password_hash",
    "session_token",
    "token_hash",
    "calendar_token",
    "calendar_token_hash",
    "key_hash",
    "secret",
    "old_secret",
    "claim",
    "attempt",
    "address_key",
    "email_key",
}
AT_ONCE = 500  # rows


def export(session: Session, user: User) -> Iterator[str]:
    """Give the pieces of one JSON object: the name of each table, and its rows as objects."""
    for number, (name, query) in enumerate(_tables(user.id)):
        yield ("{" if number == 0 else ",") + f"\n{json.dumps(name)}: ["
        for place, row in enumerate(session.scalars(query, execution_options={"yield_per": AT_ONCE})):
            yield (",\n" if place else "\n") + json.dumps(_plain(row), ensure_ascii=False)
        yield "\n]"
    yield "\n}\n"


def count(session: Session, user: User) -> dict[str, int]:
    """Return how many rows of each table an export has."""
    return {
        name: session.scalar(select(func.count()).select_from(query.subquery())) or 0
        for name, query in _tables(user.id)
    }


def _tables(user_id: int) -> list[tuple[str, Select[Any]]]:
    webhooks = select(Webhook.id).where(Webhook.user_id == user_id)
    bookings = select(Booking.id).where(Booking.host_id == user_id)
    owned = (
        EventType,
        WeeklyHours,
        DateOverride,
        Webhook,
        Event,
        ApiKey,
        UserSession,
        Notice,
        Mail,
        InspectorRequest,
    )
    return [
        ("user", select(User).where(User.id == user_id)),
        *((table.__tablename__, select(table).where(table.user_id == user_id)) for table in owned),
        ("booking", select(Booking).where(Booking.host_id == user_id)),
        ("attendee", select(Attendee).where(Attendee.booking_id.in_(bookings))),
        ("delivery", select(Delivery).where(Delivery.webhook_id.in_(webhooks))),
        ("attempt", select(Attempt).where(Attempt.webhook_id.in_(webhooks))),
        ("replay", select(Replay).where(Replay.webhook_id.in_(webhooks))),
    ]


def _plain(row: Any) -> dict[str, Any]:
    columns = db.inspect(type(row)).columns
    values = {
        column.name: getattr(row, db.inspect(type(row)).get_property_by_column(column).key)
        for column in columns
    }
    shown = {name: _value(value) for name, value in values.items() if name not in LEFT_OUT}
    if isinstance(row, Webhook):
        shown["headers"] = [[name, HIDDEN] for name in row.header_names]
    if isinstance(row, InspectorRequest):
        shown["headers"] = [
            [name, HIDDEN if is_sealed(value) else value] for name, value in row.sealed_headers
        ]
    return shown


def _value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else value
