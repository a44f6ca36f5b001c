"""The rules of event types: who finds them, and how they change."""

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, inspect, select
from sqlalchemy import update as update_rows
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from calapp import limits
from calapp.accounts.guards import current_host
from calapp.accounts.models import User
from calapp.accounts.service import lock_user, newcomer_gifts
from calapp.availability.models import Schedule
from calapp.availability.service import before_delete, users_of
from calapp.availability.slots import Rules
from calapp.clock import now
from calapp.config import settings
from calapp.db import db, read_alone
from calapp.errors import Conflict, Invalid, NotFound
from calapp.event_types.models import EventType
from calapp.local_time import spoken_minutes
from calapp.objects import Objects

if TYPE_CHECKING:  # a worker imports this, and does without schemas
    from calapp.event_types.schemas import EventTypeBody

WITH_HOST = 'SELECT {columns} FROM event_type JOIN "user" ON "user".id = event_type.user_id WHERE'
PUBLIC = f'{WITH_HOST} event_type.deleted_at IS NULL AND "user".closed_at IS NULL'
NAMED = Objects(f'{PUBLIC} AND "user".username = :username AND event_type.slug = :slug', EventType, User)
OFFERED = Objects(f"{PUBLIC} AND event_type.id = :id", EventType, User)
LOCKED = Objects(f"{WITH_HOST} event_type.id = :id", EventType, User, lock='FOR NO KEY UPDATE OF "user"')

TAKEN = "You already have an event type with this address."
# Addresses of the app below a host's page; tests/test_reserved_names.py holds it against those that exist.
RESERVED_SLUGS = frozenset(("embed",))
RESERVED = "This address is needed for the app's own pages. Please choose another."


def rules_of(event_type: EventType, minutes: int | None = None) -> Rules:
    """Return an event type's rules as the slot function wants them, for one of its lengths or the usual."""
    length = minutes or event_type.length
    return Rules(
        length=length,
        step=event_type.step or length,
        buffer_before=event_type.buffer_before,
        buffer_after=event_type.buffer_after,
        notice=event_type.notice,
        max_days=event_type.max_days,
        max_per_day=event_type.max_per_day,
    )


def check_length(event_type: EventType, minutes: int | None, field: str) -> int:
    """Return how long a booking is; raise Invalid with the words at `field` for a length not offered."""
    offered = event_type.offered_lengths
    if minutes is None:
        return event_type.length
    if minutes not in offered:
        *first, last = (spoken_minutes(one) for one in offered)
        choice = f"{', '.join(first)} or {last}" if first else last
        problem = f"This meeting does not come in that length. It can last {choice}."
        raise Invalid(problem, **{field: problem})
    return minutes


def find_public(session: Session, username: str, slug: str) -> EventType | None:
    """Return what can be booked at an address, hidden ones included: who has the link may book."""
    read_alone(session)
    return _with_host(NAMED.first(session, username=username.lower(), slug=slug.lower()))


def _with_host(found: list[Any] | None) -> EventType | None:
    """Return an event type that was read with its host."""
    if found is None:
        return None
    event_type: EventType = found[0]
    set_committed_value(event_type, "user", found[1])
    return event_type


def lock_host_of(session: Session, event_type: EventType) -> User:
    """Lock the row of an event type's host as `lock_user` does, and read both anew; raise NotFound."""
    event_type_id: int = inspect(event_type).identity[0]  # without reading it, which costs a statement
    found = _with_host(LOCKED.first(session, id=event_type_id))
    if found is None:
        raise NotFound
    return found.user


def find_offered(session: Session, event_type_id: int, user_id: int | None) -> EventType | None:
    """Return what anybody may book by its id; a hidden one only for its host, since ids can be guessed."""
    read_alone(session)
    found = _with_host(OFFERED.first(session, id=event_type_id))
    if found is None:
        return None
    return found if not found.hidden or found.user_id == user_id else None


def of_user(session: Session, user_id: int) -> list[EventType]:
    """Return a host's event types in their order."""
    query = select(EventType).where(EventType.user_id == user_id, EventType.deleted_at.is_(None))
    return list(session.scalars(query.order_by(EventType.position, EventType.id)))


def visible(session: Session, user_id: int) -> list[EventType]:
    """Return the event types that a host shows to everybody."""
    return [event_type for event_type in of_user(session, user_id) if not event_type.hidden]


def public(session: Session, username: str, slug: str | None = None) -> list[EventType]:
    """Return what a host shows to everybody, or by its slug what has a link; raise NotFound for no host."""
    if slug is not None:
        found = find_public(session, username, slug)
        return [found] if found else []
    user = session.scalar(select(User).where(User.username == username.lower(), User.closed_at.is_(None)))
    if user is None:
        raise NotFound("There is no such host.")
    return visible(session, user.id)


def own_event_type(event_type_id: int) -> EventType:
    """Return the event type of the host who asks, by session or key; raise NotFound for any other."""
    found = db.session().get(EventType, event_type_id)
    if found is None or found.user_id != current_host().id or found.deleted_at is not None:
        raise NotFound
    return found


def create(session: Session, user_id: int, wanted: "EventTypeBody") -> EventType:
    """Make an event type, last in the list.

    Raises Conflict when the slug is taken, Invalid when it is reserved, LimitReached when the host has as
    many as one may have.
    """
    _check_slug(wanted.slug)
    lock_user(session, user_id)  # two at once may not both be the last one
    most, mine = settings().event_types_per_host, of_user(session, user_id)
    if len(mine) >= most and wanted.slug not in {one.slug for one in mine}:
        words = f"You have reached the limit of {most:,} event types. Please delete one first."
        raise limits.reached("EVENT_TYPES_PER_HOST", host=user_id, words=words, field="title")
    last = session.scalar(select(func.max(EventType.position)).where(EventType.user_id == user_id))
    _check_schedule(session, user_id, wanted.schedule_id)
    event_type = EventType(user_id=user_id, position=(last or 0) + 1, **wanted.columns())
    _check_lengths(event_type)
    session.add(event_type)
    _flush(session)
    return event_type


def update(session: Session, event_type: EventType, wanted: "EventTypeBody") -> None:
    """Change an event type; its bookings are not touched. Raise as `create` does.

    One whose slug became reserved after it was made keeps it.
    """
    columns = wanted.columns()
    if columns.get("slug", event_type.slug) != event_type.slug:
        _check_slug(columns["slug"])
    if columns.get("schedule_id", event_type.schedule_id) != event_type.schedule_id:
        lock_user(session, event_type.user_id)  # the schedule may not be deleted meanwhile
        _check_schedule(session, event_type.user_id, columns["schedule_id"])
    for name, value in columns.items():
        setattr(event_type, name, value)
    _check_lengths(event_type)
    _flush(session)


def _check_lengths(event_type: EventType) -> None:
    if event_type.length not in event_type.offered_lengths:
        problem = "lengthInMinutesOptions must include lengthInMinutes."
        raise Invalid(problem, lengthInMinutesOptions=problem)


def _check_slug(slug: str) -> None:
    if slug in RESERVED_SLUGS:
        raise Invalid(RESERVED, slug=RESERVED)


def _check_schedule(session: Session, user_id: int, schedule_id: int | None) -> None:
    """Raise Invalid unless this is a schedule of the host's, or none."""
    found = None if schedule_id is None else session.get(Schedule, schedule_id)
    if schedule_id is not None and (found is None or found.user_id != user_id):
        words = "Please choose one of your schedules."
        raise Invalid(words, schedule_id=words)


def titles_by_schedule(session: Session, user_id: int) -> dict[int, list[str]]:
    """Return the titles of a host's event types that name a schedule, by its id."""
    found: dict[int, list[str]] = {}
    for one in of_user(session, user_id):
        if one.schedule_id is not None:
            found.setdefault(one.schedule_id, []).append(one.title)
    return found


def forget_schedule(session: Session, schedule: Schedule) -> None:
    """Let what names a schedule have the default one, deleted event types included."""
    named = update_rows(EventType).where(EventType.schedule_id == schedule.id)
    session.execute(named.values(schedule_id=None))


users_of.append(titles_by_schedule)
before_delete.append(forget_schedule)


def _flush(session: Session) -> None:
    try:
        session.flush()
    except IntegrityError:
        raise Conflict(TAKEN, slug=TAKEN) from None


def delete(event_type: EventType) -> None:
    """Take an event type away; its bookings and their events stay, and its slug is free again."""
    event_type.deleted_at = now()


def move(session: Session, event_type: EventType, *, up: bool) -> None:
    """Move an event type one place up or down in its host's list."""
    row = of_user(session, event_type.user_id)
    at = row.index(event_type)
    to = at - 1 if up else at + 1
    if 0 <= to < len(row):
        row[at], row[to] = row[to], row[at]
    for position, one in enumerate(row):
        one.position = position


# A newcomer has something that can be booked immediately.
newcomer_gifts.append(
    lambda session, user: session.add(
        EventType(user_id=user.id, title="30 min", slug="30min", length=30, position=1)
    )
)
