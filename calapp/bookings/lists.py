"""The host's lists of bookings: four tabs, a search, pages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, false, func, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload

from calapp.bookings.models import Attendee, Booking, Status
from calapp.bookings.schemas import BookingsQuery
from calapp.clock import now
from calapp.deliveries.models import Delivery, Event
from calapp.webhooks.models import Webhook

PAGE = 50


class Tab(StrEnum):
    """A tab of the bookings page; the value is in its address."""

    UPCOMING = "upcoming"
    UNCONFIRMED = "unconfirmed"
    PAST = "past"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Listing:
    """A page of bookings, the counts of all tabs, and whether there is more."""

    bookings: Sequence[Booking]
    counts: dict[Tab, int]
    page: int
    more: bool


def listing(session: Session, host_id: int, tab: Tab, *, search: str = "", page: int = 1) -> Listing:
    """Return a page of a tab; the search looks in names, email addresses, titles and metadata."""
    words = search.replace("\0", "").strip().lower()
    found = Booking.search.contains(words, autoescape=True) if words else true()
    wanted = {one: and_(Booking.host_id == host_id, _of(one), found) for one in Tab}
    newest_first = tab in {Tab.PAST, Tab.CANCELLED}
    rows = session.scalars(
        select(Booking)
        .where(wanted[tab])
        .options(joinedload(Booking.event_type), joinedload(Booking.rescheduled_from))
        .order_by(Booking.starts_at.desc() if newest_first else Booking.starts_at, Booking.id)
        .offset((page - 1) * PAGE)
        .limit(PAGE + 1)
    ).all()
    counts = {one: session.scalar(select(func.count(Booking.id)).where(wanted[one])) or 0 for one in Tab}
    return Listing(rows[:PAGE], counts, page, more=len(rows) > PAGE)


def matching(session: Session, host_id: int, query: BookingsQuery) -> tuple[Sequence[Booking], int]:
    """Return a part of a host's bookings, and how many there are in all."""
    conditions = [Booking.host_id == host_id, *_conditions(query)]
    columns: tuple[InstrumentedAttribute[Any], ...] = (Booking.starts_at, Booking.id)
    columns = (Booking.id,) if query.sort_created else columns
    newest_first = (query.sort_created or query.sort_start) == "desc"
    found = session.scalars(
        select(Booking)
        .where(*conditions)
        .options(joinedload(Booking.event_type), joinedload(Booking.rescheduled_from))
        .order_by(*(column.desc() if newest_first else column for column in columns))
        .offset(query.part.skip)
        .limit(query.part.take)
    ).all()
    return found, session.scalar(select(func.count(Booking.id)).where(*conditions)) or 0


def _conditions(query: BookingsQuery) -> Iterator[ColumnElement[bool]]:
    if query.status:  # nothing recurs here
        yield or_(false(), *(_of(Tab(status)) for status in query.status if status != "recurring"))
    if query.attendee_email is not None:
        email = query.attendee_email.strip().lower()
        yield Booking.attendees.any(func.lower(Attendee.email) == email)
    if query.attendee_name is not None:
        yield Booking.attendees.any(Attendee.name.icontains(query.attendee_name, autoescape=True))
    if query.event_type_id is not None:
        yield Booking.event_type_id == query.event_type_id
    if query.after_start is not None:
        yield Booking.starts_at >= query.after_start
    if query.before_end is not None:
        yield Booking.ends_at <= query.before_end


def _of(tab: Tab) -> ColumnElement[bool]:
    ahead = Booking.ends_at > now()
    late = and_(Booking.status == Status.PENDING, Booking.starts_at <= now())  # the worker will reject it
    conditions = {
        Tab.UPCOMING: and_(Booking.status == Status.ACCEPTED, ahead),
        Tab.UNCONFIRMED: and_(Booking.status == Status.PENDING, ~late),
        # One that was not answered in time is nobody's decision: it is past, not cancelled.
        Tab.PAST: or_(
            and_(Booking.status == Status.ACCEPTED, ~ahead), late, Booking.unanswered_at.is_not(None)
        ),
        # A booking that was moved lives on in its successor.
        Tab.CANCELLED: and_(
            Booking.status.in_((Status.CANCELLED, Status.REJECTED)),
            Booking.rescheduled_to_uid.is_(None),
            Booking.unanswered_at.is_(None),
        ),
    }
    return conditions[tab]


def history(session: Session, booking: Booking) -> list[tuple[Event, list[tuple[Delivery, Webhook]]]]:
    """Return the events of a booking's chain in order, each with its deliveries and their webhooks."""
    events = session.scalars(select(Event).where(Event.chain == booking.chain).order_by(Event.sequence)).all()
    rows = session.execute(
        select(Delivery, Webhook)
        .join(Webhook, Webhook.id == Delivery.webhook_id)
        .where(Delivery.event_id.in_([event.id for event in events]), Webhook.deleted_at.is_(None))
        .order_by(Delivery.id)
    ).all()
    return [
        (event, [(one, webhook) for one, webhook in rows if one.event_id == event.id]) for event in events
    ]
