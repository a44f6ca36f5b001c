"""The host's lists of bookings: four tabs, a search, pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select
from sqlalchemy.orm import Session, joinedload

from calapp.bookings.models import Booking, Status
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
    """Return a page of a tab; the search looks in names, e-mail addresses, titles and metadata."""
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


def _of(tab: Tab) -> ColumnElement[bool]:
    ahead = Booking.ends_at > now()
    conditions = {
        Tab.UPCOMING: and_(Booking.status == Status.ACCEPTED, ahead),
        Tab.UNCONFIRMED: Booking.status == Status.PENDING,
        Tab.PAST: and_(Booking.status == Status.ACCEPTED, ~ahead),
        # A booking that was moved lives on in its successor.
        Tab.CANCELLED: and_(
            Booking.status.in_((Status.CANCELLED, Status.REJECTED)), Booking.rescheduled_to_uid.is_(None)
        ),
    }
    return conditions[tab]


def _count(session: Session, host_id: int, tab: Tab, search: str) -> int:
    query = select(func.count(Booking.id)).where(_of(tab), Booking.host_id == host_id)
    return session.scalar(_matching(query, search)) or 0


def _matching(query: Select[tuple[Any]], search: str) -> Select[tuple[Any]]:
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
