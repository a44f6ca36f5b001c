"""The host's lists of bookings: four tabs, a search, pages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select
from sqlalchemy.orm import Session, joinedload

from calapp.bookings.models import Attendee, Booking, Status
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


class Order(StrEnum):
    """In which order bookings are listed."""

    FIRST = "first"  # by start
    LAST = "last"
    OLDEST = "oldest"  # by when they were made
    NEWEST = "newest"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which bookings a client asks for; what is None or empty filters nothing."""

    tabs: tuple[Tab, ...] = ()
    nothing: bool = False  # a status that no booking has
    email: str | None = None
    name: str | None = None
    event_type_id: int | None = None
    after: datetime | None = None
    before: datetime | None = None
    order: Order = Order.FIRST
    take: int = 100
    skip: int = 0


@dataclass(frozen=True)
class Listing:
    """A page of bookings, the counts of all tabs, and whether there is more."""

    bookings: Sequence[Booking]
    counts: dict[Tab, int]
    page: int
    more: bool


def listing(session: Session, host_id: int, tab: Tab, *, search: str = "", page: int = 1) -> Listing:
    """Return a page of a tab; the search looks in names, email addresses, titles and metadata."""
    query = _matching(select(Booking).where(_of(tab), Booking.host_id == host_id), search)
    newest_first = tab in {Tab.PAST, Tab.CANCELLED}
    order = Booking.starts_at.desc() if newest_first else Booking.starts_at
    found = session.scalars(
        query.options(joinedload(Booking.event_type), joinedload(Booking.rescheduled_from))
        .order_by(order, Booking.id)
        .offset((page - 1) * PAGE)
        .limit(PAGE + 1)
    ).all()
    counts = {one: _count(session, host_id, one, search) for one in Tab}
    return Listing(found[:PAGE], counts, page, more=len(found) > PAGE)


def matching(session: Session, host_id: int, wanted: Wanted) -> tuple[Sequence[Booking], int]:
    """Return a part of a host's bookings, and how many there are in all."""
    conditions = [Booking.host_id == host_id, *_conditions(wanted)]
    orders = {
        Order.FIRST: (Booking.starts_at, Booking.id),
        Order.LAST: (Booking.starts_at.desc(), Booking.id.desc()),
        Order.OLDEST: (Booking.id,),
        Order.NEWEST: (Booking.id.desc(),),
    }
    found = session.scalars(
        select(Booking)
        .where(*conditions)
        .options(joinedload(Booking.event_type), joinedload(Booking.rescheduled_from))
        .order_by(*orders[wanted.order])
        .offset(wanted.skip)
        .limit(wanted.take)
    ).all()
    return found, session.scalar(select(func.count(Booking.id)).where(*conditions)) or 0


def _conditions(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    if wanted.nothing:
        yield false()
    if wanted.tabs:
        yield or_(*(_of(tab) for tab in wanted.tabs))
    if wanted.email is not None:
        yield Booking.attendees.any(func.lower(Attendee.email) == wanted.email.strip().lower())
    if wanted.name is not None:
        yield Booking.attendees.any(Attendee.name.icontains(wanted.name, autoescape=True))
    if wanted.event_type_id is not None:
        yield Booking.event_type_id == wanted.event_type_id
    if wanted.after is not None:
        yield Booking.starts_at >= wanted.after
    if wanted.before is not None:
        yield Booking.ends_at <= wanted.before


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


def _count(session: Session, host_id: int, tab: Tab, search: str) -> int:
    query = select(func.count(Booking.id)).where(_of(tab), Booking.host_id == host_id)
    found: int | None = session.scalar(_matching(query, search))
    return found or 0


def _matching(query: Select[Any], search: str) -> Select[Any]:
    words = search.replace("\0", "").strip().lower()
    return query.where(Booking.search.contains(words, autoescape=True)) if words else query


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
