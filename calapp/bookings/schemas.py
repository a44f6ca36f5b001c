"""Bookings as forms and the API bring them, checked."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from werkzeug.datastructures import MultiDict

from calapp.bookings.answers import MAX_TEXT, Answer, answered, check_guests, phone_of, read_email
from calapp.bookings.metadata import ABOUT_KEYS, MAX_KEY, MAX_KEYS, MAX_PROOF, MAX_VALUE, checked
from calapp.bookings.visitors import has_web_address, mailbox_of
from calapp.errors import Invalid, NotSupported
from calapp.event_types.models import SEVERAL, EventType
from calapp.event_types.schemas import PlaceText
from calapp.limits import GUESTS_PER_BOOKING
from calapp.rest import unsupported
from calapp.rest.schemas import (
    WHOLE,
    Id,
    Instant,
    PatchSchema,
    RequestSchema,
    cleaned,
    from_form,
    known_zone_name,
    said,
)
from calapp.text import clean, line, spaced

MAX_NAME = 200  # characters
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.0+)?Z")
RESPONSE = re.compile(r"responses\[([A-Za-z0-9_-]{1,60})\]")
CHOOSE_TIME = "Please choose a time."
ENGLISH = "All texts are in English."
# What a page says of fields that its own links and scripts fill in.
PAGE_WORDS = {"start": CHOOSE_TIME, "time_zone": "Please choose a time zone from the list."}


def read_instant(text: str) -> datetime | None:
    """Return the instant that a link or form writes as YYYY-MM-DDTHH:MM:SSZ, from 2000 to 2200, or None."""
    try:
        moment = datetime.fromisoformat(text[:19]) if INSTANT.fullmatch(text) else None
    except ValueError:
        return None  # such as the 30th of February
    # At the ends of the calendar, adding a day or changing the zone overflows.
    return moment.replace(tzinfo=UTC) if moment and 2000 <= moment.year <= 2200 else None


def _whole_second(start: datetime) -> datetime:
    if start.microsecond:
        raise ValueError(CHOOSE_TIME)
    return start


def _person(name: str) -> str:
    if not any(one.isprintable() and not one.isspace() for one in name):
        raise ValueError("Please enter your name.")
    if has_web_address(name):
        raise ValueError("Please enter your name without a web address.")
    return name


def _separate(given: Any) -> Any:
    """Split texts of several addresses: a form has all guests in one field."""
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        return given
    return [part for text in given for part in re.split(r"[\s,;]+", text) if part]


def _guests(addresses: list[str]) -> list[str]:
    """Return the guests' addresses, each mailbox once."""
    found: dict[str, str] = {}
    for one in addresses:
        try:
            address = read_email(one)
        except ValueError:
            raise ValueError(f"“{one[:60]}” is not an email address.") from None
        found.setdefault(mailbox_of(address), address)
    return list(found.values())


Start = Annotated[Instant, AfterValidator(_whole_second)]
JsonMetadata = Annotated[
    dict[str, Any],
    AfterValidator(checked),
    WithJsonSchema(
        {
            "type": "object",
            "description": ABOUT_KEYS,
            "examples": [{"user_id": "123"}],
            "maxProperties": MAX_KEYS,
            "propertyNames": {"maxLength": MAX_KEY},
            "additionalProperties": {"type": ["string", "number", "boolean"], "maxLength": MAX_VALUE},
        }
    ),
]
Zone = Annotated[
    str,
    AfterValidator(known_zone_name),
    Field(description="IANA time zone name.", examples=["Europe/London"]),
]
Text = Annotated[
    str,
    Field(max_length=MAX_TEXT, description=f"At most {MAX_TEXT:,} characters."),
    cleaned(lambda text: clean(text).strip()),
]


Guests = Annotated[
    list[str],
    Field(max_length=GUESTS_PER_BOOKING, description=f"Their email addresses, at most {GUESTS_PER_BOOKING}."),
    BeforeValidator(_separate),
    AfterValidator(_guests),
    said(f"You can invite up to {GUESTS_PER_BOOKING} guests.", "too_long"),
]

Name = Annotated[
    str,
    Field(min_length=1, max_length=MAX_NAME, examples=["Ada Byron"]),
    AfterValidator(_person),
    cleaned(spaced),
    said("Please enter your name.", "string_too_short"),
    said(f"Names can have up to {MAX_NAME} characters.", "string_too_long"),
]


class AttendeeRequest(RequestSchema):
    """The person who books."""

    name: Name
    email: Annotated[
        str,
        Field(examples=["ada@example.com"], json_schema_extra={"format": "email"}),
        AfterValidator(read_email),
    ]
    phone_number: Annotated[
        str | None,
        Field(
            description="With its country code, or as people write it in the country of timeZone. Required "
            "where the host calls the visitor.",
            examples=["+4930901820"],
        ),
    ] = None
    time_zone: Zone
    language: Annotated[str, Field(description=ENGLISH, examples=["en"])] = "en"

    @field_validator("language")
    @classmethod
    def _is_english(cls, name: str) -> str:
        if name and name.lower().partition("-")[0] != "en":
            raise NotSupported(ENGLISH, **{"attendee.language": ENGLISH})
        return name


Utm = Annotated[str, Field(max_length=MAX_VALUE), cleaned(line)]


class TrackingRequest(RequestSchema):
    """The campaign that a booking comes from."""

    utm_source: Annotated[Utm, Field(alias="utm_source", examples=["newsletter"])] = ""
    utm_medium: Annotated[Utm, Field(alias="utm_medium")] = ""
    utm_campaign: Annotated[Utm, Field(alias="utm_campaign")] = ""
    utm_term: Annotated[Utm, Field(alias="utm_term")] = ""
    utm_content: Annotated[Utm, Field(alias="utm_content")] = ""


class BookingLocation(RequestSchema):
    """Where the meeting takes place: what the event type says, and the number to call."""

    type: Literal["attendeePhone", "link", "address", "phone"]
    phone: Annotated[str | None, Field(description="The visitor's number, for attendeePhone.")] = None


class BookingRequest(RequestSchema):
    """A new booking of an event type, given by its id or by username and slug."""

    unsupported = unsupported.BOOKING

    start: Start
    event_type_id: Annotated[
        Id | None, Field(description="Either this, or username and eventTypeSlug.", examples=[1])
    ] = None
    username: Annotated[str | None, Field(description="The first part of the booking link.")] = None
    event_type_slug: Annotated[str | None, Field(description="The second part of the booking link.")] = None
    length_in_minutes: Annotated[
        int | None, WHOLE, Field(description="One of the event type's lengths. Default: its usual one.")
    ] = None
    attendee: AttendeeRequest
    guests: Guests = []
    reservation_uid: Annotated[
        str | None,
        Field(
            max_length=36, description="A time that was held by POST /v2/slots/reservations from elsewhere."
        ),
    ] = None
    metadata: JsonMetadata = {}
    tracking: TrackingRequest | None = None
    exp: Annotated[
        int | None, Field(description="`exp` of the signed link that the metadata is from.", ge=1), WHOLE
    ] = None
    sig: Annotated[
        str | None, Field(max_length=MAX_PROOF, description="`sig` of that link; without it, unverified.")
    ] = None
    location: Annotated[
        BookingLocation | None, Field(description="If given, must be that of the event type.")
    ] = None
    booking_fields_responses: Annotated[
        dict[str, Any],
        Field(
            description="Answers by the slug of the question; `notes` are additional notes, and "
            "`attendeePhoneNumber` is another place for the visitor's phone number."
        ),
    ] = {}

    @property
    def notes(self) -> str:
        """The additional notes; clean once `answered` has read them."""
        return str(self.booking_fields_responses.get("notes", ""))


def booking_of_form(
    form: MultiDict[str, str],
    link: Mapping[str, str],
    event_type: EventType,
    minutes: int | None = None,
) -> BookingRequest:
    """Read the booking form, with the metadata of its link; raise Invalid that names each bad field.

    `minutes` is how long the meeting is.
    """
    several = {question["name"] for question in event_type.questions if question["type"] in SEVERAL}
    responses: dict[str, object] = {"notes": form.get("notes", "")}
    for name, values in form.lists():
        if match := RESPONSE.fullmatch(name):
            responses[match[1]] = values if match[1] in several else values[0]
    answers: dict[str, Answer] = {}
    problems: dict[str, object] = {}
    zone = form.get("time_zone", "")
    try:
        answers = answered(responses, event_type, zone)
    except Invalid as error:
        problems = error.details
    try:
        phone = phone_of(event_type, form.get("phone"), zone, "phone")
    except Invalid as error:
        phone, problems = None, problems | error.details
    attendee: dict[str, Any] = {name: form.get(name, "") for name in ("name", "email", "time_zone")}
    given = {
        "start": read_instant(form.get("start", "")),
        "length_in_minutes": minutes,
        "attendee": attendee | {"phone_number": phone},
        "guests": form.getlist("guests"),
        "metadata": link,
        "booking_fields_responses": answers,
    }
    try:
        request = from_form(BookingRequest, given, fields=attendee, instead=PAGE_WORDS)
        check_guests(event_type, request.guests)
    except Invalid as error:
        raise Invalid(error.message, **problems | error.details) from None
    if problems:
        raise Invalid("Please fix the marked fields.", **problems)
    return request


class CancelRequest(RequestSchema):
    """Why a booking is cancelled."""

    unsupported = unsupported.CANCEL

    reason: Annotated[Text | None, Field(alias="cancellationReason")] = None


class RescheduleRequest(RequestSchema):
    """The new time of a booking."""

    unsupported = unsupported.RESCHEDULE

    start: Start
    reason: Annotated[Text | None, Field(alias="reschedulingReason")] = None
    reschedule_reason: Annotated[
        Text | None, Field(description="The same, as Cal.com's MCP server says.")
    ] = None

    @model_validator(mode="after")
    def _one_reason(self) -> Self:
        if self.reason is None:
            self.reason = self.reschedule_reason
        return self


class ChangedLocation(RequestSchema):
    """A place, in Cal.com's words."""

    type: Literal["link", "address", "phone"]
    link: Annotated[PlaceText, Field(description="A URL.")] = ""
    address: PlaceText = ""
    phone: Annotated[PlaceText, Field(description="The number that visitors call.")] = ""

    @model_validator(mode="after")
    def _with_text(self) -> Self:
        if not self.text:
            raise ValueError(f"Please send {self.type}, the text of the place.")
        if self.type == "link" and not self.text.startswith(("https://", "http://")):
            raise ValueError("Please enter the meeting link, beginning with https://.")
        return self

    @property
    def text(self) -> str:
        """The place itself."""
        return str(getattr(self, self.type))


class Guest(RequestSchema):
    """A guest to add."""

    email: Annotated[str, AfterValidator(read_email), Field(examples=["eve@example.com"])]
    name: Annotated[Name | None, Field(description="Default: the email address.")] = None
    time_zone: Annotated[Zone | None, Field(description="Default: the visitor's.")] = None


class AddedAttendee(Guest):
    """An attendee to add."""

    unsupported = unsupported.ATTENDEE

    name: Name
    time_zone: Zone


class LocationRequest(RequestSchema):
    """A new place for a booking."""

    location: ChangedLocation


class GuestsRequest(RequestSchema):
    """Guests to add to a booking."""

    unsupported = unsupported.GUESTS

    guests: Annotated[list[Guest], Field(min_length=1, max_length=GUESTS_PER_BOOKING)]


class BookingPatch(PatchSchema):
    """Changes to a booking. Omitted fields keep their value."""

    location: ChangedLocation | None = None
    guests: Guests = []
    notes: Annotated[Text, Field(alias="description")] = ""

    def changes(self) -> dict[str, Any]:
        """Return the new values by field: those that were given."""
        found = {name: getattr(self, name) for name in self.model_fields_set}
        if "location" in found:
            found["location"] = self.location.text if self.location else ""
        return found


def changes_of_form(form: MultiDict[str, str]) -> dict[str, Any]:
    """Return the new values that a form gives a booking; raise Invalid that names each bad field."""
    place = line(form.get("location", "")).strip()
    kind = "link" if place.startswith(("https://", "http://")) else "address"
    given = {
        "location": {"type": kind, kind: place} if place else None,
        "guests": form.getlist("guests"),
        "notes": form.get("notes", ""),
    }
    return {"notes": "", **from_form(BookingPatch, given).changes()}  # an empty text is a change, too


class DeclineRequest(RequestSchema):
    """Why a booking is declined."""

    reason: Text | None = None


def move_of_form(form: Mapping[str, str]) -> RescheduleRequest:
    """Read the form that moves a booking; raise Invalid that names each bad field."""
    given = {"start": read_instant(form.get("start", "")), "reason": form.get("reason", "")}
    return from_form(RescheduleRequest, given, instead=PAGE_WORDS)


def reason_of(form: Mapping[str, str]) -> str:
    """Return the reason that a form gives; raise Invalid with the words at `reason`."""
    return from_form(DeclineRequest, {"reason": form.get("reason", "")}).reason or ""


class AskToReschedule(RequestSchema):
    """Why another time is asked for."""

    reason: Annotated[Text | None, Field(alias="rescheduleReason")] = None


class AbsentAttendee(RequestSchema):
    """An attendee and whether they were absent."""

    email: Annotated[str, Field(examples=["ada@example.com"])]
    absent: Annotated[bool, Field(examples=[True])]


class AbsentRequest(RequestSchema):
    """Which attendees were absent."""

    unsupported = unsupported.ABSENT

    attendee: Annotated[list[AbsentAttendee], Field(alias="attendees", max_length=30)] = []
