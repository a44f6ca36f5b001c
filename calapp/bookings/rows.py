"""The row of a booking as it is first written, of who takes part in it, and what a search finds it by."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.bookings.metadata import MAX_LEFT_OUT, NO_METADATA, Metadata, merged
from calapp.bookings.models import Attendee, Booking, Status
from calapp.bookings.visitors import mailbox_of
from calapp.errors import Invalid
from calapp.event_types.models import EventType
from calapp.limits import GUESTS_PER_BOOKING
from calapp.objects import insert
from calapp.text import line

if TYPE_CHECKING:  # a worker imports this, and does without schemas
    from calapp.bookings.schemas import BookingRequest, Guest

SEALED = "left out, since the metadata of this booking is signed"


def new_booking(
    host: User, event_type: EventType, request: "BookingRequest", minutes: int, uid: str | None = None
) -> Booking:
    visitor, uid = request.attendee, uid or secrets.token_urlsafe(16)
    labels = {question["name"]: question["label"] for question in event_type.questions}
    answers = {name: value for name, value in request.booking_fields_responses.items() if name in labels}
    booking = Booking(
        uid=uid,
        chain=uid,
        sequence=0,
        ical_sequence=0,
        host=host,
        host_id=host.id,
        event_type=event_type,
        event_type_id=event_type.id,
        status=Status.PENDING if event_type.requires_confirmation else Status.ACCEPTED,
        title=line(f"{event_type.title} between {host.name} and {visitor.name}")[:300],
        starts_at=request.start,
        ends_at=request.start + timedelta(minutes=minutes),
        time_zone=visitor.time_zone,
        location=(visitor.phone_number if event_type.asks_phone else None) or event_type.place_of(uid),
        notes=request.notes,
        # With the question's words of today: tomorrow's edit must not change what was asked.
        answers={name: {"label": labels[name], "value": value} for name, value in answers.items()},
        link_metadata=dict(request.metadata),
    )
    booking.attendees = [_attendee(0, visitor.name, visitor.email, visitor.time_zone)]
    invite(booking, request.guests)
    booking.visitor.phone = visitor.phone_number or ""
    booking.search = searchable(booking)
    return booking


def invite(booking: Booking, guests: Sequence[str], added: Sequence["Guest"] = ()) -> None:
    """Make these addresses the guests; visitor and host are there anyway, and written to as such.

    Raises Invalid for more than GUESTS_PER_BOOKING.
    """
    there = {mailbox_of(booking.visitor.email), mailbox_of(booking.host.email)}
    known = {person.email: person for person in booking.attendees[1:]}
    new = {one.email: one for one in added}
    people = [booking.visitor]
    for guest in dict.fromkeys([*guests, *new]):
        if mailbox_of(guest) not in there:
            zone, name = booking.visitor.time_zone, guest
            if guest in new:
                zone, name = new[guest].time_zone or zone, new[guest].name or name
            person = known.get(guest) or _attendee(0, name, guest, zone)
            person.position = len(people)
            people.append(person)
    if len(people) > GUESTS_PER_BOOKING + 1:
        problem = f"You can invite up to {GUESTS_PER_BOOKING} guests."
        raise Invalid(problem, guests=problem)
    booking.attendees = people


def searchable(booking: Booking) -> str:
    """Return what a search finds a booking by: people, title, uid, and the values of its metadata.

    Lower-cased here, since SQLite's own lower() knows ASCII alone and its JSON is escaped text.
    """
    people = [
        text
        for person in booking.attendees
        for text in (person.name, person.email, *filter(None, (person.phone,)))
    ]
    return "\n".join((*people, booking.title, booking.uid, *booking.link_metadata.values())).lower()


def write(session: Session, booking: Booking) -> None:
    """Write a new booking with its attendees."""
    insert(session, booking)
    for person in booking.attendees:
        person.booking_id = booking.id
        insert(session, person)
    session.add(booking)


def _attendee(position: int, name: str, email: str, zone: str, phone: str = "") -> Attendee:
    values = {"name": name[:200], "email": email, "time_zone": zone, "phone": phone}
    return Attendee(position=position, no_show=False, **values)


def successor(booking: Booking, start: datetime, zone: str, metadata: Metadata) -> Booking:
    """Make the booking that takes another's place; metadata that is verified stays as it was signed.

    A meeting link of its own has the new uid, too.
    """
    uid = secrets.token_urlsafe(16)
    left_out = [*booking.metadata_left_out, *metadata.left_out]
    tracking = {**metadata.tracking, **booking.tracking}
    if booking.metadata_verified:
        new = (key for key in metadata.values if key not in booking.link_metadata)
        left_out += [f"metadata[{key}]: {SEALED}" for key in new]
        metadata = NO_METADATA
    moved = Booking(
        uid=uid,
        chain=booking.chain,
        sequence=booking.sequence,
        ical_sequence=booking.ical_sequence + 1,
        host=booking.host,
        host_id=booking.host_id,
        event_type=booking.event_type,
        event_type_id=booking.event_type_id,
        title=booking.title,
        starts_at=start,
        ends_at=start + timedelta(minutes=booking.minutes),
        time_zone=zone,
        location=booking.location.replace(booking.uid, uid),
        notes=booking.notes,
        answers=dict(booking.answers),
        link_metadata=merged(booking.link_metadata, metadata.values),
        metadata_left_out=left_out[:MAX_LEFT_OUT],
        metadata_verified=booking.metadata_verified,
        tracking=tracking,
        rescheduled_from=booking,
        rescheduled_from_id=booking.id,
        address_key=booking.address_key,
        email_key=booking.email_key,
    )
    for person in booking.attendees:
        own = zone if person.time_zone == booking.time_zone else person.time_zone
        copied = _attendee(person.position, person.name, person.email, own, person.phone)
        copied.twelve_hours = person.twelve_hours
        moved.attendees.append(copied)
    moved.search = searchable(moved)
    return moved
