"""A person's data: erased for a visitor, forgotten with age, exported for a host."""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, cast, delete, func, or_, select, update
from sqlalchemy.orm import Session

from calapp.accounts.models import AccountLink, ApiKey, LinkKey, User, UserSession
from calapp.availability.models import DateOverride, Schedule, TimeOff, WeeklyHours
from calapp.bookings.copies import touch_chains
from calapp.bookings.models import Attendee, Booking, Notification, VisitorAct
from calapp.bookings.rows import searchable
from calapp.calendars.models import (
    CalendarAccount,
    CalendarConflict,
    CalendarCopy,
    ExternalBusy,
    ExternalCalendar,
)
from calapp.config import settings
from calapp.db import database_now, db
from calapp.deliveries.models import Attempt, Delivery, Event, Notice, Replay, State
from calapp.encryption import is_sealed
from calapp.event_types.models import EventType, LocationKind
from calapp.integrations.models import InspectorRequest
from calapp.mail import Email
from calapp.webhooks.models import HIDDEN, Webhook, WebhookChange

Pattern = re.Pattern[str]


def pattern_of(address: str) -> Pattern:
    """Return what finds this address and no longer one that it is a part of; letters in either case.

    A line break of JSON text, written as a backslash and a letter, is no part of an address.
    """
    before = r"(?:(?<![\w.+%-])|(?<=\\[bfnrt]))"
    return re.compile(rf"{before}{re.escape(address)}(?![\w-]|\.\w)", re.IGNORECASE)


def mentions(values: Any, address: Pattern) -> bool:
    """Return whether an address is in one of these texts, lists or dicts of texts."""
    return any(redacted(value, address, "") != value for value in values)


def redacted(value: Any, address: Pattern, instead: str) -> Any:
    """Return a text, or a list or dict of texts, with `instead` in place of the address."""
    if isinstance(value, str):
        return address.sub(instead, value)
    if isinstance(value, list):
        return [redacted(one, address, instead) for one in value]
    if isinstance(value, dict):
        return {
            redacted(key, address, instead): redacted(one, address, instead) for key, one in value.items()
        }
    return value


NAME = "Erased"
EMAIL = "erased@example.invalid"  # RFC 2606: a name that never is
REASON = "Its visitor was erased."
STEP = 100  # bookings that one step of the worker forgets
REASONS = ("rescheduling_reason", "cancellation_reason", "rejection_reason")
WORDS = ("title", "notes", "location", *REASONS, "answers", "link_metadata", "metadata_left_out", "tracking")
DOERS = ("rescheduled_by", "cancelled_by")

Counts = Counter[str]


def erase_visitor(session: Session, email: str) -> Counts:
    """Erase a person from everything; return how many rows of each kind were changed or removed.

    Of a booking that the person made everything goes that was said; of one where the person was a guest, the
    guest. A booking keeps its time and its status. The account of a host with this address stays, and so does
    what only names the address as the host's.
    """
    bookings = _bookings_of(session, email)
    for booking in bookings:
        _erase_person(booking, email)
    counts = Counter({"bookings": len(bookings)}) + _erase_told(session, bookings)
    if not is_host(session, email):
        counts += _erase_mentions(session, email)
    return +counts


def is_host(session: Session, email: str) -> bool:
    """Return whether a host has this address; letters in either case are the same."""
    addresses = session.scalars(select(User.email))
    return any(same(address, email) for address in addresses)


def same(one: str, other: str) -> bool:
    """Return whether two addresses are the same to people."""
    return one.casefold() == other.casefold()


def _bookings_of(session: Session, email: str) -> Sequence[Booking]:
    """Return the bookings at which a person is or was, with all others of their chains."""
    # SQLite's lower() knows ASCII alone, so it only gathers; the comparison is made here.
    likely = select(Attendee).where(
        or_(
            func.lower(Attendee.email) == email.lower(),
            Attendee.booking_id.in_(
                select(Booking.id).where(Booking.search.contains(email.lower(), autoescape=True))
            ),
        )
    )
    ids = {person.booking_id for person in session.scalars(likely) if same(person.email, email)}
    chains = select(Booking.chain).where(Booking.id.in_(ids))
    return session.scalars(select(Booking).where(Booking.chain.in_(chains))).all()


def forget_old(session: Session) -> int:
    """Erase the people of a step of bookings that ended longer ago than the settings keep them."""
    old = _old(session)
    if old is None:
        return 0
    bookings = session.scalars(select(Booking).where(*old).order_by(Booking.ends_at).limit(STEP)).all()
    for booking in bookings:
        _erase_words(booking)
        for person in booking.attendees:
            _erase_attendee(person)
        _erase_doers(booking, [getattr(booking, field) for field in DOERS])
        booking.search = searchable(booking)
        booking.erased_at = database_now(session)
    _erase_told(session, bookings)
    return len(bookings)


def count_old(session: Session) -> int:
    """Return how many bookings `forget_old` would erase the people of."""
    old = _old(session)
    return 0 if old is None else session.scalar(select(func.count(Booking.id)).where(*old)) or 0


def _old(session: Session) -> list[ColumnElement[bool]] | None:
    days = settings().booking_retention_days
    if not days:
        return None
    return [Booking.erased_at.is_(None), Booking.ends_at < database_now(session) - timedelta(days=days)]


def _erase_person(booking: Booking, email: str) -> None:
    for person in booking.attendees:
        if same(person.email, email):
            if person.position == 0:
                _erase_words(booking)
            _erase_attendee(person)
    _erase_doers(booking, [email])
    _redact(booking, email)


def _erase_attendee(person: Attendee) -> None:
    person.name, person.email, person.phone, person.time_zone = NAME, EMAIL, "", "UTC"


def _erase_doers(booking: Booking, people: Sequence[str | None]) -> None:
    """Erase who moved or cancelled a booking when it was one of these people, and not the host."""
    for field in DOERS:
        doer = getattr(booking, field)
        if doer and not same(doer, booking.host.email) and any(one and same(doer, one) for one in people):
            setattr(booking, field, EMAIL)


def _erase_words(booking: Booking) -> None:
    """Remove what the visitor said, and what was said to the visitor."""
    booking.title = booking.event_type.title
    booking.time_zone = "UTC"
    booking.notes = ""
    booking.answers, booking.link_metadata, booking.metadata_left_out = {}, {}, []
    booking.metadata_verified, booking.tracking = False, {}
    booking.idempotency_key = booking.address_key = booking.email_key = None
    if booking.event_type.location_kind == LocationKind.PHONE or booking.location == booking.visitor.phone:
        booking.location = ""
    for field in REASONS:
        if getattr(booking, field) is not None:
            setattr(booking, field, "")


def _redact(booking: Booking, email: str) -> None:
    """Take an address out of what others said."""
    signed = booking.link_metadata
    for field in WORDS:
        setattr(booking, field, redacted(getattr(booking, field), pattern_of(email), EMAIL))
    booking.metadata_verified = booking.metadata_verified and booking.link_metadata == signed
    booking.search = searchable(booking)


def _erase_told(session: Session, bookings: Iterable[Booking]) -> Counts:
    """Erase what was sent about bookings: bodies, responses of receivers, emails."""
    uids = [booking.uid for booking in bookings]
    chains = {booking.chain for booking in bookings}
    _changed(session, update(VisitorAct).where(VisitorAct.chain.in_(chains)).values(address_key=None))
    events = session.execute(select(Event.id, Event.uid).where(Event.subject.in_(uids))).all()
    hosts = {booking.host_id for booking in bookings}
    words = [*uids, *(event.uid for event in events)]
    counts = _erase_events(session, [event.id for event in events])
    counts["emails"] = _changed(session, delete(Email).where(Email.about.in_(uids)))
    counts["emails"] += _changed(session, delete(Notification).where(Notification.about.in_(uids)))
    touch_chains(session, chains)  # what is in the host's calendar is written again, without the person
    words = [word.casefold() for word in words]
    found = []
    for one in session.scalars(select(InspectorRequest).where(InspectorRequest.user_id.in_(hosts))):
        text = f"{one.body}\n{one.headers}".casefold()
        if any(word in text for word in words):
            found.append(one.id)
    removed = delete(InspectorRequest).where(InspectorRequest.id.in_(found))
    counts["inspector requests"] = _changed(session, removed)
    return counts


def _erase_events(session: Session, events: Collection[int]) -> Counts:
    """Erase the bodies of events and their attempts; discard what was still to be sent."""
    deliveries = session.scalars(select(Delivery.id).where(Delivery.event_id.in_(events))).all()
    mine = Delivery.id.in_(deliveries)
    _changed(session, delete(Notification).where(Notification.event_id.in_(events)))
    gone = {"body": None, "search": "", "trace": None, "trace_state": None}
    _changed(session, update(Event).where(Event.id.in_(events)).values(gone))
    _changed(session, update(Delivery).where(mine).values(body=None))
    _changed(session, update(Delivery).where(mine, Delivery.reason.is_not(None)).values(reason=REASON))
    ended = {"state": State.EXPIRED, "reason": REASON, "finished_at": database_now(session)}
    idle = {"due_at": None, "after_id": None, "claim": None, "pressed_at": None}
    still_open = Delivery.state.in_((State.WAITING, State.PARKED))
    _changed(session, update(Delivery).where(mine, still_open).values(ended | idle))
    attempts = _erase_attempts(session, Attempt.delivery_id.in_(deliveries))
    return Counter({"events": len(events), "deliveries": len(deliveries), "attempts": attempts})


def _erase_attempts(session: Session, which: ColumnElement[bool]) -> int:
    """Erase a receiver's words; the status, the times and the failure's code stay."""
    spoken = (which, Attempt.failure.is_not(None))
    _changed(session, update(Attempt).where(*spoken).values(failure=REASON))
    return _changed(session, update(Attempt).where(which).values(response_headers="", response_body=""))


def _erase_mentions(session: Session, email: str) -> Counts:
    """Erase an address wherever else it is: where another visitor or a receiver has named it."""
    counts: Counts = Counter()
    for booking in session.scalars(
        select(Booking).where(Booking.id.in_(_naming(session, email, Booking, WORDS)))
    ):
        _redact(booking, email)
        counts["bookings"] += 1
    events = {*_naming(session, email, Event, ("body", "search", "trace_state"))}
    told = _naming(session, email, Delivery, ("body", "reason"))
    events.update(session.scalars(select(Delivery.event_id).where(Delivery.id.in_(told))))
    counts += _erase_events(session, sorted(events))
    attempts = _naming(session, email, Attempt, ("response_headers", "response_body", "failure"))
    counts["attempts"] += _erase_attempts(session, Attempt.id.in_(attempts))
    emails = _naming(session, email, Email, ("recipient", "reply_to", "subject", "body", "calendar"))
    counts["emails"] += _changed(session, delete(Email).where(Email.id.in_(emails)))
    links = _naming(session, email, AccountLink, ("typed", "email"))
    _changed(session, delete(AccountLink).where(AccountLink.id.in_(links)))
    pending = _naming(session, email, User, ("pending_email",))
    _changed(session, update(User).where(User.id.in_(pending)).values(pending_email=None))
    requests = _requests_naming(session, email)
    forgotten = delete(InspectorRequest).where(InspectorRequest.id.in_(requests))
    counts["inspector requests"] += _changed(session, forgotten)
    return counts


def _naming(session: Session, email: str, table: Any, names: Sequence[str]) -> list[int]:
    """Return the ids of the rows that have an address in one of their columns."""
    columns = [getattr(table, name) for name in names]
    likely = or_(*(cast(column, Text).icontains(email, autoescape=True) for column in columns))
    rows = session.execute(select(table.id, *columns).where(likely), execution_options={"yield_per": 500})
    wanted = pattern_of(email)
    return [number for number, *values in rows if mentions(values, wanted)]


def _requests_naming(session: Session, email: str) -> list[int]:
    """Return the ids of inspected requests with an address in body or headers, encrypted ones too."""
    headers = cast(InspectorRequest.sealed_headers, Text)
    likely = or_(
        InspectorRequest.body.icontains(email, autoescape=True),
        headers.icontains(email, autoescape=True),
        headers.contains("enc1:"),
    )
    found = session.scalars(select(InspectorRequest).where(likely), execution_options={"yield_per": 500})
    wanted = pattern_of(email)
    return [one.id for one in found if mentions([one.body, one.headers], wanted)]


def _changed(session: Session, statement: Any) -> int:
    result: Any = session.execute(statement, execution_options={"synchronize_session": False})
    return int(result.rowcount)


# What lets somebody in is no data of the host's to take along.
LEFT_OUT = {
    "password",
    "password_hash",
    "session_token",
    "token_hash",
    "calendar_token",
    "calendar_token_hash",
    "key_hash",
    "secret",
    "old_secret",
    "address",
    "address_hash",
    "credentials",
    "claim",
    "attempt",
    "address_key",
    "email_key",
}
AT_ONCE = 500  # rows


def export(session: Session, user: User) -> Iterator[str]:
    """Yield the pieces of one JSON object: the name of each table, and its rows as objects."""
    for number, (name, query) in enumerate(_tables(user.id)):
        yield ("{" if number == 0 else ",") + f"\n{json.dumps(name)}: ["
        for place, row in enumerate(session.scalars(query, execution_options={"yield_per": AT_ONCE})):
            yield (",\n" if place else "\n") + json.dumps(_plain(row), ensure_ascii=False)
        yield "\n]"
    yield "\n}\n"


def count_exported(session: Session, user: User) -> dict[str, int]:
    """Return how many rows of each table an export has."""
    return {
        name: session.scalar(select(func.count()).select_from(query.subquery())) or 0
        for name, query in _tables(user.id)
    }


def _tables(user_id: int) -> list[tuple[str, Select[Any]]]:
    webhooks = select(Webhook.id).where(Webhook.user_id == user_id)
    bookings = select(Booking.id).where(Booking.host_id == user_id)
    calendars = select(ExternalCalendar.id).where(ExternalCalendar.user_id == user_id)
    owned = (
        EventType,
        Schedule,
        WeeklyHours,
        DateOverride,
        TimeOff,
        Webhook,
        Event,
        ApiKey,
        ExternalCalendar,
        LinkKey,
        UserSession,
        AccountLink,
        Notice,
        Email,
        Notification,
        InspectorRequest,
        CalendarAccount,
    )
    return [
        ("user", select(User).where(User.id == user_id)),
        *((table.__tablename__, select(table).where(table.user_id == user_id)) for table in owned),
        ("booking", select(Booking).where(Booking.host_id == user_id)),
        ("attendee", select(Attendee).where(Attendee.booking_id.in_(bookings))),
        ("delivery", select(Delivery).where(Delivery.webhook_id.in_(webhooks))),
        ("attempt", select(Attempt).where(Attempt.webhook_id.in_(webhooks))),
        ("calendar_copy", select(CalendarCopy).where(CalendarCopy.calendar_id.in_(calendars))),
        ("external_busy", select(ExternalBusy).where(ExternalBusy.calendar_id.in_(calendars))),
        ("calendar_conflict", select(CalendarConflict).where(CalendarConflict.calendar_id.in_(calendars))),
        ("webhook_change", select(WebhookChange).where(WebhookChange.webhook_id.in_(webhooks))),
        ("replay", select(Replay).where(Replay.webhook_id.in_(webhooks))),
    ]


def _plain(row: Any) -> dict[str, Any]:
    mapper = db.inspect(type(row))
    shown: dict[str, Any] = {}
    for column in mapper.columns:
        value = getattr(row, mapper.get_property_by_column(column).key)
        if column.name not in LEFT_OUT:
            shown[column.name] = value.isoformat() if isinstance(value, date | datetime) else value
    if isinstance(row, Email) and row.has_link:
        shown["body"] = HIDDEN
    if isinstance(row, Webhook):
        shown["headers"] = [[name, HIDDEN] for name in row.header_names]
    if isinstance(row, InspectorRequest):
        shown["headers"] = [
            [name, HIDDEN if is_sealed(value) else value] for name, value in row.sealed_headers
        ]
    return shown
