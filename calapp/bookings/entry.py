"""The booking form as it comes in: tokens against double clicks and robots, and the raw fields."""

import re
import secrets

from flask import request
from flask_limiter.util import get_remote_address
from flask_login import current_user
from itsdangerous import BadSignature, TimestampSigner
from werkzeug.datastructures import MultiDict

from calapp.bookings.forms import RawBooking
from calapp.bookings.metadata import Metadata, of_pairs
from calapp.clock import now
from calapp.config import settings
from calapp.rate_limits import client_network

TRAP = "website"  # a field that people do not see; who fills it in is a robot
LEAST_AGE = 2.0  # seconds; nobody fills in the form faster
RESPONSE = re.compile(r"responses\[([A-Za-z0-9_-]{1,60})\]")


def new_attempt() -> str:
    """Make a form's token: random, with the time when the form was made, signed; at most 64 characters."""
    return _signer().sign(secrets.token_urlsafe(9)).decode()


def known_attempt(token: str) -> str | None:
    """Return the token when it is one of ours, else None."""
    try:
        _signer().unsign(token)
    except BadSignature:
        return None
    return token


def by_robot(form: MultiDict[str, str]) -> bool:
    """Say whether a form was filled in by a robot: the trap holds something, or it came back too fast."""
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


def limit_key() -> str:
    """Return what the limit on bookings counts: the address and the page together."""
    return f"{client_network()} {request.path.lower()}"


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
        attempt=known_attempt(form.get("attempt", "")),
        address=address,
    )
