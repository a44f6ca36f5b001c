"""Bookings and slots as the API takes and shows them, with Cal.com's names."""

import math
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from calapp.accounts.zones import is_zone
from calapp.bookings.forms import MAX_GUESTS, MAX_TEXT, RawBooking
from calapp.bookings.lists import Order, Tab, Wanted
from calapp.bookings.metadata import KEY, MAX_KEYS, MAX_VALUE, Metadata
from calapp.bookings.models import UNANSWERED, Attendee, Booking, Status
from calapp.deliveries.body import instant
from calapp.local_time import known_zone
from calapp.rest.wire import MOST, Answer, Body, Id, Instant, PageInfo, Paging, Query
from calapp.text import clean

# Cal.com's own sentence, which clients may look for.
METADATA_LIMITS = (
    "Metadata must have at most 50 keys, each key up to 40 characters, "
    "and string values up to 500 characters."
)
METADATA_KEYS = f"{METADATA_LIMITS} A key has the characters A-Z a-z 0-9 _ . - only."
MAX_KEY = 40  # characters
METADATA_SCHEMA = {
    "type": "object",
    "maxProperties": MAX_KEYS,
    "propertyNames": {"maxLength": MAX_KEY},
    "additionalProperties": {"type": ["string", "number", "boolean"], "maxLength": MAX_VALUE},
}
MAX_DAYS = 92  # of one question for slots
DATE = re.compile(r"\d{4}-\d\d-\d\d")


def _metadata(given: dict[str, Any]) -> dict[str, str]:
    """Check metadata and make its values texts: from a link it is always text."""
    texts = {key: _text(value) for key, value in given.items()}
    if len(texts) > MAX_KEYS or any(len(key) > MAX_KEY for key in texts):
        raise ValueError(METADATA_LIMITS)
    if any(not KEY.fullmatch(key) for key in texts):
        raise ValueError(METADATA_KEYS)
    return texts


def _text(value: object) -> str:
    if not isinstance(value, str | int | float) or value in (math.inf, -math.inf):
        raise ValueError(METADATA_LIMITS)
    text = clean(str(value).lower() if isinstance(value, bool) else str(value))
    if len(text) > MAX_VALUE:
        raise ValueError(METADATA_LIMITS)
    return text


def _zone(name: str) -> str:
    if not is_zone(name):
        raise ValueError("Please give an IANA time zone such as Europe/Berlin.")
    return name


Zone = Annotated[
    str, AfterValidator(_zone), Field(description="IANA name of a time zone.", examples=["Europe/London"])
]
Text = Annotated[
    str, Field(description="At most 5,000 characters.", json_schema_extra={"maxLength": MAX_TEXT})
]


class AttendeeBody(Body):
    """Who books."""

    name: Annotated[str, Field(examples=["Ada Byron"], json_schema_extra={"minLength": 1, "maxLength": 200})]
    email: Annotated[str, Field(examples=["ada@example.com"], json_schema_extra={"format": "email"})]
    time_zone: Zone
    language: Annotated[str, Field(description="Accepted; everything is in English.")] = "en"


class BookingBody(Body):
    """A booking to be made: of an event type by its id, or by username and slug."""

    start: Instant
    event_type_id: Annotated[
        Id | None, Field(description="This, or username and eventTypeSlug.", examples=[1])
    ] = None
    username: Annotated[str | None, Field(description="The first part of the booking link.")] = None
    event_type_slug: Annotated[str | None, Field(description="The second part of it.")] = None
    length_in_minutes: Annotated[int | None, Field(description="If given, that of the event type.")] = None
    attendee: AttendeeBody
    guests: Annotated[
        list[str],
        Field(description="Their e-mail addresses, at most 20.", json_schema_extra={"maxItems": MAX_GUESTS}),
    ] = []
    metadata: Annotated[
        dict[str, Any],
        AfterValidator(_metadata),
        WithJsonSchema(METADATA_SCHEMA | {"description": METADATA_KEYS, "examples": [{"user_id": "123"}]}),
    ] = {}
    booking_fields_responses: Annotated[
        dict[str, Any],
        Field(description="Answers by the slug of the question; notes are what is said besides."),
    ] = {}

    def raw(self, attempt: str | None, address: str | None) -> RawBooking:
        """Return the booking as forms check it; `address` is a visitor's."""
        notes = self.booking_fields_responses.get("notes", "")
        return RawBooking(
            start=instant(self.start) if self.start.microsecond == 0 else "",
            name=self.attendee.name,
            email=self.attendee.email,
            time_zone=self.attendee.time_zone,
            notes=notes if isinstance(notes, str) else "",
            guests=self.guests,
            answers={name: _answer(given) for name, given in self.booking_fields_responses.items()},
            metadata=Metadata(self.metadata),
            attempt=attempt,
            address=address,
        )


def _answer(given: object) -> object:
    """Return an answer as a form would bring it: numbers and lists as text."""
    if isinstance(given, list):
        return ", ".join(str(one) for one in given)
    return str(given) if isinstance(given, int | float) and not isinstance(given, bool) else given


class CancelBody(Body):
    """Why a booking is cancelled."""

    cancellation_reason: Text | None = None


class MoveBody(Body):
    """Where a booking is moved to."""

    start: Instant
    rescheduling_reason: Text | None = None


class DeclineBody(Body):
    """Why a booking is turned down."""

    reason: Text | None = None


class AbsentAttendee(Body):
    """Somebody who was there or not."""

    email: Annotated[str, Field(examples=["ada@example.com"])]
    absent: Annotated[bool, Field(examples=[True])]


class AbsentBody(Body):
    """Who was there and who was not."""

    attendee: Annotated[list[AbsentAttendee], Field(alias="attendees", min_length=1, max_length=30)]


def _moment(value: object) -> object:
    """Read a date without a time as its beginning in UTC, as Cal.com does."""
    return f"{value}T00:00:00Z" if isinstance(value, str) and DATE.fullmatch(value) else value


def _last_moment(value: object) -> object:
    """Read a date without a time as its end in UTC, as Cal.com does."""
    return f"{value}T23:59:59.999999Z" if isinstance(value, str) and DATE.fullmatch(value) else value


class SlotsQuery(Query):
    """Which free times are asked for: of an event type by its id, or by username and slug."""

    event_type_id: Annotated[Id | None, Field(description="This, or username and eventTypeSlug.")] = None
    username: Annotated[str | None, Field(description="The first part of the booking link.")] = None
    event_type_slug: Annotated[str | None, Field(description="The second part of it.")] = None
    start: Annotated[Instant, BeforeValidator(_moment, str), Field(description="ISO 8601, or a date in UTC.")]
    end: Annotated[
        Instant,
        BeforeValidator(_last_moment, str),
        Field(description="ISO 8601, or a date in UTC, included."),
    ]
    time_zone: Annotated[Zone, Field(description="In which days and times are answered.")] = "UTC"
    format: Annotated[Literal["time", "range"], Field(description="range adds the end.")] = "time"
    booking_uid_to_reschedule: Annotated[
        str | None, Field(description="A booking whose own time counts as free.")
    ] = None

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: datetime, info: ValidationInfo) -> datetime:
        start = info.data.get("start", end)
        if end < start:
            raise ValueError("Please give an end after the start.")
        if end - start > timedelta(days=MAX_DAYS):
            raise ValueError(f"Please ask for at most {MAX_DAYS} days at once.")
        return end


class BookingsQuery(Paging):
    """Which bookings are asked for; `limit` and `cursor` are other words for `take` and `skip`."""

    status: Annotated[
        list[Literal["upcoming", "recurring", "past", "cancelled", "unconfirmed"]],
        Field(description="One or several, with commas; nothing recurs here."),
    ] = []
    attendee_email: str | None = None
    attendee_name: Annotated[str | None, Field(description="A part of it.")] = None
    event_type_id: Id | None = None
    after_start: Annotated[
        Instant | None, BeforeValidator(_moment), Field(description="Starts at it or later.")
    ] = None
    before_end: Annotated[
        Instant | None, BeforeValidator(_last_moment), Field(description="Ends at it or earlier.")
    ] = None
    sort_start: Literal["asc", "desc"] | None = None
    sort_created: Literal["asc", "desc"] | None = None
    take: Annotated[int, Field(ge=1, le=MOST, description="At most so many.")] = 100
    limit: Annotated[int | None, Field(ge=1, le=MOST)] = None
    cursor: Annotated[str | None, Field(pattern=r"^[0-9]{1,7}$", description="What nextCursor said.")] = None

    def wanted(self) -> Wanted:
        """Return the filter as lists take it."""
        return Wanted(
            tabs=tuple(Tab(one) for one in self.status if one != "recurring"),
            nothing=bool(self.status) and set(self.status) == {"recurring"},
            email=self.attendee_email,
            name=self.attendee_name,
            event_type_id=self.event_type_id,
            after=self.after_start,
            before=self.before_end,
            order=_order(self),
            take=self.limit or self.take,
            skip=int(self.cursor) if self.cursor else self.skip,
        )


def _order(query: BookingsQuery) -> Order:
    if query.sort_created:
        return Order.NEWEST if query.sort_created == "desc" else Order.OLDEST
    return Order.LAST if query.sort_start == "desc" else Order.FIRST


class BookingsPage(PageInfo):
    """Where a page of bookings stands; hasMore and nextCursor are other words for the same."""

    has_more: bool
    next_cursor: str | None


class Host(Answer):
    """Whose time is booked."""

    id: int
    name: str
    email: str
    username: str
    time_zone: str


class Person(Answer):
    """Somebody who takes part."""

    name: str
    email: str
    time_zone: str
    language: Literal["en"] = "en"
    absent: bool


class EventTypeName(Answer):
    """What was booked."""

    id: int
    slug: str


class BookingAnswer(Answer):
    """A booking."""

    id: int
    uid: Annotated[str, Field(description="Who knows it may look, cancel and move.")]
    title: str
    description: Annotated[str, Field(description="What the visitor said besides.")]
    status: Status
    start: Instant
    end: Instant
    duration: Annotated[int, Field(description="Minutes.")]
    event_type_id: int
    event_type: EventTypeName
    hosts: list[Host]
    attendees: Annotated[list[Person], Field(description="The visitor first, then the guests.")]
    guests: list[str]
    location: str | None
    absent_host: Literal[False] = False
    metadata: dict[str, str]
    booking_fields_responses: dict[str, Any]
    cancellation_reason: str | None
    cancelled_by_email: str | None
    rejection_reason: str | None
    rescheduling_reason: str | None
    rescheduled_from_uid: str | None
    rescheduled_to_uid: str | None
    rescheduled_by_email: str | None
    ics_uid: str
    created_at: Instant
    updated_at: Instant


class Slot(Answer):
    """A free time, in the zone that was asked for."""

    start: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    end: Annotated[str | None, Field(description="With format=range.")] = None


def shown(booking: Booking) -> BookingAnswer:
    """Return a booking as the API shows it."""
    host, former = booking.host, booking.rescheduled_from
    return BookingAnswer(
        id=booking.id,
        uid=booking.uid,
        title=booking.title,
        description=booking.notes,
        status=booking.current_status,
        start=booking.starts_at,
        end=booking.ends_at,
        duration=int((booking.ends_at - booking.starts_at).total_seconds() // 60),
        event_type_id=booking.event_type_id,
        event_type=EventTypeName(id=booking.event_type_id, slug=booking.event_type.slug),
        hosts=[
            Host(
                id=host.id,
                name=host.name,
                email=host.email,
                username=host.username,
                time_zone=known_zone(host.time_zone),
            )
        ],
        attendees=[_person(one) for one in booking.attendees],
        guests=[one.email for one in booking.attendees[1:]],
        location=booking.location or None,
        metadata=booking.link_metadata,
        booking_fields_responses=_responses(booking),
        cancellation_reason=booking.cancellation_reason,
        cancelled_by_email=booking.cancelled_by,
        rejection_reason=UNANSWERED if booking.unanswered else booking.rejection_reason,
        rescheduling_reason=former.rescheduling_reason if former else None,
        rescheduled_from_uid=former.uid if former else None,
        rescheduled_to_uid=booking.rescheduled_to_uid,
        rescheduled_by_email=booking.rescheduled_by,
        ics_uid=f"{booking.chain}@calapp",
        created_at=booking.created_at,
        updated_at=booking.updated_at,
    )


def _person(one: Attendee) -> Person:
    return Person(name=one.name, email=one.email, time_zone=known_zone(one.time_zone), absent=one.no_show)


def _responses(booking: Booking) -> dict[str, Any]:
    own = {name: answer["value"] for name, answer in booking.answers.items()}
    visitor = booking.visitor
    return {"name": visitor.name, "email": visitor.email, "notes": booking.notes} | own


def slots_by_date(slots: Iterable[datetime], query: SlotsQuery, minutes: int) -> dict[str, list[Slot]]:
    """Return free times by their date in the zone that was asked for."""
    zone, length = ZoneInfo(query.time_zone), timedelta(minutes=minutes)
    days: dict[str, list[Slot]] = {}
    for start in slots:
        end = _in_zone(start + length, zone) if query.format == "range" else None
        local = start.astimezone(zone)
        days.setdefault(f"{local:%Y-%m-%d}", []).append(Slot(start=_in_zone(start, zone), end=end))
    return days


def _in_zone(moment: datetime, zone: ZoneInfo) -> str:
    """Write an instant in a zone: 2027-01-05T11:00:00.000+01:00, or with Z in UTC."""
    text = moment.astimezone(zone).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z") if zone.key == "UTC" else text
