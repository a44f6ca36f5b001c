"""What a host or a client says about an event type, checked, as one frozen value."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from calapp.errors import Invalid
from calapp.event_types.models import EventType, LocationKind
from calapp.rest.schemas import Instant, PatchSchema, RequestSchema, ResponseSchema
from calapp.text import clean, line

CELL = 5  # minutes; starts, lengths, steps and buffers are multiples of it
DAY = 1440  # minutes
SLUG = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
MAX_QUESTIONS = 20
MAX_OPTIONS = 50


class QuestionType(StrEnum):
    """How a question is answered."""

    TEXT = "text"
    TEXTAREA = "textarea"
    SELECT = "select"
    CHECKBOX = "checkbox"


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question of the booking form; `name` is its key in the payload."""

    name: str
    label: str
    type: QuestionType = QuestionType.TEXT
    required: bool = False
    options: tuple[str, ...] = ()

    def stored(self) -> dict[str, Any]:
        """Return the question as the database keeps it."""
        return {**asdict(self), "type": self.type.value, "options": list(self.options)}


@dataclass(frozen=True, kw_only=True)
class EventTypeInput:
    """An event type as it is to be saved; times in minutes, the horizon in days."""

    title: str
    slug: str
    description: str = ""
    length: int
    step: int | None = None
    buffer_before: int = 0
    buffer_after: int = 0
    notice: int = 120
    max_days: int = 60
    max_per_day: int | None = None
    requires_confirmation: bool = False
    hidden: bool = False
    redirect_url: str | None = None
    location_kind: LocationKind = LocationKind.NONE
    location: str = ""
    questions: tuple[Question, ...] = ()


def checked(raw: Mapping[str, Any], questions: Sequence[Mapping[str, Any]] = ()) -> EventTypeInput:
    """Check every field, text or JSON; raise Invalid whose details name each bad one."""
    problems: dict[str, str] = {}
    values: dict[str, Any] = {}
    for name, read in READERS.items():
        try:
            values[name] = read(raw.get(name))
        except Invalid as error:
            problems[name] = error.message
    problem = location_problem(values.get("location_kind"), values.get("location", ""))
    if problem:
        problems.setdefault("location", problem)
    found = [_question(one, f"questions-{index}", problems) for index, one in enumerate(questions)]
    if len(questions) > MAX_QUESTIONS:
        problems["questions"] = f"Please ask at most {MAX_QUESTIONS} questions."
    if problems:
        raise Invalid("Please correct what is marked.", **problems)
    return EventTypeInput(**values, questions=_named([one for one in found if one is not None]))


def _text(most: int, missing: str = "", *, lines: bool = False) -> Callable[[Any], str]:
    """Return a reader of texts: of one line, unless several `lines` may stand in it."""

    def read(value: Any) -> str:
        text = _clean(value).strip() if lines else line(_clean(value))
        if not text and missing:
            raise Invalid(missing)
        if len(text) > most:
            raise Invalid(f"Please keep this within {most:,} characters.")
        return text

    return read


def _clean(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    return clean(text)


def _slug(value: Any) -> str:
    slug = _clean(value).strip().lower()
    if not SLUG.fullmatch(slug) or len(slug) > 60:
        raise Invalid("Please use letters, digits and single hyphens, at most 60 characters: quick-chat.")
    return slug


def _number(low: int, high: int, what: str, *, multiple: int = 1, empty: Any = ...) -> Callable[[Any], Any]:
    """Return a reader of whole numbers; nothing stands for `empty` where it is given."""
    words = f"Please give a number of {what} from {low} to {high:,}"
    words += f", a multiple of {multiple}." if multiple > 1 else "."

    def read(value: Any) -> Any:
        text = str(value).strip() if value is not None and not isinstance(value, bool) else ""
        if not text and empty is not ...:
            return empty
        if not re.fullmatch(r"[0-9]{1,7}", text) or not low <= int(text) <= high or int(text) % multiple:
            raise Invalid(words)
        return int(text)

    return read


def _flag(value: Any) -> bool:
    return value in {True, "1", "on", "true", "yes"}


def _redirect(value: Any) -> str | None:
    text = _clean(value).strip()
    if not text:
        return None
    try:
        parts = urlsplit(text)
        fine = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc
    except ValueError:
        fine = False
    odd = any(ord(letter) <= 32 or letter in "\"'<>\\;," for letter in text.split("?")[0])
    if not fine or odd or len(text) > 2000:
        raise Invalid("Please give an address that begins with https:// or http://.")
    return text


def _kind(value: Any) -> LocationKind:
    try:
        return LocationKind(value or LocationKind.NONE)
    except ValueError:
        raise Invalid("Please choose where the meeting takes place.") from None


def location_problem(kind: LocationKind | None, location: str) -> str:
    """Say what a kind of location misses, or nothing."""
    if kind is LocationKind.LINK and not location.startswith(("https://", "http://")):
        return "Please give the link of the meeting, beginning with https://."
    if kind is LocationKind.IN_PERSON and not location:
        return "Please say where you meet."
    return ""


READERS: dict[str, Callable[[Any], Any]] = {
    "title": _text(100, "Please give a title."),
    "slug": _slug,
    "description": _text(2000, lines=True),
    "length": _number(CELL, DAY, "minutes", multiple=CELL),
    "step": _number(CELL, DAY, "minutes", multiple=CELL, empty=None),
    "buffer_before": _number(0, DAY // 2, "minutes", multiple=CELL, empty=0),
    "buffer_after": _number(0, DAY // 2, "minutes", multiple=CELL, empty=0),
    "notice": _number(0, 30 * DAY, "minutes", empty=120),
    "max_days": _number(0, 730, "days", empty=60),
    "max_per_day": _number(1, 288, "bookings", empty=None),
    "requires_confirmation": _flag,
    "hidden": _flag,
    "redirect_url": _redirect,
    "location_kind": _kind,
    "location": _text(500),
}


def _question(raw: Mapping[str, Any], field: str, problems: dict[str, str]) -> Question | None:
    """Read one question; note what is wrong with it under `field`."""
    try:
        label = _text(200, "Please give the question.")(raw.get("label"))
        kind = QuestionType(raw.get("type") or QuestionType.TEXT)
    except Invalid as error:
        problems[field] = error.message
        return None
    except ValueError:
        problems[field] = "Please choose how it is answered."
        return None
    given = raw.get("options") or ()
    rows = given.splitlines() if isinstance(given, str) else [str(one) for one in given]
    options = tuple(dict.fromkeys(option for row in rows if (option := line(row)[:200].strip())))
    if kind is QuestionType.SELECT and not 1 <= len(options) <= MAX_OPTIONS:
        problems[field] = f"Please give the answers to choose from, one a line, at most {MAX_OPTIONS}."
        return None
    kept = options if kind is QuestionType.SELECT else ()
    name = _clean(raw.get("name"))[:60]
    return Question(name=name, label=label, type=kind, required=_flag(raw.get("required")), options=kept)


# Names of the payload's own responses, which a question must not take.
TAKEN_NAMES = ("name", "email", "notes", "guests", "start", "time_zone", "reason")


def _named(questions: Sequence[Question]) -> tuple[Question, ...]:
    """Give each question a key of its own: the one that it has, or one made from its words."""
    taken = set(TAKEN_NAMES)
    named = []
    for question in questions:
        own = question.name if re.fullmatch(r"[a-z0-9_-]{1,60}", question.name) else ""
        base = own or re.sub(r"[^a-z0-9]+", "-", question.label.lower()).strip("-")[:40] or "question"
        name, count = base, 2
        while name in taken:
            name, count = f"{base}-{count}", count + 1
        taken.add(name)
        named.append(
            Question(
                name=name,
                label=question.label,
                type=question.type,
                required=question.required,
                options=question.options,
            )
        )
    return tuple(named)


# What the form checks in words, told to the document.
Minutes = Annotated[
    int,
    Field(
        description="Minutes, a multiple of five.",
        examples=[30],
        json_schema_extra={"minimum": CELL, "maximum": DAY, "multipleOf": CELL},
    ),
]
Buffer = Annotated[
    int,
    Field(
        description="Minutes, a multiple of five.",
        json_schema_extra={"minimum": 0, "maximum": DAY // 2, "multipleOf": CELL},
    ),
]
Title = Annotated[str, Field(examples=["Quick chat"], json_schema_extra={"minLength": 1, "maxLength": 100})]
Slug = Annotated[
    str,
    Field(
        description="The last part of its link.",
        examples=["quick-chat"],
        json_schema_extra={"pattern": f"^{SLUG.pattern}$", "maxLength": 60},
    ),
]
# Cal.com calls a question that is ticked a boolean.
FIELD_TYPES = {"boolean": "checkbox", "text": "text", "textarea": "textarea", "select": "select"}
TYPE_NAMES = {inside: name for name, inside in FIELD_TYPES.items()}
LOCATIONS = {
    "link": LocationKind.LINK,
    "address": LocationKind.IN_PERSON,
    "phone": LocationKind.PHONE,
    "attendeePhone": LocationKind.PHONE,
}


class ConfirmationPolicy(RequestSchema):
    """Whether the host confirms every booking."""

    type: Literal["always"] = "always"
    disabled: bool = False


class BookingWindow(RequestSchema):
    """How far ahead it can be booked."""

    type: Literal["calendarDays"] = "calendarDays"
    max_days: Annotated[int, Field(alias="value", description="Days from today.")]


class BookingLimitsCount(RequestSchema):
    """How often it can be booked."""

    max_per_day: Annotated[int | None, Field(alias="day", description="Bookings of one day.")] = None
    disabled: bool = False


class Location(RequestSchema):
    """Where it takes place."""

    type: Literal["link", "address", "phone", "attendeePhone"]
    link: str = ""
    address: str = ""
    phone: str = ""

    @property
    def text(self) -> str:
        """What is kept beside the kind."""
        return {"link": self.link, "address": self.address, "phone": self.phone}.get(self.type, "")


class BookingField(RequestSchema):
    """A question of the booking form."""

    type: Literal["text", "textarea", "select", "boolean"] = "text"
    label: str
    slug: Annotated[str, Field(description="Its key in bookingFieldsResponses; made from the label.")] = ""
    required: bool = False
    options: Annotated[list[str], Field(description="The answers of a select.")] = []

    def raw(self) -> dict[str, Any]:
        """Return the question as the form takes it."""
        return {
            "name": self.slug,
            "label": self.label,
            "type": FIELD_TYPES[self.type],
            "required": self.required,
            "options": self.options,
        }


class _Settings(RequestSchema):
    """What may be left out, of a new event type and of a change."""

    description: str = ""
    step: Annotated[
        int | None, Field(alias="slotInterval", description="Minutes between starts; null: the length.")
    ] = None
    buffer_before: Annotated[Buffer, Field(alias="beforeEventBuffer")] = 0
    buffer_after: Annotated[Buffer, Field(alias="afterEventBuffer")] = 0
    notice: Annotated[
        int, Field(alias="minimumBookingNotice", description="Minutes before a start in which it is closed.")
    ] = 120
    window: Annotated[BookingWindow | None, Field(alias="bookingWindow")] = None
    limits: Annotated[BookingLimitsCount | None, Field(alias="bookingLimitsCount")] = None
    confirmation: Annotated[ConfirmationPolicy | None, Field(alias="confirmationPolicy")] = None
    hidden: Annotated[bool, Field(description="Not listed on the host's page; its link works.")] = False
    redirect_url: Annotated[
        str | None, Field(alias="successRedirectUrl", description="Where visitors go after booking.")
    ] = None
    location: Annotated[list[Location], Field(alias="locations", max_length=1)] = []
    questions: Annotated[list[BookingField], Field(alias="bookingFields")] = []

    def flat(self) -> dict[str, Any]:
        """Return what was given, as the form takes it."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        for name, flatten in FLATTEN.items():
            if name in given:
                given |= flatten(given.pop(name))
        return given


class EventTypeBody(_Settings):
    """An event type to be made."""

    title: Title
    slug: Slug
    length: Annotated[Minutes, Field(alias="lengthInMinutes")]


class EventTypePatch(_Settings, PatchSchema):
    """What is to be changed of an event type; what is left out stays."""

    title: Title = ""
    slug: Slug = ""
    length: Annotated[Minutes, Field(alias="lengthInMinutes")] = 0


FLATTEN: dict[str, Callable[[Any], dict[str, Any]]] = {
    "window": lambda given: {"max_days": given.max_days if given else None},
    "limits": lambda given: {"max_per_day": None if given is None or given.disabled else given.max_per_day},
    "confirmation": lambda given: {"requires_confirmation": given is not None and not given.disabled},
    "location": lambda given: {
        "location_kind": LOCATIONS[given[0].type] if given else LocationKind.NONE,
        "location": given[0].text if given else "",
    },
    "questions": lambda given: {"questions": [one.raw() for one in given]},
}


class Window(ResponseSchema):
    """How far ahead it can be booked."""

    type: Literal["calendarDays"] = "calendarDays"
    value: Annotated[int, Field(description="Days from today.")]


class Limits(ResponseSchema):
    """How often it can be booked."""

    day: Annotated[int, Field(description="Bookings of one day.")]


class Confirmation(ResponseSchema):
    """The host confirms every booking."""

    type: Literal["always"] = "always"


class Place(ResponseSchema):
    """Where it takes place; one of the three texts fits the type."""

    type: Literal["link", "address", "phone", "attendeePhone"]
    link: str | None = None
    address: str | None = None
    phone: str | None = None


class QuestionSchema(ResponseSchema):
    """A question of the booking form."""

    type: Literal["text", "textarea", "select", "boolean"]
    slug: str
    label: str
    required: bool
    options: list[str]


class EventTypeAnswer(ResponseSchema):
    """An event type."""

    id: int
    owner_id: int
    title: str
    slug: str
    length_in_minutes: int
    description: str
    booking_url: str
    slot_interval: int | None
    before_event_buffer: int
    after_event_buffer: int
    minimum_booking_notice: int
    booking_window: Window
    booking_limits_count: Limits | None
    confirmation_policy: Confirmation | None
    hidden: bool
    success_redirect_url: str | None
    locations: list[Place]
    booking_fields: list[QuestionSchema]
    created_at: Instant


class EventTypeGone(ResponseSchema):
    """An event type that was deleted."""

    id: int
    title: str
    slug: str
    length_in_minutes: int


def saved(event_type: EventType) -> dict[str, Any]:
    """Return a saved event type as the form takes it."""
    return {name: getattr(event_type, name) for name in event_type.__table__.columns.keys()}  # noqa: SIM118


def shown(event_type: EventType, base_url: str) -> EventTypeAnswer:
    """Return an event type as the API shows it."""
    return EventTypeAnswer(
        id=event_type.id,
        owner_id=event_type.user_id,
        title=event_type.title,
        slug=event_type.slug,
        length_in_minutes=event_type.length,
        description=event_type.description,
        booking_url=f"{base_url}/{event_type.user.username}/{event_type.slug}",
        slot_interval=event_type.step,
        before_event_buffer=event_type.buffer_before,
        after_event_buffer=event_type.buffer_after,
        minimum_booking_notice=event_type.notice,
        booking_window=Window(value=event_type.max_days),
        booking_limits_count=Limits(day=event_type.max_per_day) if event_type.max_per_day else None,
        confirmation_policy=Confirmation() if event_type.requires_confirmation else None,
        hidden=event_type.hidden,
        success_redirect_url=event_type.redirect_url,
        locations=_places(event_type),
        booking_fields=[_question_schema(one) for one in event_type.questions],
        created_at=event_type.created_at,
    )


def _places(event_type: EventType) -> list[Place]:
    text = event_type.location
    if event_type.location_kind == LocationKind.LINK:
        return [Place(type="link", link=text)]
    if event_type.location_kind == LocationKind.IN_PERSON:
        return [Place(type="address", address=text)]
    if event_type.location_kind == LocationKind.PHONE:
        return [Place(type="phone", phone=text) if text else Place(type="attendeePhone")]
    return []


def _question_schema(stored: Mapping[str, Any]) -> QuestionSchema:
    return QuestionSchema.model_validate(
        {
            "type": TYPE_NAMES[QuestionType(stored["type"])],
            "slug": stored["name"],
            "label": stored["label"],
            "required": stored["required"],
            "options": list(stored.get("options", ())),
        }
    )
