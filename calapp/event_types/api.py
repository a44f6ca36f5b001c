"""The API of event types."""

from calapp.accounts.guards import OPEN, READ, WRITE, api_user_id, current_host
from calapp.config import settings
from calapp.db import db, transaction
from calapp.event_types import service
from calapp.event_types.models import EventType
from calapp.event_types.responses import EventTypeGone, EventTypeResponse, shown
from calapp.event_types.schemas import EventTypeBody, EventTypePatch, EventTypesQuery
from calapp.event_types.service import own_event_type
from calapp.rest.routes import Api

blueprint = Api("event_types_api", tag="Event types")

ONE = "/v2/event-types/<int:event_type_id>"


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
