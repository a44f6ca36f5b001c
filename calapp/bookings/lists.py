"""The host's lists of bookings: four tabs, a search and filters, pages; and as CSV (RFC 4180)."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload

from calapp import limits
from calapp.accounts.models import User
from calapp.bookings.models import Attendee, Booking, Status
from calapp.bookings.queries import BookingsQuery
from calapp.clock import now
from calapp.db import Unaccented
from calapp.deliveries.models import Delivery, Event, State
from calapp.local_time import instant_of, zone_of
from calapp.text import unaccented, whole_number
from calapp.webhooks.models import Webhook

PAGE = 50
FILTERS = ("q", "event_type", "person", "from", "to")  # as they are in an address
LAST_YEAR = 9000  # of a filter; a day later must be a date, too


class Tab(StrEnum):
    """A tab of the bookings page; the value is in its address."""

    UPCOMING = "upcoming"
    UNCONFIRMED = "unconfirmed"
    PAST = "past"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class BookingFilter:
    """What a host looks for in all tabs; fields left empty let everything through."""

    words: str = ""
    event_type: int | None = None
    person: str = ""
    first: date | None = None  # days in the host's zone; both count
    last: date | None = None
    typed: Mapping[str, str] = field(default_factory=dict)  # for the form and the links
    errors: Mapping[str, str] = field(default_factory=dict)  # of dates that were not understood

    def address(self, path: str, **more: int) -> str:
        """Return a path with this filter, and more, as its query."""
        query = urlencode({**self.typed, **more})
        return f"{path}?{query}" if query else path

    def conditions(self, zone: str) -> Iterator[ColumnElement[bool]]:
        """Yield what a booking must be; days are those of `zone`."""
        if self.words:
            yield Unaccented(Booking.search).contains(unaccented(self.words), autoescape=True)
        if self.event_type is not None:
            yield Booking.event_type_id == self.event_type
        if self.person:
            person = unaccented(self.person)
            yield Booking.attendees.any(
                or_(
                    Unaccented(Attendee.name).contains(person, autoescape=True),
                    Unaccented(Attendee.email).contains(person, autoescape=True),
                )
            )
        if self.first:
            yield Booking.starts_at >= instant_of(datetime.combine(self.first, time.min), zone, last=False)
        if self.last:
            after = datetime.combine(self.last + timedelta(days=1), time.min)
            yield Booking.starts_at < instant_of(after, zone, last=False)


def read_booking_filter(given: Mapping[str, str]) -> BookingFilter:
    """Read a filter from an address; a date that cannot be read filters nothing and has an error."""
    typed = {name: given.get(name, "").replace("\0", "").strip() for name in FILTERS}
    typed = {name: text[: limits.SEARCH_CHARACTERS] for name, text in typed.items() if text}
    days: dict[str, date] = {}
    errors: dict[str, str] = {}
    for name in ("from", "to"):
        if name not in typed:
            continue
        try:
            day = date.fromisoformat(typed[name])
        except ValueError:
            errors[name] = "Must be a date."
            continue
        if 1970 <= day.year <= LAST_YEAR:
            days[name] = day
        else:
            errors[name] = f"Must be between 1970 and {LAST_YEAR}."
    first, last = days.get("from"), days.get("to")
    if first and last and last < first:
        errors["to"], last = "Must not be before the first date.", None
    return BookingFilter(
        words=typed.get("q", ""),
        event_type=whole_number(typed.get("event_type", ""), digits=9),
        person=typed.get("person", ""),
        first=first,
        last=last,
        typed=typed,
        errors=errors,
    )


@dataclass(frozen=True)
class Listing:
    """A page of bookings, the counts of all tabs, and whether there is more."""

    bookings: Sequence[Booking]
    counts: dict[Tab, int]
    page: int
    more: bool


def listing(session: Session, host: User, tab: Tab, wanted: BookingFilter, page: int = 1) -> Listing:
    """Return a page of a tab, the last one for a number behind it."""
    common = (Booking.host_id == host.id, *wanted.conditions(host.time_zone))
    numbers = select(*(func.count().filter(_of(one)) for one in Tab)).select_from(Booking).where(*common)
    counts = dict(zip(Tab, session.execute(numbers).one(), strict=True))  # all by one walk
    page = max(1, min(page, -(-counts[tab] // PAGE)))
    query = in_tab(host, tab, wanted).offset((page - 1) * PAGE).limit(PAGE)
    rows = session.scalars(query).all()
    return Listing(rows, counts, page, more=counts[tab] > page * PAGE)


def in_tab(host: User, tab: Tab, wanted: BookingFilter) -> Select[Booking]:
    """Select the bookings of a tab, those that are over newest first."""
    newest_first = tab in {Tab.PAST, Tab.CANCELLED}
    return (
        select(Booking)
        .where(Booking.host_id == host.id, _of(tab), *wanted.conditions(host.time_zone))
        .options(joinedload(Booking.event_type), joinedload(Booking.rescheduled_from))
        .order_by(Booking.starts_at.desc() if newest_first else Booking.starts_at, Booking.id)
    )


def matching(session: Session, host_id: int, query: BookingsQuery) -> tuple[Sequence[Booking], int]:
    """Return a part of a host's bookings, and how many there are in all."""
    conditions = [Booking.host_id == host_id, *_conditions(query)]
    sorts: list[tuple[InstrumentedAttribute[Any], str | None]] = [
        (Booking.starts_at, query.sort_start),
        (Booking.ends_at, query.sort_end),
        (Booking.id, query.sort_created),
        (Booking.updated_at, query.sort_updated_at),
    ]
    wanted = [(column, order) for column, order in sorts if order] or [(Booking.starts_at, "asc")]
    wanted.append((Booking.id, wanted[-1][1]))
    found = session.scalars(
        select(Booking)
        .where(*conditions)
        .options(joinedload(Booking.event_type), joinedload(Booking.rescheduled_from))
        .order_by(*(column.desc() if order == "desc" else column for column, order in wanted))
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
    for same, wanted in ((Booking.uid, query.booking_uid), (Booking.event_type_id, query.event_type_id)):
        if wanted is not None:
            yield same == wanted
    if query.event_type_ids:
        yield Booking.event_type_id.in_(query.event_type_ids)
    bounds = (
        (Booking.starts_at, query.after_start, None),
        (Booking.ends_at, None, query.before_end),
        (Booking.created_at, query.after_created_at, query.before_created_at),
        (Booking.updated_at, query.after_updated_at, query.before_updated_at),
    )
    for column, least, most in bounds:
        yield and_(true(), *([column >= least] if least else ()), *([column <= most] if most else ()))


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
    """Return the events of a booking's chain in order, each with its deliveries, also of deleted webhooks."""
    events = session.scalars(select(Event).where(Event.chain == booking.chain).order_by(Event.sequence)).all()
    rows = session.execute(
        select(Delivery, Webhook)
        .join(Webhook, Webhook.id == Delivery.webhook_id)
        .where(Delivery.event_id.in_([event.id for event in events]))
        .order_by(Delivery.id)
    ).all()
    return [
        (event, [(one, webhook) for one, webhook in rows if one.event_id == event.id]) for event in events
    ]


def sum_of(deliveries: Sequence[tuple[Delivery, Webhook]]) -> tuple[str, list[Webhook]]:
    """Sum deliveries up, "7 delivered, 1 failing", and return the webhooks that fail or have failed.

    Failing is what waits for its next attempt after a failed one. A deleted webhook's are counted only.
    """
    counts: dict[str, int] = {}
    bad: dict[int, Webhook] = {}
    for one, webhook in deliveries:
        failing = one.state == State.WAITING and one.attempts_on_schedule > 0
        name = "failing" if failing else str(one.state)
        counts[name] = counts.get(name, 0) + 1
        if (failing or one.state == State.FAILED) and webhook.deleted_at is None:
            bad[webhook.id] = webhook
    order = ("delivered", "failing", "failed", *(str(state) for state in State))
    names = sorted(counts, key=order.index)
    return ", ".join(f"{counts[name]:,} {name}" for name in names), list(bad.values())


MOST_ROWS = 10_000  # bookings of one file, a second's work
# What spreadsheets take for the beginning of a formula (OWASP, CSV injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
COLUMNS = (
    "Start", "End", "Time zone", "Event type", "Title", "Status", "Name", "Email", "Phone", "Guests",
    "Visitor's time zone", "Location", "Notes", "Answers", "Metadata", "Reason", "Uid",
)  # fmt: skip


def csv_of(bookings: Iterable[Booking], zone: str) -> str:
    """Return bookings as CSV with a heading; times are `2027-03-29 10:00` in `zone`.

    It begins with a byte order mark, without which Excel takes UTF-8 for the system's own encoding. A cell
    that a spreadsheet would take for a formula begins with an apostrophe: visitors write names and notes.
    """
    file = io.StringIO()
    file.write("\ufeff")
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    local = zone_of(zone)
    for booking in bookings:
        visitor = booking.visitor
        answers = [f"{answer['label']}: {_answer(answer['value'])}" for answer in booking.answers.values()]
        guests = [f"{one.name} <{one.email}>" for one in booking.attendees[1:]]
        row = (
            f"{booking.starts_at.astimezone(local):%Y-%m-%d %H:%M}",
            f"{booking.ends_at.astimezone(local):%Y-%m-%d %H:%M}",
            local.key,
            booking.event_type.title,
            booking.title,
            "no response in time" if booking.unanswered else str(booking.status),
            visitor.name,
            visitor.email,
            visitor.phone,
            ", ".join(guests),
            booking.time_zone,
            booking.location,
            booking.notes,
            "\n".join(answers),
            json.dumps(booking.link_metadata, ensure_ascii=False) if booking.link_metadata else "",
            booking.cancellation_reason or booking.rejection_reason or "",
            booking.uid,
        )
        writer.writerow([f"'{cell}" if cell.startswith(FORMULA) else cell for cell in row])
    return file.getvalue()


def _answer(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(str(one) for one in value) if isinstance(value, list) else str(value or "")
