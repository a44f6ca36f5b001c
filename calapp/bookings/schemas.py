"""Metadata: what the booking link has as `metadata[key]=value`, kept within limits."""

import math
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from email_validator import EmailNotValidError, validate_email
from flask_limiter.util import get_remote_address
from flask_login import current_user
from itsdangerous import BadSignature, TimestampSigner
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator
from werkzeug.datastructures import MultiDict

from calapp import limits
from calapp.accounts.schemas import is_zone
from calapp.bookings.lists import Order, Tab, Wanted
from calapp.bookings.models import UNANSWERED, Attendee, Booking, Status
from calapp.bookings.visitors import has_web_address, mailbox_of
from calapp.clock import iso_seconds, now
from calapp.config import settings
from calapp.errors import Invalid
from calapp.local_time import known_zone
from calapp.rest.schemas import (
    MOST,
    Id,
    Instant,
    PageInfo,
    Paging,
    QuerySchema,
    RequestSchema,
    ResponseSchema,
)
from calapp.text import clean, line, spaced

MAX_KEYS = 50
MAX_VALUE = 500  # characters
KEY = re.compile(r"[A-Za-z0-9_.-]{1,40}")
FIELD = re.compile(r"metadata\[(.*)\]", re.DOTALL)
MAX_LEFT_OUT = 200  # reasons that are kept
MAX_REASON = 160  # characters
LEFT_OUT = "left_out"  # the field in which the pages of the booker pass on what an earlier one left out

Pairs = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Metadata:
    """The entries that were taken, and for each that was left out the reason."""

    values: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def of_pairs(pairs: Pairs) -> Metadata:
    """Read metadata from a link's or form's fields; what is malformed or too much is left out."""
    values: dict[str, str] = {}
    left_out: list[str] = []
    for name, given in pairs:
        if name == LEFT_OUT and len(left_out) < limits.LEFT_OUT_ENTRIES:
            left_out.append(line(given)[:MAX_REASON])
        if not name.startswith("metadata"):
            continue
        match, value = FIELD.fullmatch(name), clean(given)
        problem = _problem(match[1] if match else None, value, values)
        if problem:
            left_out.append(f"{line(name)[:80]}: {problem}")
        elif match:
            values[match[1]] = value
    return Metadata(values, tuple(left_out[:MAX_LEFT_OUT]))


def _problem(key: str | None, value: str, values: Mapping[str, str]) -> str | None:
    if key is None:
        return "not of the form metadata[key]"
    if not KEY.fullmatch(key):
        return "a key has 1 to 40 characters of A-Z a-z 0-9 _ . -"
    if key in values:
        return None if values[key] == value else "the key is listed twice; the first value was kept"
    if len(value) > MAX_VALUE:
        return f"the value is longer than {MAX_VALUE} characters"
    if len(values) >= MAX_KEYS:
        return f"more than {MAX_KEYS} entries"
    return None


def carried(metadata: Metadata) -> list[tuple[str, str]]:
    """Return the fields that carry metadata to the next page: what was taken, and why the rest was not."""
    taken = [(f"metadata[{key}]", value) for key, value in metadata.values.items()]
    return [*taken, *((LEFT_OUT, reason) for reason in metadata.left_out[: limits.LEFT_OUT_ENTRIES])]


def merged(kept: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """Add a reschedule link's new keys to a booking's; those that are there keep their value."""
    together = dict(kept)
    for key, value in added.items():
        if key not in together and len(together) < MAX_KEYS:
            together[key] = value
    return together


MAX_NAME = 200
MAX_TEXT = 5000  # characters of notes, reasons and long answers
MAX_GUESTS = 20
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.0+)?Z")

QuestionAnswer = str | bool


@dataclass(frozen=True, kw_only=True)
class BookingRequest:
    """A booking as the visitor asks for it; `idempotency_key` is the form's token against a double click.

    `address` is the internet address that a visitor acts from; None for the host and the host's programs.
    """

    start: datetime
    name: str
    email: str
    time_zone: str
    notes: str = ""
    guests: tuple[str, ...] = ()
    metadata: Metadata = Metadata()
    answers: Mapping[str, QuestionAnswer] = field(default_factory=dict)
    idempotency_key: str | None = None
    address: str | None = None


@dataclass(frozen=True, kw_only=True)
class MoveRequest:
    """A reschedule as either side asks for it; `by` is an email address, `address` as in BookingRequest.

    `time_zone` is where the visitor is by now; None leaves it as it was.
    """

    start: datetime
    by: str
    by_host: bool = False
    time_zone: str | None = None
    reason: str = ""
    metadata: Metadata = Metadata()
    idempotency_key: str | None = None
    address: str | None = None


@dataclass(frozen=True)
class RawBooking:
    """The same as it came, all text: from a form, or from JSON."""

    start: str
    name: str
    email: str
    time_zone: str
    notes: str
    guests: Sequence[str]
    answers: Mapping[str, Any]
    metadata: Metadata
    idempotency_key: str | None
    address: str | None


def checked(raw: RawBooking, questions: Sequence[Mapping[str, Any]], *, prefix: str = "") -> BookingRequest:
    """Check every field; raise Invalid whose details name each bad one, a question's after `prefix`."""
    problems: dict[str, str] = {}
    start = _taken(problems, "start", read_instant, raw.start)
    name = _taken(problems, "name", _name, raw.name)
    email = _taken(problems, "email", email_address, raw.email)
    zone = _taken(problems, "time_zone", zone_name, raw.time_zone)
    notes = _taken(problems, "notes", long_text, raw.notes)
    guests = _taken(problems, "guests", guest_list, raw.guests)
    answers = {
        question["name"]: _taken(
            problems, prefix + question["name"], _form_answer, question, raw.answers.get(question["name"])
        )
        for question in questions
    }
    if problems:
        raise Invalid("Please correct what is marked.", **problems)
    return BookingRequest(
        start=start,
        name=name,
        email=email,
        time_zone=zone,
        notes=notes,
        guests=tuple(guest for guest in guests if mailbox_of(guest) != mailbox_of(email)),
        metadata=raw.metadata,
        answers=answers,
        idempotency_key=(raw.idempotency_key or "")[:64] or None,
        address=raw.address,
    )


def checked_move(*, start: str, reason: str, time_zone: str = "", **known: Any) -> MoveRequest:
    """Check what either side types when moving; raise Invalid whose details name each bad field.

    `known` are the other fields of MoveRequest; an unknown zone counts as none.
    """
    problems: dict[str, str] = {}
    moment = _taken(problems, "start", read_instant, start)
    text = _taken(problems, "reason", long_text, reason)
    if problems:
        raise Invalid("Please correct what is marked.", **problems)
    zone = time_zone if is_zone(time_zone) else None
    return MoveRequest(start=moment, reason=text, time_zone=zone, **known)


def _taken(problems: dict[str, str], name: str, read: Any, *values: Any) -> Any:
    """Read one value, or note what is wrong with it."""
    try:
        return read(*values)
    except Invalid as error:
        problems[name] = error.message
    return None


def read_instant(text: str) -> datetime:
    """Read YYYY-MM-DDTHH:MM:SSZ from 2000 to 2200; raise Invalid for anything else."""
    try:
        moment = datetime.fromisoformat(text[:19]) if INSTANT.fullmatch(text) else None
    except ValueError:
        moment = None  # such as the 30th of February
    # At the ends of the calendar, adding a day or changing the zone overflows.
    if moment is None or not 2000 <= moment.year <= 2200:
        raise Invalid("Please choose a time.")
    return moment.replace(tzinfo=UTC)


def _name(text: str) -> str:
    name = spaced(text)
    if not any(letter.isprintable() and not letter.isspace() for letter in name):
        raise Invalid("Please give your name.")
    if len(name) > MAX_NAME:
        raise Invalid(f"Please keep the name within {MAX_NAME} characters.")
    if has_web_address(name):
        raise Invalid("Please give your name without a web address.")
    return name


def email_address(text: str) -> str:
    """Return a normal email address; raise Invalid for what is none."""
    try:
        return validate_email(clean(text).strip(), check_deliverability=False).normalized
    except EmailNotValidError:
        raise Invalid("Please give an email address such as name@example.com.") from None


def zone_name(text: str) -> str:
    """Return a time zone's name; raise Invalid for what is none."""
    if not is_zone(text):
        raise Invalid("Please choose a time zone from the list.")
    return text


def long_text(text: str) -> str:
    """Return a text of several lines; raise Invalid when it is too long."""
    text = clean(text).strip()
    if len(text) > MAX_TEXT:
        raise Invalid(f"Please keep this within {MAX_TEXT:,} characters.")
    return text


def guest_list(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the guests' addresses, each mailbox once; raise Invalid for a bad one or over twenty."""
    parts = [part for text in texts for part in re.split(r"[\s,;]+", text) if part]
    if len(parts) > MAX_GUESTS:
        raise Invalid(f"Please invite at most {MAX_GUESTS} guests.")
    found: dict[str, str] = {}
    for part in parts:
        try:
            address = email_address(part)
        except Invalid:
            raise Invalid(f"“{part[:60]}” is not an email address.") from None
        found.setdefault(mailbox_of(address), address)
    return tuple(found.values())


def _form_answer(question: Mapping[str, Any], given: Any) -> QuestionAnswer:
    """Read the answer to a custom question."""
    if question["type"] == "checkbox":
        ticked = given in {True, "on", "true", "yes", "1"}
        if question["required"] and not ticked:
            raise Invalid("Please tick this.")
        return ticked
    text = long_text(given if isinstance(given, str) else "")
    if question["required"] and not text:
        raise Invalid("Please answer this.")
    if question["type"] == "select" and text and text not in question["options"]:
        raise Invalid("Please choose one of the answers.")
    if question["type"] == "text" and ("\n" in text or len(text) > 500):
        raise Invalid("Please answer in one line of at most 500 characters.")
    return line(text) if question["type"] == "text" else text


TRAP = "website"  # a field that people do not see; who fills it in is a robot
LEAST_AGE = 2.0  # seconds; nobody fills in the form faster
RESPONSE = re.compile(r"responses\[([A-Za-z0-9_-]{1,60})\]")


def new_token() -> str:
    """Make a form's token: random, with the time when the form was made, signed; at most 64 characters."""
    return _signer().sign(secrets.token_urlsafe(9)).decode()


def known_token(token: str) -> str | None:
    """Return the token when it is one of ours, else None."""
    try:
        _signer().unsign(token)
    except BadSignature:
        return None
    return token


def by_robot(form: MultiDict[str, str]) -> bool:
    """Return whether a form was filled in by a robot: the trap holds something, or it came back too fast."""
    if form.get(TRAP):
        return True
    try:
        _, made_at = _signer().unsign(form.get("attempt", ""), return_timestamp=True)
    except BadSignature:
        return False  # a client of its own; the limits hold it
    return (now() - made_at).total_seconds() < LEAST_AGE


def _signer() -> TimestampSigner:
    keys = (settings().secret_key, *settings().secret_key_fallbacks)
    return TimestampSigner(keys[::-1], salt="attempt")  # signs with the last


def acting_address(host_id: int) -> str | None:
    """Return the internet address that a visitor acts from; None for the host, who is signed in."""
    if current_user.is_authenticated and current_user.id == host_id:
        return None
    return get_remote_address()


def metadata(query: MultiDict[str, str], form: MultiDict[str, str]) -> Metadata:
    """Read metadata from the address first, then from the form's own fields."""
    return of_pairs([*query.items(multi=True), *form.items(multi=True)])


def raw_booking(query: MultiDict[str, str], form: MultiDict[str, str], address: str | None) -> RawBooking:
    """Gather a booking form's fields as text; `address` is a visitor's."""
    found = ((RESPONSE.fullmatch(name), value) for name, value in form.items())
    return RawBooking(
        start=form.get("start", ""),
        name=form.get("name", ""),
        email=form.get("email", ""),
        time_zone=form.get("time_zone", ""),
        notes=form.get("notes", ""),
        guests=form.getlist("guests"),
        answers={match[1]: value for match, value in found if match},
        metadata=metadata(query, form),
        idempotency_key=known_token(form.get("attempt", "")),
        address=address,
    )


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


class AttendeeBody(RequestSchema):
    """Who books."""

    name: Annotated[str, Field(examples=["Ada Byron"], json_schema_extra={"minLength": 1, "maxLength": 200})]
    email: Annotated[str, Field(examples=["ada@example.com"], json_schema_extra={"format": "email"})]
    time_zone: Zone
    language: Annotated[str, Field(description="Accepted; everything is in English.")] = "en"


class BookingBody(RequestSchema):
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
        Field(description="Their email addresses, at most 20.", json_schema_extra={"maxItems": MAX_GUESTS}),
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

    def raw(self, idempotency_key: str | None, address: str | None) -> RawBooking:
        """Return the booking as forms check it; `address` is a visitor's."""
        notes = self.booking_fields_responses.get("notes", "")
        return RawBooking(
            start=iso_seconds(self.start) if self.start.microsecond == 0 else "",
            name=self.attendee.name,
            email=self.attendee.email,
            time_zone=self.attendee.time_zone,
            notes=notes if isinstance(notes, str) else "",
            guests=self.guests,
            answers={name: _answer(given) for name, given in self.booking_fields_responses.items()},
            metadata=Metadata(self.metadata),
            idempotency_key=idempotency_key,
            address=address,
        )


def _answer(given: object) -> object:
    """Return an answer as a form would bring it: numbers and lists as text."""
    if isinstance(given, list):
        return ", ".join(str(one) for one in given)
    return str(given) if isinstance(given, int | float) and not isinstance(given, bool) else given


class CancelBody(RequestSchema):
    """Why a booking is cancelled."""

    cancellation_reason: Text | None = None


class MoveBody(RequestSchema):
    """Where a booking is moved to."""

    start: Instant
    rescheduling_reason: Text | None = None


class DeclineBody(RequestSchema):
    """Why a booking is turned down."""

    reason: Text | None = None


class AbsentAttendee(RequestSchema):
    """Somebody who was there or not."""

    email: Annotated[str, Field(examples=["ada@example.com"])]
    absent: Annotated[bool, Field(examples=[True])]


class AbsentBody(RequestSchema):
    """Who was there and who was not."""

    attendee: Annotated[list[AbsentAttendee], Field(alias="attendees", min_length=1, max_length=30)]


def _moment(value: object) -> object:
    """Read a date without a time as its beginning in UTC, as Cal.com does."""
    return f"{value}T00:00:00Z" if isinstance(value, str) and DATE.fullmatch(value) else value


def _last_moment(value: object) -> object:
    """Read a date without a time as its end in UTC, as Cal.com does."""
    return f"{value}T23:59:59.999999Z" if isinstance(value, str) and DATE.fullmatch(value) else value


class SlotsQuery(QuerySchema):
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


class Host(ResponseSchema):
    """Whose time is booked."""

    id: int
    name: str
    email: str
    username: str
    time_zone: str


class Person(ResponseSchema):
    """Somebody who takes part."""

    name: str
    email: str
    time_zone: str
    language: Literal["en"] = "en"
    absent: bool


class EventTypeName(ResponseSchema):
    """What was booked."""

    id: int
    slug: str


class BookingAnswer(ResponseSchema):
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


class Slot(ResponseSchema):
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
