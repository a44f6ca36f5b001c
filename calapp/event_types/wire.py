"""Event types as the API takes and shows them, with Cal.com's names.

What is nested here is flat inside; a field's Python name is the one that the form and its errors use.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from calapp.event_types.forms import CELL, DAY, SLUG, QuestionType
from calapp.event_types.models import EventType, LocationKind
from calapp.rest.wire import Answer, Body, Instant, Patch

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


class ConfirmationPolicy(Body):
    """Whether the host confirms every booking."""

    type: Literal["always"] = "always"
    disabled: bool = False


class BookingWindow(Body):
    """How far ahead it can be booked."""

    type: Literal["calendarDays"] = "calendarDays"
    max_days: Annotated[int, Field(alias="value", description="Days from today.")]


class BookingLimitsCount(Body):
    """How often it can be booked."""

    max_per_day: Annotated[int | None, Field(alias="day", description="Bookings of one day.")] = None
    disabled: bool = False


class Location(Body):
    """Where it takes place."""

    type: Literal["link", "address", "phone", "attendeePhone"]
    link: str = ""
    address: str = ""
    phone: str = ""

    @property
    def text(self) -> str:
        """What is kept beside the kind."""
        return {"link": self.link, "address": self.address, "phone": self.phone}.get(self.type, "")


class BookingField(Body):
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


class _Settings(Body):
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


class EventTypePatch(_Settings, Patch):
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


class Window(Answer):
    """How far ahead it can be booked."""

    type: Literal["calendarDays"] = "calendarDays"
    value: Annotated[int, Field(description="Days from today.")]


class Limits(Answer):
    """How often it can be booked."""

    day: Annotated[int, Field(description="Bookings of one day.")]


class Confirmation(Answer):
    """The host confirms every booking."""

    type: Literal["always"] = "always"


class Place(Answer):
    """Where it takes place; one of the three texts fits the type."""

    type: Literal["link", "address", "phone", "attendeePhone"]
    link: str | None = None
    address: str | None = None
    phone: str | None = None


class Question(Answer):
    """A question of the booking form."""

    type: Literal["text", "textarea", "select", "boolean"]
    slug: str
    label: str
    required: bool
    options: list[str]


class EventTypeAnswer(Answer):
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
    booking_fields: list[Question]
    created_at: Instant


class EventTypeGone(Answer):
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
        booking_fields=[_question(one) for one in event_type.questions],
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


def _question(stored: Mapping[str, Any]) -> Question:
    return Question.model_validate(
        {
            "type": TYPE_NAMES[QuestionType(stored["type"])],
            "slug": stored["name"],
            "label": stored["label"],
            "required": stored["required"],
            "options": list(stored.get("options", ())),
        }
    )
