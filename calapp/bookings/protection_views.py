"""What a host does about visitors who book or send too much: cancel all of one, release or discard emails."""

from flask import Response, request
from flask.typing import ResponseReturnValue

from calapp import mail
from calapp.accounts.guards import current_host
from calapp.bookings import service
from calapp.bookings.models import Booking
from calapp.bookings.schemas import long_text
from calapp.bookings.service import own_booking
from calapp.bookings.visitor_views import blueprint
from calapp.bookings.visitors import upcoming_of_visitor
from calapp.db import db, transaction
from calapp.errors import Invalid
from calapp.htmx import page_or_fragment, redirect_to

LISTED = 20  # bookings that the question names one by one
AT_ONCE = 200  # bookings of one click: what a request does within a few seconds


@blueprint.get("/bookings/<uid>/cancel-all")
def ask_cancel_all(uid: str) -> Response:
    """Ask before all upcoming bookings of a visitor are cancelled."""
    return _ask(own_booking(uid))


@blueprint.post("/bookings/<uid>/cancel-all")
def cancel_all(uid: str) -> ResponseReturnValue:
    """Cancel all upcoming bookings of whoever made this one, a step at a time."""
    booking = own_booking(uid)
    try:
        reason = long_text(request.form.get("reason", ""))
    except Invalid as error:
        return _ask(booking, error.message), 422
    by_email_only = bool(request.form.get("by_email_only"))
    cancelled, left = 0, 1
    while left and cancelled < AT_ONCE:
        with transaction() as session:
            count, left = service.cancel_all_of_visitor(
                session, booking, reason=reason, by_email_only=by_email_only
            )
        cancelled += count
        if not count:
            break
    words = f"{cancelled} {'booking' if cancelled == 1 else 'bookings'} cancelled."
    if left:
        words += f" {left} more are left: please cancel again."
    return redirect_to(f"/bookings/{uid}", words)


@blueprint.post("/bookings/emails/send")
def send_emails() -> ResponseReturnValue:
    """Send the emails that wait for the host; all, or those of the booking in the form."""
    return _take_emails(send=True)


@blueprint.post("/bookings/emails/discard")
def discard_emails() -> ResponseReturnValue:
    """Discard the emails that wait for the host; all, or those of the booking in the form."""
    return _take_emails(send=False)


def _take_emails(*, send: bool) -> ResponseReturnValue:
    host = current_host()
    uid = request.form.get("booking", "")
    about = service.chain_of(db.session(), own_booking(uid)) if uid else ()
    done, step = 0, mail.PARKED_STEP
    while step == mail.PARKED_STEP:
        with transaction() as session:
            step = mail.take_parked(session, host.id, about, send=send)
        done += step
    what = "1 email" if done == 1 else f"{done} emails"
    words = f"{what} on the way." if send else f"{what} discarded."
    return redirect_to(f"/bookings/{uid or 'upcoming'}", words)


def _ask(booking: Booking, problem: str = "") -> Response:
    found = upcoming_of_visitor(db.session(), booking)
    if not found:
        return redirect_to(f"/bookings/{booking.uid}", "This visitor has no upcoming bookings.")
    of_email = upcoming_of_visitor(db.session(), booking, by_email_only=True)
    return page_or_fragment(
        "bookings/host/cancel_all.html",
        "bookings/host/_cancel_all.html",
        booking=booking,
        found=found,
        listed=found[:LISTED],
        others=len(found) - len(of_email),
        problem=problem,
        host=current_host(),
    )
