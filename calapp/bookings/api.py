"""The API of bookings, and of what each has besides its time: attendees, and links for calendars.

A booking's uid gives the right to look, cancel and move, as its link does.
"""

import hashlib
from typing import Any

from flask import request
from flask_limiter.util import get_remote_address

from calapp.accounts.guards import OPEN, READ, WRITE, api_key, api_user_id, current_host, has_scope
from calapp.accounts.models import Scope
from calapp.bookings import calendar, changes, lists, service, times, visitors
from calapp.bookings.answers import answered, check_guests, phone_of
from calapp.bookings.changes import add_attendee, attendee_of, remove_attendee
from calapp.bookings.metadata import Metadata
from calapp.bookings.models import Booking
from calapp.bookings.queries import BookingsQuery, ReservationRequest, SlotsQuery
from calapp.bookings.responses import (
    AttendeeResponse,
    BookingResponse,
    BookingsPage,
    CalendarLink,
    attendee_shown,
    shown,
)
from calapp.bookings.schemas import (
    AbsentRequest,
    AddedAttendee,
    AskToReschedule,
    BookingPatch,
    BookingRequest,
    CancelRequest,
    DeclineRequest,
    GuestsRequest,
    LocationRequest,
    RescheduleRequest,
)
from calapp.bookings.service import booking_at, own_booking
from calapp.config import settings
from calapp.db import db, transaction
from calapp.errors import Invalid, NotFound, NotSupported
from calapp.event_types.api import shown_location
from calapp.event_types.models import EventType
from calapp.event_types.service import find_offered, find_public
from calapp.incoming import limiter
from calapp.rest.access import bearer_token
from calapp.rest.routes import Api, Page
from calapp.rest.schemas import page_info
from calapp.rest.unsupported import NOTHING

blueprint = Api("bookings_api", tag="Bookings")

ONE = "/v2/bookings/<uid>"
WHICH = "Send eventTypeId, or username and eventTypeSlug."


keyless_limit = limiter.limit(
    "20/minute", key_func=visitors.api_counter, exempt_when=lambda: bool(bearer_token())
)


@blueprint.operation(
    "POST",
    "/v2/bookings",
    access=OPEN,
    response=BookingResponse,
    status=201,
    body=BookingRequest,
    errors=(409,),
    limits=(keyless_limit,),
)
def create(body: BookingRequest) -> BookingResponse:
    """Book a time. Returns 409 if the time is no longer available.

    An event type with requireSignedMetadata needs the metadata, exp and sig of a signed link (400
    `link_refused`), unless the request has a write key of the host. Metadata without a valid signature is
    never verified, whoever sends it.

    When a request is repeated with the same Idempotency-Key header, it returns the booking that the first one
    created. Without a write key of the host, visitor limits apply; a 429 says which one was reached.
    """
    event_type = event_type_of(body)
    _refuse_unknown_answers(body, event_type)
    _read_answers(event_type, body)
    address, key = visitors_address(event_type.user_id), request.headers.get("Idempotency-Key") or None
    if key is not None:  # it is bound to all that the request says
        said = b"\n".join((str(event_type.user_id).encode(), key.encode(), request.get_data()))
        key = hashlib.sha256(said).hexdigest()
    given = body.tracking.model_dump() if body.tracking else {}
    tracking = {name: value for name, value in given.items() if value}
    link = Metadata(body.metadata, exp=str(body.exp or ""), sig=body.sig or "", tracking=tracking)
    host_id, holder = event_type.user_id, holder_of()
    by_host = is_host(host_id)
    with times.taking_time(), transaction() as session:
        times.release_reservation(session, host_id, body.start, holder=holder, uid=body.reservation_uid)
        booking = service.book(
            session, event_type, body, address=address, idempotency_key=key, link=link, by_host=by_host
        )
        return shown(booking)


@blueprint.operation(
    "GET",
    "/v2/bookings",
    access=READ,
    response=list[BookingResponse],
    pagination=BookingsPage,
    query=BookingsQuery,
)
def index(query: BookingsQuery) -> Page:
    """List your bookings by start time."""
    found, total = lists.matching(db.session(), current_host().id, query)
    info = page_info(query.part, total=total, returned=len(found))
    following = str(query.part.skip + len(found)) if info.has_next_page else None
    page = BookingsPage(**info.model_dump(), has_more=info.has_next_page, next_cursor=following)
    return Page([shown(booking) for booking in found], page)


@blueprint.operation("GET", ONE, access=OPEN, response=BookingResponse)
def show(uid: str) -> BookingResponse:
    """Show a booking.

    For a rescheduled booking, rescheduledToUid is the uid of the new one.
    """
    return shown(booking_at(uid))


@blueprint.operation("PATCH", ONE, access=WRITE, response=BookingResponse, body=BookingPatch, errors=(409,))
def update(uid: str, body: BookingPatch) -> BookingResponse:
    """Change the location, guests or notes of a booking.

    Everyone is notified, and BOOKING_UPDATED is sent, unless nothing is different.
    """
    return _changed(uid, body.changes())


@blueprint.operation(
    "PATCH",
    f"{ONE}/location",
    access=WRITE,
    response=BookingResponse,
    body=LocationRequest,
    errors=(409,),
)
def update_location(uid: str, body: LocationRequest) -> BookingResponse:
    """Change the location of a booking."""
    return _changed(uid, {"location": body.location.text})


@blueprint.operation(
    "POST", f"{ONE}/guests", access=WRITE, response=BookingResponse, body=GuestsRequest, errors=(409,)
)
def add_guests(uid: str, body: GuestsRequest) -> BookingResponse:
    """Add guests to a booking, up to 20 in all. Those who are there already stay as they are."""
    return _changed(uid, {"added": body.guests})


def _changed(uid: str, wanted: dict[str, Any]) -> BookingResponse:
    booking = own_booking(uid)
    with transaction() as session:
        changes.change(session, booking, wanted)
    return shown(booking)


@blueprint.operation(
    "POST",
    f"{ONE}/cancel",
    access=OPEN,
    response=BookingResponse,
    body=CancelRequest,
    errors=(409,),
    limits=(keyless_limit,),
)
def cancel(uid: str, body: CancelRequest) -> BookingResponse:
    """Cancel a booking: as the host with a write key, otherwise as the visitor.

    The uid of a rescheduled booking refers to the new booking.
    """
    booking = service.newest(db.session(), booking_at(uid))
    by, address = _by(booking), visitors_address(booking.host_id)
    with transaction() as session:
        service.cancel(session, booking, by=by, reason=body.reason or "", address=address)
    return shown(booking)


@blueprint.operation(
    "POST",
    f"{ONE}/reschedule",
    access=OPEN,
    response=BookingResponse,
    status=201,
    body=RescheduleRequest,
    errors=(409,),
    limits=(keyless_limit,),
)
def reschedule(uid: str, body: RescheduleRequest) -> BookingResponse:
    """Reschedule a booking: it is replaced by a new one with a new uid.

    As the host with a write key, otherwise as the visitor. The uid of a rescheduled booking refers to the new
    booking.
    """
    booking = service.newest(db.session(), booking_at(uid))
    by_host, address = is_host(booking.host_id), visitors_address(booking.host_id)
    holder = holder_of()
    with times.taking_time(), transaction() as session:
        times.release_reservation(session, booking.host_id, body.start, holder=holder)
        moved = service.reschedule(session, booking, body, by=_by(booking), by_host=by_host, address=address)
    return shown(moved)


@blueprint.operation("POST", f"{ONE}/confirm", access=WRITE, response=BookingResponse, errors=(409,))
def confirm(uid: str) -> BookingResponse:
    """Confirm a booking that is waiting for confirmation."""
    booking = own_booking(uid)
    with transaction() as session:
        service.confirm(session, booking)
    return shown(booking)


@blueprint.operation(
    "POST", f"{ONE}/decline", access=WRITE, response=BookingResponse, body=DeclineRequest, errors=(409,)
)
def decline(uid: str, body: DeclineRequest) -> BookingResponse:
    """Decline a booking that waits for confirmation."""
    booking = own_booking(uid)
    with transaction() as session:
        service.reject(session, booking, body.reason or "")
    return shown(booking)


@blueprint.operation(
    "POST", f"{ONE}/mark-absent", access=WRITE, response=BookingResponse, body=AbsentRequest, errors=(409,)
)
def mark_absent(uid: str, body: AbsentRequest) -> BookingResponse:
    """Mark attendees as no-shows, or undo it. Only possible after the start."""
    booking = own_booking(uid)
    with transaction() as session:
        for one in body.attendee:
            changes.mark_no_show(session, booking, one.email, absent=one.absent)
    return shown(booking)


def _refuse_unknown_answers(body: BookingRequest, event_type: EventType) -> None:
    """Raise NotSupported for answers to what the event type does not ask, by their names.

    Name, email and guests may be repeated as they are.
    """
    asked = {"notes", "attendeePhoneNumber", *(question["name"] for question in event_type.questions)}
    repeated = {"name": body.attendee.name, "email": body.attendee.email, "guests": body.guests}
    words = "This event type does not ask this."
    problems = {
        f"bookingFieldsResponses.{name[:60]}": words
        for name, value in body.booking_fields_responses.items()
        if name not in asked and value is not None and value not in NOTHING and repeated.get(name) != value
    }
    if problems:
        raise NotSupported(" ".join(f"{name}: {text}" for name, text in problems.items()), **problems)


def _read_answers(event_type: EventType, body: BookingRequest) -> None:
    """Put answers and phone number in a request as they are kept; raise Invalid naming what is wrong."""
    kinds = {shown_location(event_type), None}
    if body.location and body.location.type not in kinds:
        problem = "This event type does not take place there."
        raise Invalid(problem, **{"location.type": problem})
    zone, responses = body.attendee.time_zone, body.booking_fields_responses
    places = {
        "attendee.phoneNumber": body.attendee.phone_number,
        "location.phone": body.location.phone if body.location else None,
        "bookingFieldsResponses.attendeePhoneNumber": responses.get("attendeePhoneNumber"),
    }
    field, number = next(
        ((name, text) for name, text in places.items() if text), ("attendee.phoneNumber", "")
    )
    body.attendee.phone_number = phone_of(event_type, str(number), zone, field)
    check_guests(event_type, body.guests)
    body.booking_fields_responses = answered(responses, event_type, zone, prefix="bookingFieldsResponses.")


def event_type_of(asked: BookingRequest | SlotsQuery | ReservationRequest) -> EventType:
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


def is_host(host_id: int) -> bool:
    """Return whether the host's program asks, with a key that may write."""
    return api_user_id() == host_id and has_scope(Scope.WRITE)


def visitors_address(host_id: int) -> str | None:
    """Return from where a visitor acts; None for the host's program, which has a key that may write."""
    return None if is_host(host_id) else get_remote_address()


def holder_of() -> str:
    """Return as whom this client holds times: the key that it uses, or the address that it comes from."""
    key = api_key()
    return f"key {key.id}" if key else visitors.address_key(get_remote_address())


def _by(booking: Booking) -> str:
    """Return the email address of who acts."""
    return booking.host.email if is_host(booking.host_id) else booking.visitor.email


people = Api("booking_people_api", tag="Bookings")


@people.operation("GET", f"{ONE}/attendees", access=READ, response=list[AttendeeResponse])
def index_attendees(uid: str) -> list[AttendeeResponse]:
    """List the attendees of a booking: the visitor first, then the guests."""
    return [attendee_shown(one) for one in own_booking(uid).attendees]


@people.operation("GET", f"{ONE}/attendees/<int:attendee_id>", access=READ, response=AttendeeResponse)
def show_attendee(uid: str, attendee_id: int) -> AttendeeResponse:
    """Show an attendee of a booking."""
    return attendee_shown(attendee_of(own_booking(uid), attendee_id))


@people.operation(
    "POST",
    f"{ONE}/attendees",
    access=WRITE,
    response=AttendeeResponse,
    status=201,
    body=AddedAttendee,
    errors=(409,),
)
def add(uid: str, body: AddedAttendee) -> AttendeeResponse:
    """Add an attendee to a booking, who comes as a guest. Everyone is notified, and BOOKING_UPDATED is sent.

    A booking has at most 20 guests. Returns 409 for an email address that takes part already.
    """
    booking = own_booking(uid)
    with transaction() as session:
        added = add_attendee(session, booking, body)
    return attendee_shown(added)


@people.operation(
    "DELETE", f"{ONE}/attendees/<int:attendee_id>", access=WRITE, response=AttendeeResponse, errors=(409,)
)
def remove(uid: str, attendee_id: int) -> AttendeeResponse:
    """Remove a guest from a booking. The person who booked stays: 409."""
    booking = own_booking(uid)
    gone = attendee_shown(attendee_of(booking, attendee_id))
    with transaction() as session:
        remove_attendee(session, booking, attendee_id)
    return gone


@people.operation("GET", f"{ONE}/calendar-links", access=OPEN, response=list[CalendarLink])
def index_calendar_links(uid: str) -> list[CalendarLink]:
    """List the addresses that put a booking into a calendar."""
    booking, base = booking_at(uid), settings().base_url
    return [
        CalendarLink(label="Google Calendar", link=calendar.google_link(booking, base)),
        CalendarLink(label="Microsoft Office", link=calendar.outlook_link(booking, base, calendar.OFFICE)),
        CalendarLink(label="Microsoft Outlook", link=calendar.outlook_link(booking, base)),
        CalendarLink(label="ICS", link=f"{base}/booking/{booking.uid}.ics"),
    ]


@people.operation(
    "POST",
    f"{ONE}/request-reschedule",
    access=WRITE,
    response=BookingResponse,
    body=AskToReschedule,
    errors=(409,),
)
def request_reschedule(uid: str, body: AskToReschedule) -> BookingResponse:
    """Cancel a booking and ask the visitor by email to choose another time, with a link that does."""
    booking = own_booking(uid)
    with transaction() as session:
        service.cancel(
            session, booking, by=booking.host.email, reason=body.reason or "", kind="to_reschedule"
        )
    return shown(booking)
