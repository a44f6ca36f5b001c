"""The visitor's way to a booking: what a host offers, the booker, and the form."""

from datetime import timedelta
from urllib.parse import urlencode, urlsplit

from flask import Response, g, make_response, redirect, render_template, request
from flask_limiter import RequestLimit
from markupsafe import Markup
from werkzeug.wrappers import Response as AnyResponse

from calapp.accounts.service import find_user
from calapp.accounts.zones import is_zone, zone_names
from calapp.bookings import entry, service, times
from calapp.bookings.blueprint import blueprint
from calapp.bookings.booker import PREFILL, RESPONSE, State, month_view, read_state, stands_at
from calapp.bookings.forms import checked
from calapp.bookings.metadata import LEFT_OUT
from calapp.bookings.models import Booking
from calapp.db import db, transaction
from calapp.errors import AlreadyBooked, Invalid, NotFound, SlotTaken, TooMany
from calapp.event_types.models import EventType
from calapp.event_types.service import find_public, visible
from calapp.htmx import page_or_fragment
from calapp.local_time import known_zone
from calapp.rate_limits import csrf, limiter

ALREADY = Markup(
    "You have already booked this time with this form, and nothing was changed. "
    '<a href="/booking/{0}">See your booking</a> to move or cancel it, or choose another time.'
)
TAKEN = "This time is not free any more. Please choose another; what you typed is kept."
TOO_MANY = "Too many bookings came from your address. Please wait a minute, then press the button once more."
ROBOT = "That was quicker than people type. Please press the button once more."


@blueprint.get("/<user>")
def host(user: str) -> Response:
    """List what a host offers."""
    found = find_user(db.session(), user)
    if found is None:
        raise NotFound()
    g.frameable = True
    offers = visible(db.session(), found.id)
    return make_response(render_template("bookings/host.html", host=found, event_types=offers))


@blueprint.get("/<user>/<slug>")
def show(user: str, slug: str) -> Response:
    """Show the booker: month, times, or the form of a chosen time."""
    event_type = event_type_at(user, slug)
    return booker_page(event_type, state_of(address(event_type), _fallback_zone(event_type)))


def too_many(limit: RequestLimit) -> Response:
    """Give the form back to who books too often, with what was typed."""
    event_type = event_type_at(**(request.view_args or {}))
    return form_alone(event_type, typed_state(address(event_type), _fallback_zone(event_type)), limit)


def form_alone(event_type: EventType, state: State, limit: RequestLimit, **known: Booking) -> Response:
    """Answer 429 with the form and nothing that would have to be looked up for it."""
    response = booker_page(event_type, state, problem=TOO_MANY, times_too=False, **known)
    response.status_code = 429
    response.headers["Retry-After"] = str(limit.limit.get_expiry())
    return response


@blueprint.post("/<user>/<slug>")
@csrf.exempt  # nothing but the link gives the right, and a frame on another site has no session for a token
@limiter.limit("20/minute", key_func=entry.limit_key, on_breach=too_many)
def create(user: str, slug: str) -> AnyResponse:
    """Book; a bad form comes back with the words at the field, a taken time with fresh times."""
    event_type = event_type_at(user, slug)
    state = typed_state(address(event_type), _fallback_zone(event_type))
    try:
        address_of_visitor = entry.acting_address(event_type.user_id)
        raw = entry.raw_booking(request.args, request.form, address_of_visitor)
        wanted = checked(raw, event_type.questions)
        refuse_robots()
        with times.taking_time(), transaction() as session:
            booking = service.book(session, event_type, wanted)
    except Invalid as error:
        return booker_page(event_type, state, problem=error.message, errors=error.details), 422
    except TooMany as error:
        return refused(booker_page(event_type, state, problem=error.message, times_too=False), error)
    except AlreadyBooked as error:
        return booker_page(event_type, state, problem=ALREADY.format(error.uid)), 409
    except SlotTaken:
        return booker_page(event_type, state, problem=TAKEN), 409
    return remembering(redirect(after_booking(booking), 303), booking.time_zone)


def refused(page: Response, error: TooMany) -> Response:
    """Answer with a page, what was typed kept, that says which limit was reached."""
    page.status_code = 429
    page.headers["Retry-After"] = str(error.retry_after)
    return page


def event_type_at(user: str, slug: str) -> EventType:
    """Find what can be booked at an address; raise NotFound when there is nothing."""
    event_type = find_public(db.session(), user, slug)
    if event_type is None:
        raise NotFound()
    return event_type


def address(event_type: EventType) -> str:
    """Return the path of an event type's booker."""
    return f"/{event_type.user.username}/{event_type.slug}"


def state_of(path: str, zone: str) -> State:
    """Read the booker's state from the request's query; `zone` is for an address that names none."""
    return read_state(path, list(request.args.items(multi=True)), zone)


def typed_state(path: str, zone: str) -> State:
    """Read the booker's state from a form that was sent, so that nothing typed is lost."""
    form = list(request.form.items(multi=True))
    typed = [(name, value) for name, value in form if name in PREFILL or RESPONSE.fullmatch(name)]
    chosen = [("tz", request.form.get("time_zone", "")), ("slot", request.form.get("start", ""))]
    kept = [
        (name, value)
        for name, value in (*request.args.items(multi=True), *form)
        if name.startswith("metadata") or name in {"tf", LEFT_OUT}
    ]
    return read_state(path, [*typed, *chosen, *kept], zone, typed=True)


def _fallback_zone(event_type: EventType) -> str:
    """Return the zone to show when the address names none: the one remembered, else the host's."""
    remembered = request.cookies.get("tz", "")
    return remembered if is_zone(remembered) else known_zone(event_type.user.time_zone)


def refuse_robots() -> None:
    """Raise Invalid for a form that no person filled in."""
    if entry.by_robot(request.form):
        raise Invalid(ROBOT)


def booker_page(
    event_type: EventType,
    state: State,
    *,
    booking: Booking | None = None,
    problem: str = "",
    errors: dict[str, object] | None = None,
    times_too: bool = True,
) -> Response:
    """Render the booker for a new booking, or for one that is being moved; without times, the form alone."""
    allow_framing(event_type)
    leave_out = booking.id if booking else None
    # What is wrong with these has no field to stand at.
    unseen = [str(errors[name]) for name in ("start", "time_zone") if errors and name in errors]
    problem, chosen = " ".join(unseen) or problem, state.slot
    free = not times_too or (chosen and times.is_free(db.session(), event_type, chosen, leave_out))
    if chosen and (not free or stands_at(booking, chosen)):
        chosen, problem = None, problem or TAKEN
    response = page_or_fragment(
        "bookings/booker.html",
        "bookings/_booker.html",
        event_type=event_type,
        state=state,
        booking=booking,
        chosen=chosen,
        ends=chosen + timedelta(minutes=event_type.length) if chosen else None,
        month=None if chosen or not times_too else month_view(db.session(), event_type, state, booking),
        problem=problem,
        errors=errors or {},
        attempt=entry.known_attempt(request.form.get("attempt", "")) or entry.new_attempt(),
        zones=zone_names(),
    )
    return remembering(response, state.zone) if "tz" in request.args else response


def allow_framing(event_type: EventType) -> None:
    """Let other sites frame this page, and let its form lead on to the event type's redirect."""
    g.frameable = True
    if event_type.redirect_url:
        parts = urlsplit(event_type.redirect_url)
        g.form_action_origin = f"{parts.scheme}://{parts.netloc}"


def remembering(response: AnyResponse, zone: str) -> AnyResponse:
    """Keep the visitor's zone for the next visit; the query always wins over it."""
    response.set_cookie("tz", zone, max_age=31_536_000, samesite="Lax", secure=request.is_secure)
    return response


def after_booking(booking: Booking) -> str:
    """Return where a visitor goes after booking: to the booking, or where the host sends them."""
    target = booking.event_type.redirect_url
    if not target:
        return f"/booking/{booking.uid}"
    forwarded = [("uid", booking.uid)]
    forwarded.extend((f"metadata[{key}]", value) for key, value in booking.link_metadata.items())
    parts = urlsplit(target)
    return parts._replace(query="&".join(filter(None, (parts.query, urlencode(forwarded))))).geturl()
