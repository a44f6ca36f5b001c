"""What a host changes: place, notes, who takes part and who did not come; and all bookings of a visitor."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from calapp.accounts.service import lock_user
from calapp.bookings import copies, emails
from calapp.bookings.models import Attendee, Booking, Status
from calapp.bookings.payload import no_show, updated
from calapp.bookings.rows import invite, searchable
from calapp.bookings.schemas import Guest
from calapp.bookings.service import cancel, check_in_time, record_event, too_late
from calapp.bookings.times import ACTIVE
from calapp.bookings.visitors import mailbox_of, upcoming_of_visitor
from calapp.clock import now
from calapp.errors import Conflict, Invalid, NotFound
from calapp.webhooks.models import Trigger

CANCEL_STEP = 20  # bookings that one transaction cancels, so that it holds SQLite's writer for no long time


def change(session: Session, booking: Booking, wanted: Mapping[str, Any]) -> None:
    """Change a booking's `location`, `guests` (email addresses) and `notes` for the host.

    `added` are people who come as guests besides those who do, up to GUESTS_PER_BOOKING in all. Nothing
    happens when all is so already. Raises Conflict when the booking is not active or has ended.
    """
    host = lock_user(session, booking.host_id)
    session.refresh(booking)
    check_in_time(booking)
    if booking.status not in ACTIVE:
        raise Conflict(too_late(booking))
    if booking.ends_at <= now():
        raise Conflict("This meeting is over and can no longer be changed.")
    before, gone = _changeable(booking), {person.email: person for person in booking.attendees[1:]}
    if "guests" in wanted:
        invite(booking, wanted["guests"])
    if "added" in wanted:
        invite(booking, [person.email for person in booking.attendees[1:]], wanted["added"])
    for name in wanted.keys() - {"guests", "added"}:
        setattr(booking, name, wanted[name])
    after = _changeable(booking)
    changes = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    if not changes:
        return
    booking.search = searchable(booking)
    booking.ical_sequence += 1
    event = record_event(session, host, booking, Trigger.BOOKING_UPDATED, added=updated(changes))
    removed = [person for email, person in gone.items() if email not in after["guests"]]
    emails.note(session, booking, event, "updated", removed=removed)
    copies.touch(session, booking)


def attendee_of(booking: Booking, attendee_id: int) -> Attendee:
    """Return who takes part in a booking by their id; raise NotFound."""
    found = next((one for one in booking.attendees if one.id == attendee_id), None)
    if found is None:
        raise NotFound
    return found


def add_attendee(session: Session, booking: Booking, person: Guest) -> Attendee:
    """Add a guest with a name and a zone; raise Conflict for who comes anyway, and as `change` does."""
    lock_user(session, booking.host_id)
    session.refresh(booking)
    there = {mailbox_of(one) for one in (booking.host.email, *(each.email for each in booking.attendees))}
    if mailbox_of(person.email) in there:
        raise Conflict("This person already takes part in this booking.")
    change(session, booking, {"added": [person]})
    session.flush()
    return booking.attendees[-1]


def remove_attendee(session: Session, booking: Booking, attendee_id: int) -> None:
    """Take a guest out; raise NotFound, Conflict for the visitor, and as `change` does."""
    lock_user(session, booking.host_id)
    session.refresh(booking)
    person = attendee_of(booking, attendee_id)
    if person is booking.visitor:
        raise Conflict("The person who booked cannot be removed. Cancel the booking instead.")
    change(session, booking, {"guests": [one.email for one in booking.attendees[1:] if one is not person]})


def _changeable(booking: Booking) -> dict[str, Any]:
    guests = [person.email for person in booking.attendees[1:]]
    return {"location": booking.location, "guests": guests, "notes": booking.notes}


def mark_no_show(session: Session, booking: Booking, email: str, *, absent: bool) -> None:
    """Mark an attendee as absent, or take it back; nothing happens when it is so already.

    Raises Conflict before the start or when the booking is not accepted, Invalid for an unknown attendee.
    """
    host = lock_user(session, booking.host_id)
    session.refresh(booking)
    if booking.status != Status.ACCEPTED or booking.starts_at > now():
        raise Conflict("No-shows can only be marked after the meeting has started.")
    people = [person for person in booking.attendees if person.email.lower() == email.lower()]
    if not people:
        problem = "No attendee of this booking has this email address."
        raise Invalid(problem, attendee=problem)
    if people[0].no_show == absent:
        return
    people[0].no_show = absent
    record_event(session, host, booking, Trigger.BOOKING_NO_SHOW_UPDATED, added=no_show(booking, people[0]))


def cancel_all_of_visitor(
    session: Session, booking: Booking, *, reason: str, by_email_only: bool = False
) -> tuple[int, int]:
    """Cancel for the host a step of the upcoming bookings of whoever made one.

    Returns how many it was, and how many are left.
    """
    lock_user(session, booking.host_id)
    upcoming = upcoming_of_visitor(session, booking, by_email_only=by_email_only)
    for one in upcoming[:CANCEL_STEP]:
        cancel(session, one, by=booking.host.email, reason=reason)
    return len(upcoming[:CANCEL_STEP]), len(upcoming[CANCEL_STEP:])
