"""The rules of event types: who finds them, and how they change."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.availability.slots import Rules
from calapp.event_types.models import EventType


def rules_of(event_type: EventType) -> Rules:
    """Return an event type's rules as the slot function wants them."""
    return Rules(
        length=event_type.length,
        step=event_type.step or event_type.length,
        buffer_before=event_type.buffer_before,
        buffer_after=event_type.buffer_after,
        notice=event_type.notice,
        max_days=event_type.max_days,
        max_per_day=event_type.max_per_day,
    )


def find_public(session: Session, username: str, slug: str) -> EventType | None:
    """Return what can be booked at an address, hidden ones included: who has the link may book."""
    return session.scalar(
        select(EventType)
        .join(User, User.id == EventType.user_id)
        .where(User.username == username.lower(), EventType.slug == slug.lower())
        .where(EventType.deleted_at.is_(None))
    )


def all_of(session: Session, user_id: int) -> list[EventType]:
    """Return a host's event types in their order."""
    query = select(EventType).where(EventType.user_id == user_id, EventType.deleted_at.is_(None))
    return list(session.scalars(query.order_by(EventType.position, EventType.id)))


def visible(session: Session, user_id: int) -> list[EventType]:
    """Return the event types that a host shows to everybody."""
    return [event_type for event_type in all_of(session, user_id) if not event_type.hidden]
