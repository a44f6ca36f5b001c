"""The API of what a booking has besides its time: attendees, and links for calendars."""

from calapp.accounts.guards import OPEN, READ, WRITE
from calapp.bookings import calendar
from calapp.bookings.changes import add_attendee, attendee_of, remove_attendee
from calapp.bookings.responses import (
    AttendeeResponse,
    BookingResponse,
    CalendarLink,
    attendee_shown,
    shown,
)
from calapp.bookings.schemas import AddedAttendee, AskToReschedule
from calapp.bookings.service import booking_at, cancel, own_booking
from calapp.config import settings
from calapp.db import transaction
from calapp.rest.routes import Api

blueprint = Api("booking_people_api", tag="Bookings")

ONE = "/v2/bookings/<uid>"


@blueprint.operation("GET", f"{ONE}/attendees", access=READ, response=list[AttendeeResponse])
def index_attendees(uid: str) -> list[AttendeeResponse]:
    """List the attendees of a booking: the visitor first, then the guests."""
    return [attendee_shown(one) for one in own_booking(uid).attendees]


@blueprint.operation("GET", f"{ONE}/attendees/<int:attendee_id>", access=READ, response=AttendeeResponse)
def show_attendee(uid: str, attendee_id: int) -> AttendeeResponse:
    """Show an attendee of a booking."""
    return attendee_shown(attendee_of(own_booking(uid), attendee_id))


@blueprint.operation(
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


@blueprint.operation(
    "DELETE", f"{ONE}/attendees/<int:attendee_id>", access=WRITE, response=AttendeeResponse, errors=(409,)
)
def remove(uid: str, attendee_id: int) -> AttendeeResponse:
    """Remove a guest from a booking. The person who booked stays: 409."""
    booking = own_booking(uid)
    gone = attendee_shown(attendee_of(booking, attendee_id))
    with transaction() as session:
        remove_attendee(session, booking, attendee_id)
    return gone


@blueprint.operation("GET", f"{ONE}/calendar-links", access=OPEN, response=list[CalendarLink])
def index_calendar_links(uid: str) -> list[CalendarLink]:
    """List the addresses that put a booking into a calendar."""
    booking, base = booking_at(uid), settings().base_url
    return [
        CalendarLink(label="Google Calendar", link=calendar.google_link(booking, base)),
        CalendarLink(label="Microsoft Office", link=calendar.outlook_link(booking, base, calendar.OFFICE)),
        CalendarLink(label="Microsoft Outlook", link=calendar.outlook_link(booking, base)),
        CalendarLink(label="ICS", link=f"{base}/booking/{booking.uid}.ics"),
    ]


@blueprint.operation(
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
        cancel(session, booking, by=booking.host.email, reason=body.reason or "", kind="to_reschedule")
    return shown(booking)
