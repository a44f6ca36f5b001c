"""An event type as forms and the API bring it, checked.

The names are those of the columns. Where Cal.com's API has an object, its field has the column's name.
"""

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from calapp.event_types.models import MAX_DAYS, UID, WITH_OPTIONS, LocationKind
from calapp.rest import unsupported
from calapp.rest.schemas import WHOLE, Id, PatchSchema, QuerySchema, RequestSchema, cleaned, said
from calapp.text import line

CELL = 5  # minutes; starts, lengths, steps and buffers are multiples of it
DAY = 1440  # minutes
MAX_QUESTIONS = 20
TOO_MANY_QUESTIONS = f"You can ask up to {MAX_QUESTIONS} questions."
MAX_OPTIONS = 50
MAX_REMINDERS = 3
MAX_LENGTHS = 10
QUESTION_TYPES = (
    "text", "textarea", "phone", "email", "number", "select", "radio", "multiselect", "checkbox", "boolean",
)  # fmt: skip
# What Cal.com's API calls a stored type when not alike: one box is a boolean, a group of them a checkbox.
API_TYPES = {"checkbox": "boolean", "checkboxes": "checkbox"}
API_TYPES_STORED = {shown: stored for stored, shown in API_TYPES.items()}
# The questions of every form that can be switched off, with Cal.com's types and labels.
DEFAULT_FIELDS = {"notes": ("textarea", "Additional notes"), "guests": ("multiemail", "Guests")}
# Names of the payload's own responses, which a question must not take.
TAKEN_NAMES = (
    "name",
    "email",
    "notes",
    "guests",
    "start",
    "time_zone",
    "reason",
    "phone",
    "attendeePhoneNumber",
)
LOCATIONS = {
    "link": LocationKind.LINK,
    "address": LocationKind.IN_PERSON,
    "phone": LocationKind.PHONE,
    "attendeePhone": LocationKind.PHONE,
}

Title = Annotated[
    str,
    Field(min_length=1, max_length=100, examples=["Quick chat"]),
    cleaned(line),
    said("Please enter a title.", "string_too_short"),
]
Slug = Annotated[
    str,
    Field(
        pattern="^[a-z0-9]+(?:[-_][a-z0-9]+)*$",
        max_length=60,
        description="The last part of its link.",
        examples=["quick-chat"],
    ),
    cleaned(lambda text: text.strip().lower()),
    said("Please use letters, digits and single hyphens, up to 60 characters, such as quick-chat."),
]
MOST_BUFFER, MOST_NOTICE = DAY // 2, 30 * DAY  # minutes
Minutes = Annotated[
    int,
    Field(ge=CELL, le=DAY, multiple_of=CELL, description="In minutes, a multiple of 5.", examples=[30]),
    WHOLE,
    said("Please enter a number of minutes from 5 to 1,440, a multiple of 5."),
]
Buffer = Annotated[
    int,
    Field(ge=0, le=MOST_BUFFER, multiple_of=CELL, description="In minutes, a multiple of 5."),
    WHOLE,
    said("Please enter a number of minutes from 0 to 720, a multiple of 5."),
]
Notice = Annotated[
    int,
    Field(ge=0, le=MOST_NOTICE, description="Minimum notice in minutes."),
    WHOLE,
    said("Please enter a number of minutes from 0 to 43,200."),
]
Days = Annotated[
    int,
    Field(ge=0, le=730, description="In days from today."),
    WHOLE,
    said("Please enter a number of days from 0 to 730."),
]
PerDay = Annotated[
    int,
    Field(ge=1, le=288, description="Maximum number of bookings per day."),
    WHOLE,
    said("Please enter a number of bookings from 1 to 288."),
]
Lengths = Annotated[
    list[Minutes],
    Field(
        max_length=MAX_LENGTHS,
        description="Lengths that the visitor chooses from, in minutes, lengthInMinutes among them. "
        "Empty: only lengthInMinutes.",
        examples=[[15, 30, 60]],
    ),
    AfterValidator(lambda minutes: sorted(set(minutes))),
    said(f"Please enter up to {MAX_LENGTHS} lengths from 5 to 1,440 minutes, multiples of 5."),
]
Reminders = Annotated[
    list[Annotated[int, Field(ge=1, le=30 * DAY), WHOLE]],
    Field(
        max_length=MAX_REMINDERS,
        description="Minutes before the start at which visitor and guests are reminded, at most "
        f"{MAX_REMINDERS}. For bookings made from then on; what is removed is not sent any more.",
        examples=[[1440, 60, 10]],
    ),
    AfterValidator(lambda minutes: sorted(set(minutes), reverse=True)),
    said(f"Please enter up to {MAX_REMINDERS} times of up to 30 days, such as 24 h, 1 h, 10 min."),
]
PlaceText = Annotated[str, Field(max_length=500), cleaned(line)]


def _redirect(value: str | None) -> str | None:
    """Return an address to send visitors to; raise ValueError for one that is or hides something else."""
    text = (value or "").strip()
    if not text:
        return None
    try:
        parts = urlsplit(text)
        fine = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc
    except ValueError:
        fine = False
    odd = any(ord(letter) <= 32 or letter in "\"'<>\\;," for letter in text.split("?")[0])
    if not fine or odd:
        raise ValueError("Please enter a URL that begins with https:// or http://.")
    return text


RedirectUrl = Annotated[
    Annotated[str, Field(max_length=2000)] | None,
    AfterValidator(_redirect),
    Field(description="Where visitors are redirected after booking."),
]


class ConfirmationPolicy(RequestSchema):
    """Whether the host must confirm each booking."""

    type: Literal["always"] = "always"
    disabled: bool = False


class BookingWindow(RequestSchema):
    """How far ahead it can be booked."""

    type: Literal["calendarDays"] = "calendarDays"
    max_days: Annotated[Days, Field(alias="value")]


class BookingLimitsCount(RequestSchema):
    """The maximum number of bookings."""

    max_per_day: Annotated[PerDay | None, Field(alias="day")] = None
    disabled: bool = False


class Location(RequestSchema):
    """Where it takes place."""

    location_kind: Annotated[
        Literal["link", "address", "phone", "attendeePhone"],
        Field(alias="type"),
        said(f"Please choose where the meeting takes place: {', '.join(LOCATIONS)}."),
    ]
    link: Annotated[
        PlaceText,
        Field(
            description="A URL. `{uid}` in it is replaced by the uid of each booking.",
            examples=["https://meet.example.com/{uid}"],
        ),
    ] = ""
    address: PlaceText = ""
    phone: PlaceText = ""

    @property
    def text(self) -> str:
        """What is kept beside the kind."""
        return {"link": self.link, "address": self.address, "phone": self.phone}.get(self.location_kind, "")


class BookingField(RequestSchema):
    """A question of the booking form."""

    type: Annotated[
        Literal[*QUESTION_TYPES, "multiemail"],  # type: ignore[valid-type]
        said(f"Please choose a type: {', '.join(QUESTION_TYPES)}."),
    ] = "text"
    label: Annotated[str, cleaned(line)] = ""
    name: Annotated[
        str,
        Field(alias="slug", description="Its key in bookingFieldsResponses. Default: made from the label."),
    ] = ""
    required: bool = False
    options: Annotated[
        list[str], Field(description="The options of a select, multiselect, checkbox or radio.")
    ] = []
    hidden: Annotated[
        bool, Field(description="For the slugs `notes` and `guests` alone: not to ask for them.")
    ] = False

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.name in DEFAULT_FIELDS:
            return self
        if self.type == "multiemail":
            raise ValueError(f"Please choose a type: {', '.join(QUESTION_TYPES)}.")
        if self.hidden:
            raise ValueError("Only notes and guests can be hidden. Please leave this question out.")
        if not self.label:
            raise ValueError("Please enter the question.")
        if len(self.label) > 200:
            raise ValueError("Must be at most 200 characters.")
        if API_TYPES_STORED.get(self.type, self.type) not in WITH_OPTIONS:
            self.options = []
            return self
        self.options = list(dict.fromkeys(one for row in self.options if (one := line(row)[:200].strip())))
        if not 1 <= len(self.options) <= MAX_OPTIONS:
            raise ValueError(f"Please enter up to {MAX_OPTIONS} options, one per line.")
        return self

    def stored(self) -> dict[str, Any]:
        """Return the question as the database keeps it."""
        names = {"type", "label", "name", "required", "options"}
        kept = self.model_dump(by_alias=False, include=names)
        return kept | {"type": API_TYPES_STORED.get(self.type, self.type)}


def _named(questions: list[BookingField]) -> list[BookingField]:
    """Give each question a unique key: the one that it has, or one made from its words."""
    if sum(question.name not in DEFAULT_FIELDS for question in questions) > MAX_QUESTIONS:
        raise ValueError(TOO_MANY_QUESTIONS)
    taken = set(TAKEN_NAMES)
    for question in questions:
        if question.name in DEFAULT_FIELDS:
            continue
        own = question.name if re.fullmatch(r"[a-z0-9_-]{1,60}", question.name) else ""
        base = own or re.sub(r"[^a-z0-9]+", "-", question.label.lower()).strip("-")[:40] or "question"
        name, count = base, 2
        while name in taken:
            name, count = f"{base}-{count}", count + 1
        taken.add(name)
        question.name = name
    return questions


class EventTypeBody(RequestSchema):
    """A new event type."""

    unsupported = unsupported.EVENT_TYPE

    title: Title
    slug: Slug
    length: Annotated[Minutes, Field(alias="lengthInMinutes")]
    description: Annotated[str, Field(max_length=2000), cleaned(str.strip)] = ""
    step: Annotated[
        Minutes | None,
        Field(alias="slotInterval", description="Minutes between start times; null: the length."),
    ] = None
    buffer_before: Annotated[Buffer, Field(alias="beforeEventBuffer")] = 0
    buffer_after: Annotated[Buffer, Field(alias="afterEventBuffer")] = 0
    notice: Annotated[Notice, Field(alias="minimumBookingNotice")] = 120
    schedule_id: Annotated[
        Id | None, Field(description="The schedule with its hours; null: the default one.")
    ] = None
    window: Annotated[BookingWindow | None, Field(alias="bookingWindow")] = None
    limits: Annotated[BookingLimitsCount | None, Field(alias="bookingLimitsCount")] = None
    confirmation: Annotated[ConfirmationPolicy | None, Field(alias="confirmationPolicy")] = None
    hidden: Annotated[bool, Field(description="Not listed on the host's page, but its link works.")] = False
    require_signed_metadata: Annotated[
        bool, Field(description="Only bookable with a signed link that was not changed and has not expired.")
    ] = False
    disable_guests: Annotated[
        bool | None, Field(description="Not to ask for guests, whatever bookingFields has.")
    ] = None
    redirect_url: Annotated[RedirectUrl, Field(alias="successRedirectUrl")] = None
    lengths: Annotated[Lengths, Field(alias="lengthInMinutesOptions")] = []
    reminders: Reminders = []
    location: Annotated[list[Location], Field(alias="locations", max_length=1)] = []
    questions: Annotated[
        list[BookingField],
        Field(alias="bookingFields", max_length=MAX_QUESTIONS + len(DEFAULT_FIELDS)),
        AfterValidator(_named),
        said(TOO_MANY_QUESTIONS, "too_long"),
    ] = []

    @field_validator("location")
    @classmethod
    def _with_place(cls, locations: list[Location]) -> list[Location]:
        for one in locations:
            if one.location_kind == "link" and not one.text.startswith(("https://", "http://")):
                raise ValueError("Please enter the meeting link, beginning with https://.")
            if one.location_kind == "link" and re.search("[{}]", one.text.replace(UID, "")):
                raise ValueError("The only placeholder in a meeting link is {uid}, the uid of the booking.")
            if one.location_kind == "address" and not one.text:
                raise ValueError("Please enter where you meet.")
        return locations

    def columns(self) -> dict[str, Any]:
        """Return the values to save, by column: all, or of a change those that were given."""
        names = self.model_fields_set if isinstance(self, PatchSchema) else type(self).model_fields
        found = {name: getattr(self, name) for name in names}
        if len(found.get("lengths", ())) == 1 and found["lengths"] == [found.get("length")]:
            found["lengths"] = []  # no choice
        if "window" in found:
            found["max_days"] = window.max_days if (window := found.pop("window")) else MAX_DAYS
        if "limits" in found:
            limits = found.pop("limits")
            found["max_per_day"] = limits.max_per_day if limits and not limits.disabled else None
        if "confirmation" in found:
            confirmation = found.pop("confirmation")
            found["requires_confirmation"] = confirmation is not None and not confirmation.disabled
        if "location" in found:
            place = next(iter(self.location), None)
            found["location_kind"] = LOCATIONS[place.location_kind] if place else LocationKind.NONE
            found["location"] = place.text if place else ""
        if "questions" in found:
            own = [one for one in self.questions if one.name not in DEFAULT_FIELDS]
            found["questions"] = [question.stored() for question in own]
            hidden = {one.name for one in self.questions if one.hidden}
            found["asks_notes"], found["asks_guests"] = "notes" not in hidden, "guests" not in hidden
        if (disabled := found.pop("disable_guests", None)) is not None:
            found["asks_guests"] = not disabled
        return found


class EventTypePatch(EventTypeBody, PatchSchema):
    """Changes to an event type. Omitted fields keep their value."""

    title: Title = ""
    slug: Slug = ""
    length: Annotated[Minutes, Field(alias="lengthInMinutes")] = 0


class EventTypesQuery(QuerySchema):
    """Whose event types, and which."""

    unsupported = unsupported.EVENT_TYPES_LIST

    username: Annotated[
        str | None,
        Field(description="A host, whose event types on the page are listed. Default: yours, all."),
    ] = None
    event_slug: Annotated[
        str | None, Field(description="Only the one with this slug, with a username a hidden one, too.")
    ] = None
    sort_created_at: Literal["asc", "desc"] | None = None
