"""The host's pages of bookings: lists, one booking with its history, and what can be done to it."""

from collections.abc import Callable, Mapping
from functools import partial, update_wrapper
from urllib.parse import parse_qsl

from flask import Blueprint, Response, make_response, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from calapp import mail
from calapp.accounts.guards import current_host
from calapp.bookings import changes, lists, service
from calapp.bookings.copies import conflicts_of, copies_of
from calapp.bookings.emails import of_chain
from calapp.bookings.lists import Tab, read_booking_filter
from calapp.bookings.models import Booking
from calapp.bookings.schemas import changes_of_form, reason_of
from calapp.bookings.service import own_booking
from calapp.bookings.times import ACTIVE
from calapp.bookings.visitors import count_of_visitor, upcoming_of_visitor
from calapp.clock import now
from calapp.db import db, transaction
from calapp.errors import Conflict, Invalid
from calapp.event_types.service import of_user
from calapp.htmx import is_htmx, named_by, page_done, page_or_fragment, redirect_to
from calapp.incoming import habits_of_request
from calapp.mail import parked_emails
from calapp.text import whole_number

blueprint = Blueprint("host_bookings", __name__)


@blueprint.app_context_processor
def outgoing_email() -> dict[str, Callable[[], bool]]:
    """Let every page of a host say that no email can be sent."""
    return {"emails_fail": lambda: mail.is_failing(db.session())}


@blueprint.context_processor
def hosts_clock() -> dict[str, bool]:
    """Let these pages show times as the host's browser does elsewhere."""
    return {"twelve": habits_of_request().twelve}


@blueprint.get("/bookings/<uid>")
def detail(uid: str) -> Response:
    """Show a booking with its metadata, its events and where they went."""
    return _detail(own_booking(uid))


@blueprint.post("/bookings/<uid>/confirm")
def confirm(uid: str) -> ResponseReturnValue:
    """Confirm a booking."""
    booking = own_booking(uid)
    return _act(booking, lambda session: service.confirm(session, booking), "Booking confirmed.")


@blueprint.get("/bookings/<uid>/reject")
def ask_reject(uid: str) -> ResponseReturnValue:
    """Ask for the reason before a booking is declined."""
    return _ask("reject", own_booking(uid))


@blueprint.post("/bookings/<uid>/reject")
def reject(uid: str) -> ResponseReturnValue:
    """Decline a booking."""
    return _act_with_reason("reject", own_booking(uid), service.reject, "Booking declined.")


@blueprint.get("/bookings/<uid>/cancel")
def ask_cancel_by_host(uid: str) -> ResponseReturnValue:
    """Ask for the reason before a booking is cancelled."""
    return _ask("cancel", own_booking(uid))


@blueprint.post("/bookings/<uid>/cancel")
def cancel(uid: str) -> ResponseReturnValue:
    """Cancel a booking for the host."""

    def act(session: Session, booking: Booking, reason: str) -> None:
        service.cancel(session, booking, by=current_host().email, reason=reason)

    return _act_with_reason("cancel", own_booking(uid), act, "Booking cancelled.")


@blueprint.get("/bookings/<uid>/edit")
def edit(uid: str) -> ResponseReturnValue:
    """Show the form that changes place, guests and notes of a booking."""
    booking = own_booking(uid)
    if booking.current_status not in ACTIVE or booking.ends_at <= now():
        return redirect_to(f"/bookings/{uid}", "This booking can no longer be changed.", "bad")
    values = {
        "location": booking.location,
        "guests": ", ".join(person.email for person in booking.attendees[1:]),
        "notes": booking.notes,
    }
    return _edit(booking, values)


@blueprint.post("/bookings/<uid>/edit")
def change(uid: str) -> ResponseReturnValue:
    """Change place, guests and notes of a booking."""
    booking = own_booking(uid)
    try:
        wanted = changes_of_form(request.form)
    except Invalid as error:
        return _edit(booking, request.form, error.details), 422
    return _act(booking, lambda session: changes.change(session, booking, wanted), "Booking updated.")


def _edit(
    booking: Booking, values: Mapping[str, str], errors: Mapping[str, object] | None = None
) -> Response:
    return page_or_fragment(
        "bookings/host/edit.html",
        "bookings/host/_edit.html",
        booking=booking,
        values=values,
        errors=errors or {},
        host=current_host(),
    )


@blueprint.post("/bookings/<uid>/no-show")
def no_show(uid: str) -> ResponseReturnValue:
    """Mark an attendee as absent, or take it back."""
    booking = own_booking(uid)
    email, absent = request.form.get("attendee", ""), request.form.get("no_show") in {"1", "true", "on"}
    words = "Marked as no-show." if absent else "No longer marked as no-show."
    return _act(booking, lambda session: changes.mark_no_show(session, booking, email, absent=absent), words)


def _list(tab: Tab, query: Mapping[str, str] | None = None) -> Response:
    """List the bookings of a tab, as the address says, or another query."""
    host, query = current_host(), request.args if query is None else query
    wanted = read_booking_filter(query)
    page = min(whole_number(query.get("page", ""), digits=5) or 1, 10_000)
    found = lists.listing(db.session(), host, tab, wanted, page)
    *parked, waiting = parked_emails(db.session(), host.id, [one.uid for one in found.bookings])
    html = render_template(
        "bookings/host/list.html",
        listing=found,
        tab=tab,
        tabs=Tab,
        wanted=wanted,
        event_types=of_user(db.session(), host.id),
        host=host,
        present=now(),
        parked=parked,
        waiting=waiting,
        conflicts=conflicts_of(db.session(), found.bookings),
    )
    return make_response(html)


def _download(tab: Tab) -> Response:
    """Give all bookings of a tab that its filter lets through as a CSV file."""
    host, wanted = current_host(), read_booking_filter(request.args)
    query = lists.in_tab(host, tab, wanted).limit(lists.MOST_ROWS + 1)
    found = db.session().scalars(query).all()
    if len(found) > lists.MOST_ROWS:
        words = (
            f"A file has up to {lists.MOST_ROWS:,} bookings. Choose dates, and download one file for each."
        )
        return redirect_to(wanted.address(f"/bookings/{tab}"), words, "bad")
    response = make_response(lists.csv_of(found, host.time_zone))
    response.headers["Content-Type"] = "text/csv; charset=utf-8"
    response.headers["Content-Disposition"] = f'attachment; filename="bookings-{tab}.csv"'
    response.headers["Cache-Control"] = "no-store"
    return response


for tab in Tab:
    # Named like the function, since Flask-WTF asks each view for its name.
    blueprint.add_url_rule(f"/bookings/{tab}", tab.value, update_wrapper(partial(_list, tab), _list))
    blueprint.add_url_rule(
        f"/bookings/{tab}.csv", f"{tab}_csv", update_wrapper(partial(_download, tab), _download)
    )


def _detail(booking: Booking, problem: str = "") -> Response:
    emails = of_chain(db.session(), booking)
    history = lists.history(db.session(), booking)
    summary, bad_webhooks = lists.sum_of([one for _, deliveries in history for one in deliveries])
    page = render_template(
        "bookings/host/detail.html",
        booking=booking,
        host=current_host(),
        of_visitor=count_of_visitor(db.session(), booking),
        history=history,
        summary=summary,
        bad_webhooks=bad_webhooks,
        emails=emails,
        copies=copies_of(db.session(), booking),
        parked=sum(one.parked_at is not None for one in emails),
        present=now(),
        problem=problem,
        conflicts=conflicts_of(db.session(), [booking]),
    )
    return make_response(page)


def _act(booking: Booking, action: Callable[..., None], words: str) -> ResponseReturnValue:
    """Do something to a booking; what cannot be done any more is said on the page that is shown."""
    problem = ""
    try:
        with transaction() as session:
            action(session)
    except (Conflict, Invalid) as error:
        problem = error.message
    if problem and not is_htmx():
        return _detail(booking, problem), 409
    return _done(booking, problem or words, "bad" if problem else "good")


def _done(booking: Booking | None, words: str, tone: str = "good") -> Response:
    """Put the page in place on which something was done, or lead to the booking or the list."""
    asked, path = named_by("HX-Current-URL"), f"/bookings/{booking.uid if booking else 'upcoming'}"
    tab = next((one for one in Tab if asked.path == f"/bookings/{one}"), None)
    if is_htmx() and tab:
        return page_done(_list(tab, dict(parse_qsl(asked.query))), words, tone)
    if is_htmx() and booking and asked.path == path:
        return page_done(_detail(booking), words, tone)
    return redirect_to(path, words, tone)


def _act_with_reason(
    kind: str, booking: Booking, action: Callable[..., None], words: str
) -> ResponseReturnValue:
    try:
        reason = reason_of(request.form)
    except Invalid as error:
        return _ask(kind, booking, str(error.details["reason"])), 422
    return _act(booking, lambda session: action(session, booking, reason), words)


def _ask(kind: str, booking: Booking, problem: str = "") -> Response:
    if booking.unanswered or booking.ends_at <= now():  # asked from a page that was left open
        late = "This booking was not confirmed in time." if booking.unanswered else "This meeting is over."
        return redirect_to(f"/bookings/{booking.uid}", late, "bad")
    return page_or_fragment(
        "bookings/host/ask.html",
        "bookings/host/_ask.html",
        kind=kind,
        booking=booking,
        problem=problem,
        host=current_host(),
    )


LISTED = 20  # bookings that the question names one by one
AT_ONCE = 200  # bookings of one click: what a request does within a few seconds


@blueprint.get("/bookings/<uid>/cancel-all")
def ask_cancel_all(uid: str) -> Response:
    """Ask before all upcoming bookings of a visitor are cancelled."""
    return _ask_about_visitor(own_booking(uid))


@blueprint.post("/bookings/<uid>/cancel-all")
def cancel_all(uid: str) -> ResponseReturnValue:
    """Cancel all upcoming bookings of whoever made this one, a step at a time."""
    booking = own_booking(uid)
    try:
        reason = reason_of(request.form)
    except Invalid as error:
        return _ask_about_visitor(booking, str(error.details["reason"])), 422
    by_email_only = bool(request.form.get("by_email_only"))
    cancelled, left = 0, 1
    while left and cancelled < AT_ONCE:
        with transaction() as session:
            count, left = changes.cancel_all_of_visitor(
                session, booking, reason=reason, by_email_only=by_email_only
            )
        cancelled += count
        if not count:
            break
    words = f"{cancelled} {'booking' if cancelled == 1 else 'bookings'} cancelled."
    if left:
        words += f" {left} remaining: cancel again to continue."
    return _done(booking, words)


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
    booking = own_booking(uid) if uid else None
    about = db.session().scalars(booking.chain_uids).all() if booking else ()
    done, step = 0, mail.PARKED_STEP
    while step == mail.PARKED_STEP:
        with transaction() as session:
            step = mail.take_parked(session, host.id, about, send=send)
        done += step
    what = "1 email" if done == 1 else f"{done} emails"
    words = f"{what} on the way." if send else f"{what} discarded."
    return _done(booking, words)


def _ask_about_visitor(booking: Booking, problem: str = "") -> Response:
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
