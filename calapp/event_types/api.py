"""The API of event types, and an event type as it shows it; the names are as in schemas.py."""

from typing import Annotated, Any, Literal

from pydantic import Field

from calapp.accounts.guards import OPEN, READ, WRITE, api_user_id, current_host
from calapp.config import settings
from calapp.db import db, transaction
from calapp.event_types import service
from calapp.event_types.models import EventType, LocationKind
from calapp.event_types.schemas import (
    API_TYPES,
    DEFAULT_FIELDS,
    QUESTION_TYPES,
    EventTypeBody,
    EventTypePatch,
    EventTypesQuery,
)
from calapp.event_types.service import own_event_type
from calapp.rest.routes import Api
from calapp.rest.schemas import Instant, ResponseSchema

# The type in Cal.com's API, and the name of its text, by what is stored.
PLACES = {LocationKind.LINK: "link", LocationKind.IN_PERSON: "address", LocationKind.PHONE: "phone"}
ONE = "/v2/event-types/<int:event_type_id>"


class Window(ResponseSchema):
    """How far ahead it can be booked."""

    type: Literal["calendarDays"] = "calendarDays"
    value: Annotated[int, Field(description="In days from today.")]


class Limits(ResponseSchema):
    """The maximum number of bookings."""

    day: Annotated[int, Field(description="Maximum number of bookings per day.")]


class Confirmation(ResponseSchema):
    """Whether the host must confirm each booking."""

    type: Literal["always"] = "always"


class Place(ResponseSchema):
    """Where it takes place; which of the three texts is set depends on the type."""

    type: Literal["link", "address", "phone", "attendeePhone"]
    link: str | None = None
    address: str | None = None
    phone: str | None = None


class QuestionSchema(ResponseSchema):
    """A question of the booking form."""

    type: Literal[*QUESTION_TYPES, "multiemail"]  # type: ignore[valid-type]
    slug: str
    label: str
    required: bool
    options: list[str]
    hidden: Annotated[bool, Field(description="Whether notes or guests are not asked for.")] = False
    is_default: Annotated[bool, Field(description="Whether every event type has it.")] = False


class EventTypeResponse(ResponseSchema):
    """An event type."""

    id: int
    owner_id: int
    title: str
    slug: str
    length: Annotated[int, Field(alias="lengthInMinutes")]
    description: str
    booking_url: str
    step: Annotated[int | None, Field(alias="slotInterval")]
    buffer_before: Annotated[int, Field(alias="beforeEventBuffer")]
    buffer_after: Annotated[int, Field(alias="afterEventBuffer")]
    notice: Annotated[int, Field(alias="minimumBookingNotice")]
    schedule_id: int | None
    window: Annotated[Window, Field(alias="bookingWindow")]
    limits: Annotated[Limits | None, Field(alias="bookingLimitsCount")]
    confirmation: Annotated[Confirmation | None, Field(alias="confirmationPolicy")]
    hidden: bool
    require_signed_metadata: bool
    disable_guests: bool
    redirect_url: Annotated[str | None, Field(alias="successRedirectUrl")]
    lengths: Annotated[
        list[int],
        Field(alias="lengthInMinutesOptions", description="Empty when there is only lengthInMinutes."),
    ]
    reminders: Annotated[list[int], Field(description="Minutes before the start.")]
    location: Annotated[list[Place], Field(alias="locations")]
    questions: Annotated[list[QuestionSchema], Field(alias="bookingFields")]
    created_at: Instant


class EventTypeGone(ResponseSchema):
    """A deleted event type."""

    id: int
    title: str
    slug: str
    length: Annotated[int, Field(alias="lengthInMinutes")]


def shown_location(event_type: EventType) -> str | None:
    """Return the type that Cal.com's API has for where it takes place."""
    return "attendeePhone" if event_type.asks_phone else PLACES.get(event_type.location_kind)


def shown(event_type: EventType, base_url: str, *, to_host: bool = True) -> EventTypeResponse:
    """Return an event type as the API shows it; to others without the place, as Cal.com's does."""
    columns = {name: getattr(event_type, name, None) for name in EventTypeResponse.model_fields}
    place = shown_location(event_type)
    places = [{"type": place, place: event_type.location}] if place else []
    if place == "attendeePhone" or (place and not to_host):
        places = [{"type": place}]
    questions: list[dict[str, Any]] = [
        {
            "type": API_TYPES.get(stored["type"], stored["type"]),
            "slug": stored["name"],
            "label": stored["label"],
            "required": stored["required"],
            "options": list(stored.get("options", ())),
        }
        for stored in event_type.questions
    ]
    for slug, (kind, label) in DEFAULT_FIELDS.items():
        if not getattr(event_type, f"asks_{slug}"):
            hidden = {"type": kind, "slug": slug, "label": label, "hidden": True, "is_default": True}
            questions.append(hidden | {"required": False, "options": []})
    objects = {
        "owner_id": event_type.user_id,
        "disable_guests": not event_type.asks_guests,
        "booking_url": f"{base_url}/{event_type.user.username}/{event_type.slug}",
        "window": Window(value=event_type.max_days),
        "limits": Limits(day=event_type.max_per_day) if event_type.max_per_day else None,
        "confirmation": Confirmation() if event_type.requires_confirmation else None,
        "location": places,
        "questions": questions,
    }
    return EventTypeResponse.model_validate(columns | objects)


blueprint = Api("event_types_api", tag="Event types")


@blueprint.operation(
    "GET", "/v2/event-types", access=OPEN, response=list[EventTypeResponse], query=EventTypesQuery
)
def index(query: EventTypesQuery) -> list[EventTypeResponse]:
    """List your event types in order, including hidden ones; or those that a host shows to everybody.

    Yours need a key with read; those of the host with a username need none.
    """
    session, slug = db.session(), query.event_slug
    if query.username is not None:
        found = service.public(session, query.username, slug)
    else:
        READ.check()
        mine = service.of_user(session, current_host().id)
        found = [one for one in mine if slug is None or one.slug == slug.lower()]
    if query.sort_created_at:
        found.sort(key=lambda one: one.id, reverse=query.sort_created_at == "desc")
    host_id = api_user_id()
    return [shown(one, settings().base_url, to_host=one.user_id == host_id) for one in found]


@blueprint.operation(
    "POST",
    "/v2/event-types",
    access=WRITE,
    response=EventTypeResponse,
    status=201,
    body=EventTypeBody,
    errors=(409,),
)
def create(body: EventTypeBody) -> EventTypeResponse:
    """Create an event type. Its slug must be unique (409)."""
    with transaction() as session:
        made = service.create(session, current_host().id, body)
    return _shown(made)


@blueprint.operation("GET", ONE, access=READ, response=EventTypeResponse)
def show(event_type_id: int) -> EventTypeResponse:
    """Show an event type."""
    return _shown(own_event_type(event_type_id))


@blueprint.operation(
    "PATCH", ONE, access=WRITE, response=EventTypeResponse, body=EventTypePatch, errors=(409,)
)
def update(event_type_id: int, body: EventTypePatch) -> EventTypeResponse:
    """Update an event type. Omitted fields keep their value; bookings do not change."""
    with transaction() as session:
        event_type = own_event_type(event_type_id)
        service.update(session, event_type, body)
    return _shown(event_type)


@blueprint.operation("DELETE", ONE, access=WRITE, response=EventTypeGone)
def delete(event_type_id: int) -> EventTypeGone:
    """Delete an event type. Its bookings and their events are kept."""
    with transaction():
        gone = own_event_type(event_type_id)
        service.delete(gone)
        return EventTypeGone(id=gone.id, title=gone.title, slug=gone.slug, length=gone.length)


def _shown(event_type: EventType) -> EventTypeResponse:
    return shown(event_type, settings().base_url)
