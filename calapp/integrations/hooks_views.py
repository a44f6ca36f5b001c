"""What needs no sign-in, because the address itself is the secret: the inspector's ear, the calendar feed."""

import json
import threading
import time
from typing import Any

from flask import Blueprint, Response, make_response, request

from calapp.bookings.calendar import feed
from calapp.config import settings
from calapp.db import db, transaction
from calapp.integrations import service
from calapp.integrations.service import Incoming
from calapp.rate_limits import csrf

blueprint = Blueprint("hooks", __name__)

# A slow answer holds a thread of the web server, so only so many are slow at once.
_slow = threading.BoundedSemaphore(3)


@blueprint.post("/hooks/in/<token>")
@csrf.exempt
def receive(token: str) -> Response:
    """Take in what a webhook sends to the built-in inspector, and answer as its host wants."""
    incoming = Incoming(list(request.headers.items()), request.get_data())
    trigger = service.trigger_in(_decoded(incoming.body))
    with transaction() as session:
        verdict = service.receive(session, token, incoming, trigger)
    _wait(verdict.delay)
    words = "received" if verdict.status == 200 else "told to fail"
    return Response(f"{words}\n", verdict.status, mimetype="text/plain")


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _wait(seconds: int) -> None:
    if seconds and _slow.acquire(blocking=False):
        try:
            time.sleep(seconds)
        finally:
            _slow.release()


@blueprint.get("/calendar/<token>.ics")
def calendar(token: str) -> Response:
    """Serve a host's bookings to calendar programs."""
    user, bookings = service.feed_of(db.session(), token)
    response = make_response(feed(user, bookings, settings().base_url))
    response.headers["Content-Type"] = "text/calendar; charset=utf-8"
    response.headers["Content-Disposition"] = 'inline; filename="bookings.ics"'
    response.headers["Cache-Control"] = "private, no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response
