"""Find an event type and check that it is mine."""

from calapp.accounts.guards import current_host
from calapp.db import db
from calapp.errors import NotFound
from calapp.event_types import service
from calapp.event_types.models import EventType


def own_event_type(event_type_id: int) -> EventType:
    """Return the signed-in host's event type with this id; raise NotFound for any other."""
    event_type = service.find_own(db.session(), current_host().id, event_type_id)
    if event_type is None:
        raise NotFound
    return event_type
