"""A booking's own pages, open to whoever has its uid: look, calendar file, cancel, reschedule."""

from functools import partial

from flask import Response, g, make_response, redirect, render_template, request
from flask_limiter import RequestLimit
from flask_login import current_user
from werkzeug.wrappers import Response as AnyResponse

from calapp.bookings import calendar, entry, service, times
from calapp.bookings.blueprint import blueprint
from calapp.bookings.booker_views import (
    TAKEN,
    booker_page,
    form_alone,
    refuse_robots,
    refused,
    state_of,
    typed_state,
)
from calapp.bookings.forms import MoveRequest, checked_move, long_text
from calapp.bookings.models import Booking
from calapp.clock import now
from calapp.config import settings
from calapp.db import db, transaction
from calapp.errors import Conflict, Invalid, NotFound, SlotTaken, TooMany
from calapp.rate_limits import csrf, limiter


@blueprint.get("/booking/<uid>")
def booked(uid: str) -> AnyResponse:
    """Show a booking; an old link leads to the newest of its chain."""
    booking = booking_at(uid)
    if booking.rescheduled_to_uid:
        return redirect(f"/booking/{service.newest(db.session(), booking).uid}")
    return _page("bookings/booked.html", booking)


@blueprint.get("/booking/<uid>.ics")
def file(uid: str) -> Response:
    """Give the booking as a calendar file."""
    booking = service.newest(db.session(), booking_at(uid))
    text, method = calendar.invitation(booking, settings().base_url)
    response = make_response(text)
    response.headers["Content-Type"] = f"text/calendar; charset=utf-8; method={method}"
    response.headers["Content-Disposition"] = 'attachment; filename="booking.ics"'
    return response


@blueprint.get("/booking/<uid>/cancel")
def ask_cancel(uid: str) -> AnyResponse:
    """Ask whether to cancel; only the POST does."""
    booking = booking_at(uid)
    if booking.rescheduled_to_uid:
        return redirect(f"/booking/{service.newest(db.session(), booking).uid}/cancel")
    return _page("bookings/cancel.html", booking)


@blueprint.post("/booking/<uid>/cancel")
@csrf.exempt
@limiter.limit("20/minute", key_func=entry.limit_key)
def cancel_by_link(uid: str) -> AnyResponse:
    """Cancel for whoever has the link; a second click finds it cancelled and changes nothing."""
    booking = service.newest(db.session(), booking_at(uid))
    try:
        reason = long_text(request.form.get("reason", ""))
        with transaction() as session:
            address = entry.acting_address(booking.host_id)
            service.cancel(session, booking, by=_acting(booking), reason=reason, address=address)
    except Invalid as error:
        return _page("bookings/cancel.html", booking, errors={"reason": error.message}), 422
    except Conflict as error:
        booking = service.newest(db.session(), booking)  # it may have been moved in the meantime
        if booking.status != "cancelled":
            return _page("bookings/cancel.html", booking, problem=error.message), 409
    return redirect(f"/booking/{booking.uid}", 303)


@blueprint.get("/booking/<uid>/reschedule")
def ask_reschedule(uid: str) -> AnyResponse:
    """Show the booker for a booking that is being moved."""
    booking = booking_at(uid)
    if booking.rescheduled_to_uid:
        query = request.query_string.decode("ascii", "ignore")
        return redirect(f"/booking/{service.newest(db.session(), booking).uid}/reschedule?{query}")
    if not movable(booking):
        return redirect(f"/booking/{booking.uid}")
    return booker_page(booking.event_type, state_of(_path(booking), _zone(booking)), booking=booking)


def too_many_moves(limit: RequestLimit) -> Response:
    """Give the form back to who moves too often, with what was typed."""
    booking = service.newest(db.session(), booking_at(**(request.view_args or {})))
    return form_alone(booking.event_type, typed_state(_path(booking), _zone(booking)), limit, booking=booking)


@blueprint.post("/booking/<uid>/reschedule")
@csrf.exempt
@limiter.limit("20/minute", key_func=entry.limit_key, on_breach=too_many_moves)
def move(uid: str) -> AnyResponse:
    """Move a booking; a taken time comes back with fresh ones."""
    booking = service.newest(db.session(), booking_at(uid))
    shown = partial(booker_page, booking.event_type, typed_state(_path(booking), _zone(booking)))
    try:
        wanted = _move_request(booking)
        refuse_robots()
        with times.taking_time(), transaction() as session:
            moved = service.reschedule(session, booking, wanted)
    except Invalid as error:
        return shown(booking=booking, problem=error.message, errors=error.details), 422
    except TooMany as error:
        return refused(shown(booking=booking, problem=error.message, times_too=False), error)
    except SlotTaken:
        return shown(booking=booking, problem=TAKEN), 409
    except Conflict as error:
        newest = service.newest(db.session(), booking)
        return _page("bookings/booked.html", newest, problem=error.message), 409
    return redirect(f"/bookings/{moved.uid}" if _is_host(moved) else f"/booking/{moved.uid}", 303)


def booking_at(uid: str) -> Booking:
    """Find a booking by its uid; raise NotFound when there is none."""
    booking = service.find(db.session(), uid)
    if booking is None:
        raise NotFound()
    return booking


def movable(booking: Booking) -> bool:
    """Say whether a booking can still be moved."""
    return booking.current_status in times.ACTIVE and booking.starts_at > now()


def _path(booking: Booking) -> str:
    return f"/booking/{booking.uid}/reschedule"


def _zone(booking: Booking) -> str:
    """Return the zone to show to who moves a booking, when the address names none."""
    return booking.host.time_zone if _is_host(booking) else booking.time_zone


def _move_request(booking: Booking) -> MoveRequest:
    by_host, form = _is_host(booking), request.form
    return checked_move(
        start=form.get("start", ""),
        reason=form.get("reason", ""),
        time_zone="" if by_host else form.get("time_zone", ""),
        by=_acting(booking),
        by_host=by_host,
        address=entry.acting_address(booking.host_id),
        metadata=entry.metadata(request.args, form),
        attempt=entry.known_attempt(form.get("attempt", "")),
    )


def _is_host(booking: Booking) -> bool:
    return bool(current_user.is_authenticated and current_user.id == booking.host_id)


def _acting(booking: Booking) -> str:
    """Return the e-mail address of who acts: the host who is signed in, else the visitor."""
    return booking.host.email if _is_host(booking) else booking.visitor.email


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
        **{"problem": "", "errors": {}, **context},
    )
    return make_response(page)
