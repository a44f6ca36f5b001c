"""The visitor's pages: the booker, a booking, and what can be done to it with its link."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Response, g, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_limiter import RequestLimit
from flask_limiter.util import get_remote_address
from flask_login import current_user
from markupsafe import Markup
from werkzeug.wrappers import Response as AnyResponse

from calapp import static_files
from calapp.accounts.service import find_open
from calapp.bookings import calendar, embed, metadata, service, times, visitors
from calapp.bookings.answers import spoken_answer
from calapp.bookings.booker import (
    PREFILL,
    RESPONSE,
    BookerState,
    clock_of,
    duration_of,
    month_view,
    read_state,
)
from calapp.bookings.emails import was_sent_to_visitor
from calapp.bookings.metadata import is_of_link, of_pairs
from calapp.bookings.models import Booking, find
from calapp.bookings.schemas import booking_of_form, move_of_form, reason_of
from calapp.bookings.service import booking_at
from calapp.calendars.maintenance import freshen_after
from calapp.clock import iso_seconds, now
from calapp.config import settings
from calapp.db import db, transaction
from calapp.errors import AlreadyBooked, Conflict, Invalid, NotFound, SlotTaken, TooMany
from calapp.event_types.models import EventType
from calapp.event_types.schemas import DEFAULT_FIELDS
from calapp.event_types.service import check_length, find_public, visible
from calapp.htmx import is_htmx, page_or_fragment, redirect_to
from calapp.incoming import csrf, habits_of_request, limiter
from calapp.local_time import (
    clock,
    clock_span,
    is_zone,
    known_zone,
    old_names,
    spoken_date,
    spoken_day,
    spoken_minutes,
    spoken_time,
    zone_label,
    zone_names,
    zone_with_offset,
)
from calapp.text import line

blueprint = Blueprint("bookings", __name__)


ALREADY = Markup(
    "You have already booked this time with this form, and nothing was changed. "
    '<a href="{0}">See your booking</a> to move or cancel it, or choose another time.'
)
KEPT = "Your entries are kept."
TOO_MANY = "Too many bookings from your network. Please wait a minute, then press Confirm again."
# Fields of the booking form that are hidden.
UNSEEN = ("start", "time_zone", "lengthInMinutes")
ROBOT = "Please press Confirm again (spam check)."


@blueprint.get("/<user>")
def host(user: str) -> Response:
    """List what a host offers."""
    found = find_open(db.session(), user)
    if found is None:
        raise NotFound()
    g.frameable = True
    # A page of those that insist on a signed link would lead nowhere.
    offers = [one for one in visible(db.session(), found.id) if not one.require_signed_metadata]
    return make_response(render_template("bookings/host.html", host=found, event_types=offers))


@blueprint.get("/<user>/embed")
def embedded_host(user: str) -> Response:
    """List what a host offers, in a frame; an event type that has had this address keeps it."""
    if find_public(db.session(), user, "embed"):
        embed.leave()
        return show(user, "embed")
    return host(user)


@blueprint.get("/<user>/<slug>")
@blueprint.get("/<user>/<slug>/embed")
def show(user: str, slug: str) -> Response:
    """Show the booker: month, times, or the form of a chosen time."""
    event_type = event_type_at(user, slug)
    state = state_of(event_type)
    g.frameable = True
    metadata.check_proof(db.session(), event_type, state.metadata)
    return freshen_after(booker_page(event_type, state), event_type.user_id)


def too_many(limit: RequestLimit) -> Response | None:
    """Give the form back to who books too often, with what was typed; None where there is no form."""
    given = request.view_args or {}
    event_type = find_public(db.session(), given["user"], given["slug"])
    if event_type is None:
        return None
    page = booker_page(event_type, state_of(event_type, typed=True), problem=TOO_MANY, times_too=False)
    return refused(page, limit.limit.get_expiry())


@blueprint.post("/<user>/<slug>")
@blueprint.post("/<user>/<slug>/embed")
@csrf.exempt  # nothing but the link gives the right, and a frame on another site has no session for a token
@limiter.limit("20/minute", key_func=visitors.page_counter, on_breach=too_many)
def create(user: str, slug: str) -> ResponseReturnValue:
    """Book; a bad form comes back with the words at the field, a taken time with fresh times."""
    event_type = event_type_at(user, slug)
    pairs = link_pairs()
    query = dict(reversed(pairs))  # the first of a repeated field wins
    g.frameable = True
    try:
        link = of_pairs(pairs)
        wanted = booking_of_form(request.form, link.values, event_type, duration_of(query))
        refuse_robots()
        act = _act(event_type.user_id)
        with times.taking_time(), transaction() as session:
            booking = service.book(session, event_type, wanted, link=link, **act)
            stays, zone = embed.current() or not event_type.redirect_url, booking.time_zone
            target = embed.url_of(f"/booking/{booking.uid}", "booked") if stays else redirect_target(booking)
    except AlreadyBooked as error:
        problem = ALREADY.format(embed.url_of(f"/booking/{error.uid}"))
        return booker_page(event_type, state_of(event_type, typed=True), problem=problem), 409
    except (Invalid, TooMany, SlotTaken) as error:
        return form_again(error, event_type, state_of(event_type, typed=True))
    return remembering(redirect_to(target), zone, clock_of(query))


def form_again(
    error: Invalid | TooMany | SlotTaken,
    event_type: EventType,
    state: BookerState,
    booking: Booking | None = None,
) -> ResponseReturnValue:
    """Give the form back with what was typed and what is wrong: a taken time with fresh ones."""
    shown = partial(booker_page, event_type, state, booking=booking)
    if isinstance(error, Invalid):
        return shown(problem=error.message, errors=error.details), 422
    if isinstance(error, TooMany):
        return refused(shown(problem=error.message, times_too=False), error.retry_after)
    return shown(problem=f"{error.message} {KEPT}"), 409


def refused(page: Response, seconds: int) -> Response:
    """Return a page, made without times that would have to be looked up, as one to come back to later."""
    page.status_code = 429
    page.headers["Retry-After"] = str(seconds)
    return page


def event_type_at(user: str, slug: str) -> EventType:
    """Find what can be booked at an address; raise NotFound when there is nothing."""
    event_type = find_public(db.session(), user, slug)
    if event_type is None:
        raise NotFound()
    return event_type


def state_of(event_type: EventType, booking: Booking | None = None, *, typed: bool = False) -> BookerState:
    """Read the booker's state from the query, or from a form that was sent, so that nothing typed is lost.

    `booking` is one that is being moved. An address that names no zone is shown in the one remembered, else
    the host's; a booking in the visitor's, or to the host in their own.
    """
    if booking is not None:
        path = embed.path_of(f"/booking/{booking.uid}/reschedule")
        zone = booking.host.time_zone if _is_host(booking.host_id) else booking.time_zone
    else:
        path = embed.path_of(f"/{event_type.user.username}/{event_type.slug}")
        remembered = request.cookies.get("tz", "")
        zone = remembered if is_zone(remembered) else known_zone(event_type.user.time_zone)
    link = list(request.args.items(multi=True))
    habits = habits_of_request()
    if not typed:
        return replace(read_state(path, link, zone), habits=habits)
    form = list(request.form.items(multi=True))
    pairs = [(name, value) for name, value in form if name in PREFILL or RESPONSE.fullmatch(name)]
    pairs += [("tz", request.form.get("time_zone", "")), ("slot", request.form.get("start", ""))]
    pairs += [(name, value) for name, value in link_pairs() if name in {"tf", "duration"} or is_of_link(name)]
    return replace(read_state(path, pairs, zone, typed=True), habits=habits)


def refuse_robots() -> None:
    """Raise Invalid for a form that no person filled in."""
    if visitors.by_robot(request.form):
        raise Invalid(ROBOT)


def link_pairs() -> list[tuple[str, str]]:
    """Return the fields of the address first, then of the form those that are not the same there."""
    link = list(request.args.items(multi=True))
    same = frozenset(link)
    return [*link, *(pair for pair in request.form.items(multi=True) if pair not in same)]


def _act(host_id: int) -> dict[str, Any]:
    """Return how the service knows a form, by its token, and a visitor, by internet address and clock."""
    habits = habits_of_request()
    return {
        "address": _visitors_address(host_id),
        "idempotency_key": visitors.known_token(request.form.get("attempt", "")),
        "twelve_hours": habits.twelve if habits.known and not _is_host(host_id) else None,
    }


def _visitors_address(host_id: int) -> str | None:
    """Return the internet address that a visitor acts from; None for the host, who is signed in."""
    return None if _is_host(host_id) else get_remote_address()


def _is_host(host_id: int) -> bool:
    """Return whether the host looks; in a frame nobody is, since the page around may cover what it shows."""
    return not embed.current() and bool(current_user.is_authenticated and current_user.id == host_id)


def booker_page(
    event_type: EventType,
    state: BookerState,
    *,
    booking: Booking | None = None,
    problem: str = "",
    errors: dict[str, object] | None = None,
    times_too: bool = True,
) -> Response:
    """Render the booker for a new booking, or for one that is being moved; without times, the form alone."""
    g.frameable = True
    if event_type.redirect_url:  # which the form leads on to
        parts = urlsplit(event_type.redirect_url)
        g.form_action_origin = f"{parts.scheme}://{parts.netloc}"
    leave_out = booking.id if booking else None
    # These have no field that could show what is wrong with them.
    left_out = [name for name in DEFAULT_FIELDS if not getattr(event_type, f"asks_{name}")]
    unseen = [str(errors[name]) for name in (*UNSEEN, *left_out) if errors and name in errors]
    problem, chosen = " ".join(unseen) or problem, state.slot
    try:
        length = booking.minutes if booking else check_length(event_type, state.duration, "duration")
    except Invalid as error:  # a link with a length that the host has taken away, say
        state, length = replace(state, duration=None), event_type.length
        problem, chosen = problem or error.message, None
    free = not times_too or (chosen and times.is_free(db.session(), event_type, chosen, leave_out, length))
    if chosen and (not free or (booking and booking.starts_at == chosen)):
        refusal = times.refusal(db.session(), event_type, chosen, length)
        chosen, problem = None, problem or f"{refusal.message} {KEPT}"
    response = page_or_fragment(
        "bookings/booker.html",
        "bookings/_booker.html",
        event_type=event_type,
        state=state,
        booking=booking,
        chosen=chosen,
        ends=chosen + timedelta(minutes=length) if chosen else None,
        length=length,
        month=None
        if chosen or not times_too
        else month_view(db.session(), event_type, state, length, booking),
        problem=problem,
        errors=errors or {},
        attempt=visitors.known_token(request.form.get("attempt", "")) or visitors.new_token(),
        zones=all_zones() if "zones" in request.args else [(state.zone, zone_with_offset(state.zone))],
    )
    if "tz" in request.args:
        remembering(response, state.zone, state.clock)
    return response


def all_zones() -> list[tuple[str, str]]:
    """Return what a list of every zone shows. Pages have their own zone alone, and load the list once."""
    return [(name, zone_with_offset(name)) for name in zone_names() if name not in old_names()]


@lru_cache(maxsize=1)
def _zones_file(_hour: datetime) -> bytes:
    old: dict[str, list[str]] = {}
    for name, present in old_names().items():
        old.setdefault(present, []).append(name)
    rows = [(name, text, " ".join(old.get(name, ()))) for name, text in all_zones()]
    return json.dumps(rows, separators=(",", ":")).encode()


static_files.made["time-zones.json"] = lambda: _zones_file(now().replace(minute=0, second=0, microsecond=0))


def remembering(response: AnyResponse, zone: str, chosen_clock: str | None) -> AnyResponse:
    """Keep the visitor's zone and clock for other pages; the query always wins. A frame keeps nothing."""
    kept = {"tz": zone, "tf": chosen_clock} if not embed.current() else {}
    for name, value in kept.items():
        if value:
            response.set_cookie(name, value, max_age=31_536_000, samesite="Lax", secure=request.is_secure)
    return response


def redirect_target(booking: Booking) -> str:
    """Return where the host sends those who have booked, with what the target gets; empty for nowhere."""
    target = booking.event_type.redirect_url
    if not target:
        return ""
    forwarded = [("uid", booking.uid)]
    forwarded.extend((f"metadata[{key}]", value) for key, value in booking.link_metadata.items())
    parts = urlsplit(target)
    return parts._replace(query="&".join(filter(None, (parts.query, urlencode(forwarded))))).geturl()


@blueprint.get("/booking/<uid>")
@blueprint.get("/booking/<uid>/embed")
def booked(uid: str) -> AnyResponse:
    """Show a booking; an old link leads to the newest of its chain."""
    booking = booking_at(uid)
    if booking.rescheduled_to_uid:
        return redirect(embed.url_of(f"/booking/{service.newest(db.session(), booking).uid}"))
    embed.tell(booking)
    onward = redirect_target(booking) if embed.current() and request.args.get("done") == "booked" else ""
    return _page("bookings/booked.html", booking, onward=onward, site=urlsplit(onward).netloc)


@blueprint.get("/booking/<uid>.ics")
def file(uid: str) -> Response:
    """Give the booking as a calendar file."""
    booking = service.newest(db.session(), booking_at(uid))
    text, method = calendar.invitation(booking, settings().base_url)
    response = make_response(text)
    response.headers["Content-Type"] = f"text/calendar; charset=utf-8; method={method}"
    response.headers["Content-Disposition"] = 'attachment; filename="booking.ics"'
    response.last_modified = booking.updated_at
    response.add_etag()
    response.make_conditional(request)
    return response


@blueprint.get("/booking/<uid>/cancel")
@blueprint.get("/booking/<uid>/cancel/embed")
def ask_cancel(uid: str) -> AnyResponse:
    """Ask whether to cancel; only the POST does."""
    booking = booking_at(uid)
    if booking.rescheduled_to_uid:
        return redirect(embed.url_of(f"/booking/{service.newest(db.session(), booking).uid}/cancel"))
    return _page("bookings/cancel.html", booking)


@blueprint.post("/booking/<uid>/cancel")
@blueprint.post("/booking/<uid>/cancel/embed")
@csrf.exempt
@limiter.limit("20/minute", key_func=visitors.page_counter)
def cancel_by_link(uid: str) -> ResponseReturnValue:
    """Cancel for whoever has the link; a second click finds it cancelled and changes nothing."""
    booking = service.newest(db.session(), booking_at(uid))
    try:
        reason = reason_of(request.form)
        with transaction() as session:
            address = _visitors_address(booking.host_id)
            service.cancel(session, booking, by=_acting(booking), reason=reason, address=address)
    except Invalid as error:
        return _page("bookings/cancel.html", booking, errors=error.details), 422
    except Conflict as error:
        booking = service.newest(db.session(), booking)  # it may have been moved in the meantime
        if booking.status != "cancelled":
            return _page("bookings/cancel.html", booking, problem=error.message), 409
    return redirect(embed.url_of(f"/booking/{booking.uid}", "cancelled"), 303)


@blueprint.get("/booking/<uid>/reschedule")
@blueprint.get("/booking/<uid>/reschedule/embed")
def ask_reschedule(uid: str) -> AnyResponse:
    """Show the booker for a booking that is being moved."""
    booking = booking_at(uid)
    if booking.rescheduled_to_uid:
        query = request.query_string.decode("ascii", "ignore")
        path = embed.path_of(f"/booking/{service.newest(db.session(), booking).uid}/reschedule")
        return redirect(f"{path}?{query}")
    if not movable(booking):
        return redirect(embed.url_of(f"/booking/{booking.uid}"))
    page = booker_page(booking.event_type, state_of(booking.event_type, booking), booking=booking)
    return freshen_after(page, booking.host_id)


def too_many_moves(limit: RequestLimit) -> Response | None:
    """Give the form back to who moves too often, with what was typed; None where there is no form."""
    found = find(db.session(), (request.view_args or {})["uid"])
    if found is None:
        return None
    booking = service.newest(db.session(), found)
    state = state_of(booking.event_type, booking, typed=True)
    page = booker_page(booking.event_type, state, booking=booking, problem=TOO_MANY, times_too=False)
    return refused(page, limit.limit.get_expiry())


@blueprint.post("/booking/<uid>/reschedule")
@blueprint.post("/booking/<uid>/reschedule/embed")
@csrf.exempt
@limiter.limit("20/minute", key_func=visitors.page_counter, on_breach=too_many_moves)
def move(uid: str) -> ResponseReturnValue:
    """Move a booking; a taken time comes back with fresh ones."""
    booking = service.newest(db.session(), booking_at(uid))
    state = state_of(booking.event_type, booking, typed=True)
    try:
        wanted = move_of_form(request.form)
        refuse_robots()
        by_host, zone = _is_host(booking.host_id), request.form.get("time_zone", "")
        who = _act(booking.host_id) | {"by": _acting(booking), "by_host": by_host}
        who |= {"time_zone": zone if is_zone(zone) and not by_host else None}
        with times.taking_time(), transaction() as session:
            moved = service.reschedule(session, booking, wanted, metadata=of_pairs(link_pairs()), **who)
    except (Invalid, TooMany, SlotTaken) as error:
        return form_again(error, booking.event_type, state, booking)
    except Conflict as error:
        newest = service.newest(db.session(), booking)
        if is_htmx():  # the booker has no room for the page, which says how it is
            return redirect_to(f"/booking/{newest.uid}")
        return _page("bookings/booked.html", newest, problem=error.message), 409
    return redirect_to(
        f"/bookings/{moved.uid}" if by_host else embed.url_of(f"/booking/{moved.uid}", "moved")
    )


def movable(booking: Booking) -> bool:
    """Return whether a booking can still be moved."""
    return booking.current_status in times.ACTIVE and booking.starts_at > now()


def _acting(booking: Booking) -> str:
    """Return the email address of who acts: the host who is signed in, else the visitor."""
    return booking.host.email if _is_host(booking.host_id) else booking.visitor.email


def _page(template: str, booking: Booking, **context: object) -> Response:
    g.frameable = True
    links = {
        "google": calendar.google_link(booking, settings().base_url),
        "outlook": calendar.outlook_link(booking, settings().base_url),
    }
    page = render_template(
        template,
        booking=booking,
        links=links,
        movable=movable(booking),
        begun=booking.starts_at <= now(),
        over=booking.ends_at <= now(),
        twelve=habits_of_request().twelve,
        email_sent=was_sent_to_visitor(db.session(), booking),
        **{"problem": "", "errors": {}, "onward": "", **context},
    )
    return make_response(page)


FILTERS: dict[str, Callable[..., str]] = {
    "spoken_date": spoken_date,
    "spoken_day": spoken_day,
    "spoken_time": spoken_time,
    "clock": clock,
    "clock_span": clock_span,
    "zone_label": zone_label,
    "zone_with_offset": zone_with_offset,
    "line": line,
    "spoken_answer": spoken_answer,
    "minutes": spoken_minutes,
    "instant": iso_seconds,
}
for name, function in FILTERS.items():
    blueprint.add_app_template_filter(function, name)
