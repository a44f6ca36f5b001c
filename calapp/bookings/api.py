"""The API of bookings and free times.

A booking's uid gives the right to look, cancel and move, as its link does.
"""

import hashlib
from collections.abc import Callable
from typing import Any

from flask import request
from flask_limiter.util import get_remote_address
from sqlalchemy.orm import Session

from calapp.accounts.guards import OPEN, READ, WRITE, api_user_id, current_host, has_scope
from calapp.accounts.models import Scope
from calapp.bookings import counters, lists, service, times
from calapp.bookings.models import Booking
from calapp.bookings.schemas import (
    AbsentBody,
    BookingAnswer,
    BookingBody,
    BookingsPage,
    BookingsQuery,
    CancelBody,
    DeclineBody,
    MoveBody,
    MoveRequest,
    Slot,
    SlotsQuery,
    checked,
    long_text,
    shown,
    slots_by_date,
)
from calapp.bookings.service import booking_at, own_booking
from calapp.db import db, transaction
from calapp.errors import Invalid, NotFound
from calapp.event_types.models import EventType
from calapp.event_types.service import find_offered, find_public
from calapp.rate_limits import limiter
from calapp.rest.routes import Api, Page, bearer_token
from calapp.rest.schemas import Paging, page_info

blueprint = Api("bookings_api", tag="Bookings")
slots = Api("slots_api", tag="Slots")

ONE = "/v2/bookings/<uid>"
WHICH = "Please give eventTypeId, or username and eventTypeSlug."


keyless_limit = limiter.limit(
    "20/minute", key_func=counters.api_key, exempt_when=lambda: bool(bearer_token())
)


@slots.operation(
    "GET", "/v2/slots", access=OPEN, response=dict[str, list[Slot]], query=SlotsQuery, errors=(409,)
)
def index_slots(query: SlotsQuery) -> dict[str, list[Slot]]:
    """List the free times of an event type, by date."""
    event_type = _event_type(query)
    moved = query.booking_uid_to_reschedule
    found = times.offered(
        db.session(),
        event_type,
        query.start,
        query.end,
        leave_out=booking_at(moved).id if moved else None,
    )
    return slots_by_date(found, query, event_type.length)


@blueprint.operation(
    "POST",
    "/v2/bookings",
    access=OPEN,
    response=BookingAnswer,
    status=201,
    body=BookingBody,
    errors=(409,),
    limits=(keyless_limit,),
)
def create(body: BookingBody) -> BookingAnswer:
    """Book a time; 409 when it is not free any more.

    With the header Idempotency-Key the same request, sent again, returns the booking that it made. Without a
    key of the host that may write, a visitor's limits apply: 429 says in words which was reached.
    """
    event_type = _event_type(body)
    if body.length_in_minutes not in {None, event_type.length}:
        problem = f"This event type takes {event_type.length} minutes."
        raise Invalid(problem, length_in_minutes=problem)
    raw = body.raw(_idempotency_key(event_type), _visitors_address(event_type.user_id))
    wanted = checked(raw, event_type.questions, prefix="bookingFieldsResponses.")
    with times.taking_time(), transaction() as session:
        booking = service.book(session, event_type, wanted)
    return shown(booking)


@blueprint.operation(
    "GET",
    "/v2/bookings",
    access=READ,
    response=list[BookingAnswer],
    pagination=BookingsPage,
    query=BookingsQuery,
)
def index(query: BookingsQuery) -> Page:
    """List your bookings, by their start."""
    wanted = query.wanted()
    found, total = lists.matching(db.session(), current_host().id, wanted)
    info = page_info(Paging(take=wanted.take, skip=wanted.skip), total=total, returned=len(found))
    following = str(wanted.skip + len(found)) if info.has_next_page else None
    page = BookingsPage(**info.model_dump(), has_more=info.has_next_page, next_cursor=following)
    return Page([shown(booking) for booking in found], page)


@blueprint.operation("GET", ONE, access=OPEN, response=BookingAnswer)
def show(uid: str) -> BookingAnswer:
    """Show a booking.

    One that was moved names its successor in rescheduledToUid.
    """
    return shown(booking_at(uid))


@blueprint.operation(
    "POST",
    f"{ONE}/cancel",
    access=OPEN,
    response=BookingAnswer,
    body=CancelBody,
    errors=(409,),
    limits=(keyless_limit,),
)
def cancel(uid: str, body: CancelBody) -> BookingAnswer:
    """Cancel a booking: for the host with a key that may write, else for the visitor.

    The uid of a booking that was moved leads to its successor.
    """
    booking = service.newest(db.session(), booking_at(uid))
    reason = _reason("cancellation_reason", body.cancellation_reason)
    by, address = _by(booking), _visitors_address(booking.host_id)
    return _acted(
        booking, lambda session: service.cancel(session, booking, by=by, reason=reason, address=address)
    )


@blueprint.operation(
    "POST",
    f"{ONE}/reschedule",
    access=OPEN,
    response=BookingAnswer,
    status=201,
    body=MoveBody,
    errors=(409,),
    limits=(keyless_limit,),
)
def reschedule(uid: str, body: MoveBody) -> BookingAnswer:
    """Move a booking: a new one with a new uid takes its place.

    For the host with a key that may write, else for the visitor. The uid of a booking that was moved leads to
    its successor.
    """
    booking = service.newest(db.session(), booking_at(uid))
    wanted = MoveRequest(
        start=body.start,
        by=_by(booking),
        by_host=_as_host(booking),
        reason=_reason("rescheduling_reason", body.rescheduling_reason),
        address=_visitors_address(booking.host_id),
    )
    with times.taking_time(), transaction() as session:
        moved = service.reschedule(session, booking, wanted)
    return shown(moved)


@blueprint.operation("POST", f"{ONE}/confirm", access=WRITE, response=BookingAnswer, errors=(409,))
def confirm(uid: str) -> BookingAnswer:
    """Confirm a booking that waits for it."""
    booking = own_booking(uid)
    return _acted(booking, lambda session: service.confirm(session, booking))


@blueprint.operation(
    "POST", f"{ONE}/decline", access=WRITE, response=BookingAnswer, body=DeclineBody, errors=(409,)
)
def decline(uid: str, body: DeclineBody) -> BookingAnswer:
    """Turn down a booking that waits for confirmation."""
    booking, reason = own_booking(uid), _reason("reason", body.reason)
    return _acted(booking, lambda session: service.reject(session, booking, reason))


@blueprint.operation(
    "POST", f"{ONE}/mark-absent", access=WRITE, response=BookingAnswer, body=AbsentBody, errors=(409,)
)
def mark_absent(uid: str, body: AbsentBody) -> BookingAnswer:
    """Note who was not there, or take it back; only after the start."""
    booking = own_booking(uid)

    def act(session: Session) -> None:
        for one in body.attendee:
            service.mark_no_show(session, booking, one.email, absent=one.absent)

    return _acted(booking, act)


def _event_type(asked: BookingBody | SlotsQuery) -> EventType:
    """Return the event type that is asked for; raise NotFound, or Invalid when none is named."""
    if asked.event_type_id is not None:
        found = find_offered(db.session(), asked.event_type_id, api_user_id())
    elif asked.username and asked.event_type_slug:
        found = find_public(db.session(), asked.username, asked.event_type_slug)
    else:
        raise Invalid(WHICH, eventTypeId=WHICH)
    if found is None:
        raise NotFound("There is no such event type.")
    return found


def _idempotency_key(event_type: EventType) -> str | None:
    """Return the token of a request that may be sent twice; it is bound to all that the request says."""
    key = request.headers.get("Idempotency-Key")
    if not key:
        return None
    said = b"\n".join((str(event_type.user_id).encode(), key.encode(), request.get_data()))
    return hashlib.sha256(said).hexdigest()


def _is_host(host_id: int) -> bool:
    return api_user_id() == host_id and has_scope(Scope.WRITE)


def _as_host(booking: Booking) -> bool:
    return _is_host(booking.host_id)


def _visitors_address(host_id: int) -> str | None:
    """Return from where a visitor acts; None for the host's program, which has a key that may write."""
    return None if _is_host(host_id) else get_remote_address()


def _by(booking: Booking) -> str:
    """Return the email address of who acts."""
    return booking.host.email if _as_host(booking) else booking.visitor.email


def _reason(field: str, text: str | None) -> str:
    try:
        return long_text(text or "")
    except Invalid as error:
        raise Invalid(error.message, **{field: error.message}) from None


def _acted(booking: Booking, act: Callable[[Session], Any]) -> BookingAnswer:
    with transaction() as session:
        act(session)
    return shown(booking)
