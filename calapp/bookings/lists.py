"""The host's lists of bookings: four tabs, a search and filters, pages; and as CSV (RFC 4180)."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from math import inf
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload

from calapp import limits
from calapp.accounts.models import User
from calapp.bookings.models import Attendee, Booking, Status, cancelled
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
COUNTED = 1000  # bookings of a tab; "1,000+" are more
LOOKED_THROUGH = 5000  # bookings that one search for words or a person looks through
LONGEST = timedelta(days=1)  # that a booking takes
MOST_ROWS = 10_000  # bookings of one file, a second's work
# What spreadsheets take for the beginning of a formula (OWASP, CSV injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
COLUMNS = (
    "Start", "End", "Time zone", "Event type", "Title", "Status", "Name", "Email", "Phone", "Guests",
    "Visitor's time zone", "Location", "Notes", "Answers", "Metadata", "Reason", "Uid",
)  # fmt: skip


class Tab(StrEnum):
    """A tab of the bookings page; the value is in its address."""

    UPCOMING = "upcoming"
    UNCONFIRMED = "unconfirmed"
    PAST = "past"
    CANCELLED = "cancelled"


NEWEST_FIRST = (Tab.PAST, Tab.CANCELLED)
NAMED = (joinedload(Booking.event_type), joinedload(Booking.rescheduled_from))  # with a booking in a list


@dataclass(frozen=True, kw_only=True)
class BookingFilter:
    """What a host looks for in all tabs; fields left empty let everything through."""

    words: str = ""
    event_type: int | None = None
    person: str = ""
    first: date | None = None  # days in the host's zone; both count
    last: date | None = None
    start: datetime | None = None  # where a search goes on
    typed: Mapping[str, str] = field(default_factory=dict)  # for the form and the links
    errors: Mapping[str, str] = field(default_factory=dict)  # of dates that were not understood

    @property
    def searches(self) -> bool:
        """Whether each booking's text is looked at, for which there is no index."""
        return bool(self.words or self.person)

    def address(self, path: str, **more: object) -> str:
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
        yield from self.dates(zone)

    def dates(self, zone: str) -> Iterator[ColumnElement[bool]]:
        """Yield when a booking must start; days are those of `zone`."""
        if self.first:
            yield Booking.starts_at >= instant_of(datetime.combine(self.first, time.min), zone, last=False)
        if self.last:
            after = datetime.combine(self.last + timedelta(days=1), time.min)
            yield Booking.starts_at < instant_of(after, zone, last=False)


def _read_start(given: str) -> datetime | None:
    """Read from an address where a search goes on; what cannot be read begins it anew."""
    try:
        start = datetime.fromisoformat(given)
    except ValueError:
        return None
    return start if start.tzinfo and 1970 <= start.year <= LAST_YEAR else None


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
        start=_read_start(given.get("start", "")),
        typed=typed,
        errors=errors,
    )


@dataclass(frozen=True)
class Listing:
    """A page of bookings, the counts of the tabs that were counted, and whether there is more."""

    bookings: Sequence[Booking]
    counts: Mapping[Tab, int]
    page: int
    more: bool
    most: float = inf  # where counting stopped
    searched_to: datetime | None = None  # where a search stopped, with bookings left to look through

    def count_of(self, tab: Tab) -> str | None:
        """Return how many bookings a tab has, "1,000+" for more; None if they were not counted."""
        count = self.counts.get(tab)
        if count is None:
            return None
        return f"{count - 1:,}+" if count >= self.most else f"{count:,}"


def listing(session: Session, host: User, tab: Tab, wanted: BookingFilter, page: int = 1) -> Listing:
    """Return a page of a tab, the last one for a number behind it.

    A search among many bookings looks through so many of the tab, and counts no other tab.
    """
    mine = select(Booking.id).where(Booking.host_id == host.id)
    if wanted.searches and session.scalar(mine.order_by(Booking.starts_at).offset(LOOKED_THROUGH).limit(1)):
        return _searched(session, host, tab, wanted, page)
    found = mine.where(*wanted.conditions(host.time_zone))
    most = (LOOKED_THROUGH if wanted.searches else COUNTED) + 1
    parts = [select(func.count()).select_from(found.where(_of(one)).limit(most).subquery()) for one in Tab]
    row = session.execute(select(*(part.scalar_subquery() for part in parts))).one()
    counts = dict(zip(Tab, row, strict=True))
    if counts[tab] < most:
        page = max(1, min(page, -(-counts[tab] // PAGE)))
    ids_of_page = in_tab(host, tab, wanted).with_only_columns(Booking.id).limit(PAGE + 1)
    ids = session.scalars(ids_of_page.offset((page - 1) * PAGE)).all()
    if not ids and page > 1:  # behind the end of a tab that was not counted to its end
        whole = session.scalar(select(func.count()).select_from(found.where(_of(tab)).subquery())) or 0
        page = max(1, -(-whole // PAGE))
        ids = session.scalars(ids_of_page.offset((page - 1) * PAGE)).all()
    return Listing(_loaded(session, ids[:PAGE]), counts, page, len(ids) > PAGE, most)


def _searched(session: Session, host: User, tab: Tab, wanted: BookingFilter, page: int) -> Listing:
    """Look through the next bookings of a tab in its order: those that start at one moment all together."""
    newest_first = tab in NEWEST_FIRST
    at = Booking.starts_at
    reach = [Booking.host_id == host.id, _of(tab) if tab == Tab.CANCELLED else _starts(tab)]
    reach += wanted.dates(host.time_zone)
    if wanted.start:
        reach.append(at < wanted.start if newest_first else at > wanted.start)
    order = at.desc() if newest_first else at.asc()
    last = session.scalars(select(at).where(*reach).order_by(order).offset(LOOKED_THROUGH - 1).limit(2)).all()
    if last:
        reach.append(at >= last[0] if newest_first else at <= last[0])
    ids = session.scalars(in_tab(host, tab, wanted).with_only_columns(Booking.id).where(*reach)).all()
    page = max(1, min(page, -(-len(ids) // PAGE)))
    rows = _loaded(session, ids[(page - 1) * PAGE : page * PAGE])
    stopped = last[0] if len(last) == 2 else None
    return Listing(rows, {tab: len(ids)}, page, len(ids) > page * PAGE, searched_to=stopped)


def _loaded(session: Session, ids: Sequence[int]) -> Sequence[Booking]:
    """Load bookings in the order of their ids here."""
    if not ids:
        return ()
    query = select(Booking).where(Booking.id.in_(ids)).options(*NAMED)
    return sorted(session.scalars(query).all(), key=lambda booking: ids.index(booking.id))


def in_tab(host: User, tab: Tab, wanted: BookingFilter) -> Select[Booking]:
    """Select the bookings of a tab, those that are over newest first."""
    return (
        select(Booking)
        .where(Booking.host_id == host.id, _of(tab), *wanted.conditions(host.time_zone))
        .options(*NAMED)
        .order_by(Booking.starts_at.desc() if tab in NEWEST_FIRST else Booking.starts_at, Booking.id)
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
        .options(*NAMED)
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
    conditions = {
        Tab.UPCOMING: and_(Booking.status == Status.ACCEPTED, Booking.ends_at > now()),
        Tab.UNCONFIRMED: Booking.status == Status.PENDING,
        # One that was not answered in time is nobody's decision: it is past, not cancelled. Of those that
        # are pending still, the worker will reject what is late.
        Tab.PAST: or_(
            and_(Booking.status == Status.ACCEPTED, Booking.ends_at <= now()),
            Booking.status == Status.PENDING,
            Booking.unanswered_at.is_not(None),
        ),
        # A booking that was moved lives on in its successor.
        Tab.CANCELLED: cancelled(),
    }
    return and_(_starts(tab), conditions[tab])


def _starts(tab: Tab) -> ColumnElement[bool]:
    """Return when the bookings of a tab start, so that an index leads to them past all others."""
    starts = {
        Tab.UPCOMING: Booking.starts_at > now() - LONGEST,
        Tab.UNCONFIRMED: Booking.starts_at > now(),
        Tab.PAST: Booking.starts_at <= now(),
    }
    return starts.get(tab, true())


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
