"""What the limits on visitors' requests count: an address and an event type, however either is written.

A counter whose key a stranger can renew is no limit. So what leads to no event type is counted under the
address alone, and a booking, which gets a new uid with each move, under its event type.
"""

from typing import Any

from flask import request
from pydantic_core import from_json
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from calapp.bookings.models import find
from calapp.db import LARGEST, db
from calapp.event_types.service import find_offered, find_public
from calapp.rate_limits import client_network
from calapp.text import whole_number


def page_key() -> str:
    """Return the counter of a request to a page of the booker; never raises."""
    return _key(request.view_args or {})


def api_key() -> str:
    """Return the counter of a request to the API without a key; never raises, whatever the body is."""
    try:
        given = from_json(request.get_data())
    except (ValueError, HTTPException):
        given = None
    body = given if isinstance(given, dict) else {}
    named = {"user": body.get("username"), "slug": body.get("eventTypeSlug"), "id": body.get("eventTypeId")}
    return _key(named | (request.view_args or {}))


def _key(named: dict[str, Any]) -> str:
    """Return the address and the id of the event type that is named."""
    try:
        number = _event_type_id(named)
    except (SQLAlchemyError, ValueError):  # the database is away, or a text that it cannot take
        db.session().rollback()
        number = None
    return client_network() if number is None else f"{client_network()} {number}"


def _event_type_id(named: dict[str, Any]) -> int | None:
    session, user, slug = db.session(), named.get("user"), named.get("slug")
    if uid := named.get("uid"):
        booking = find(session, uid)
        return booking.event_type_id if booking else None
    if named.get("id") is not None:  # then the names count for nothing
        number = whole_number(str(named["id"])[:20])
        found = find_offered(session, number, None) if number is not None and number <= LARGEST else None
    else:
        found = find_public(session, user, slug) if isinstance(user, str) and isinstance(slug, str) else None
    return found.id if found else None
