"""What the emails about a booking say to visitor, guests and host, and who gets which."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from sqlalchemy.orm import Session

from calapp.accounts.service import link_keys
from calapp.bookings import metadata
from calapp.bookings.answers import spoken_answer
from calapp.bookings.calendar import invitation
from calapp.bookings.models import Status
from calapp.bookings.payload import Facts, Participant
from calapp.clock import now
from calapp.config import settings
from calapp.errors import KeyDoesNotFit
from calapp.local_time import spoken_time, twelve_hours_in
from calapp.mail import Email
from calapp.text import clean, line

log = logging.getLogger(__name__)

# What happened, as the subject says it to the visitor and to the host.
SUBJECTS = {
    "created": ("Booked: {title}", "New booking: {title}"),
    "requested": ("Waiting for confirmation: {title}", "Please confirm: {title}"),
    "confirmed": ("Confirmed: {title}", "You confirmed: {title}"),
    "rejected": ("Declined: {title}", "Declined: {title}"),
    "unanswered": ("Not confirmed in time: {title}", "Not confirmed in time: {title}"),
    "rescheduled": ("Moved: {title}", "Moved: {title}"),
    "updated": ("Updated: {title}", "Updated: {title}"),
    "cancelled": ("Cancelled: {title}", "Cancelled: {title}"),
    "to_reschedule": ("Please choose another time: {title}", "You asked for another time: {title}"),
}

DAYS_TO_CHOOSE = 30  # that the link to another time proves its metadata
Invitations = dict[bool, tuple[str, str]]  # a booking's .ics and method, for guests and for all others
PARKED = (
    "\nThe emails to the visitor and the guests are waiting for you, because visitors have triggered many "
    "emails. You can send or discard them on the Bookings page.\n"
)


@dataclass(frozen=True)
class Reader:
    """Whom an email goes to: zone and clock, the subject, who gets the reply, and the page that it links to.

    A guest never asked to be written to, so a guest reads nothing that the visitor typed but a name.
    """

    email: str
    zone: str
    twelve: bool  # hours
    subject: str
    reply_to: str
    page: str
    guest: bool = False


def composed(session: Session, booking: Facts, kind: str, *, parked: bool = False) -> list[Email]:
    """Compose the emails about what has happened to a booking; `kind` is a key of SUBJECTS.

    Those to visitor and guests are `parked` when a host's visitors have caused too many; the host's says so.
    Nobody has checked that the visitor's address is the visitor's own, so no subject but the host's has a
    word that the visitor typed.
    """
    for_visitor, for_host = SUBJECTS[kind]
    again = _asked_for_another_time(session, booking) if kind == "to_reschedule" else ""
    made: Invitations = {}
    emails = _to_people(booking, for_visitor.format(title=booking.public_title), made, again)
    for one in emails:
        one.parked_at = now() if parked else None
    host, subject = booking.host, for_host.format(title=booking.title)
    to_host = Reader(host.email, host.time_zone, _twelve(host), subject, booking.visitor.email, "bookings")
    for_host_alone = _composed(booking, to_host, made, PARKED if parked else "")
    return [*emails, for_host_alone] if for_host_alone else emails


def reminders(booking: Facts) -> list[Email]:
    """Compose a reminder to visitor and guests, which is not sent once the meeting has started."""
    emails = _to_people(booking, f"Reminder: {booking.public_title}", {})
    for one in emails:
        one.calendar = one.calendar_method = None  # everyone has it
        one.expires_at = booking.starts_at
    return emails


def withdrawals(booking: Facts, people: Sequence[Participant]) -> list[Email]:
    """Compose emails to guests who were removed, so that it leaves their calendars."""
    ics, method = invitation(booking, settings().base_url, for_guest=True, withdrawn=True)
    when = (booking.starts_at, booking.ends_at)
    return [
        Email(
            recipient=one.email,
            reply_to=booking.host.email,
            subject=line(f"No longer invited: {booking.public_title}")[:300],
            body=clean(
                f"You are no longer invited to {booking.public_title}.\n\n"
                f"When: {spoken_time(*when, one.time_zone, _twelve(one))}\n"
            ),
            calendar=ics,
            calendar_method=method,
        )
        for one in people
    ]


def _asked_for_another_time(session: Session, booking: Facts) -> str:
    """Return the note with the link by which the visitor books again, with what the first link said.

    Metadata that was verified is signed again, but not for ever: whoever gets the email can use the link.
    """
    visitor, event_type = booking.visitor, booking.event_type
    words, said = "Choose another time", metadata.signed_query(booking.link_metadata)
    if booking.metadata_verified and link_keys(session, event_type.user_id):
        exp = f"{(now() + timedelta(days=DAYS_TO_CHOOSE)).timestamp():.0f}"
        try:
            signed = metadata.signed_link(session, event_type, booking.link_metadata, exp)
        except KeyDoesNotFit:
            log.exception("The link for another time of booking %s could not be signed", booking.uid)
        else:
            words, said = f"{words} within {DAYS_TO_CHOOSE} days", signed.partition("?")[2]
    person = urlencode([("name", visitor.name), ("email", visitor.email)])
    path = f"{settings().base_url}/{metadata.signed_path(event_type)}"
    return f"\n{words}: {path}?{'&'.join(filter(None, (person, said)))}\n"


def _to_people(booking: Facts, subject: str, made: Invitations, for_visitor: str = "") -> list[Email]:
    """Compose the emails to visitor and guests; `for_visitor` is a note that guests do not get."""
    readers = [
        Reader(
            one.email,
            one.time_zone,
            _twelve(one),
            subject,
            booking.host.email,
            "booking",
            guest=one.position > 0,
        )
        for one in booking.attendees
    ]
    composed = (_composed(booking, reader, made, "" if reader.guest else for_visitor) for reader in readers)
    return [email for email in composed if email]


def _twelve(person: Participant) -> bool:
    known = person.twelve_hours
    return twelve_hours_in(person.time_zone) if known is None else known


def _composed(booking: Facts, reader: Reader, made: Invitations, note: str = "") -> Email | None:
    """Compose an email, which may not fail the booking: what goes wrong is for the operator's log."""
    try:
        return _email(booking, reader, made, note)
    except Exception:
        log.exception("An email about booking %s could not be composed", booking.uid)
        return None


def _email(booking: Facts, reader: Reader, made: Invitations, note: str) -> Email:
    base = settings().base_url
    if reader.guest not in made:
        made[reader.guest] = invitation(booking, base, for_guest=reader.guest)
    ics, method = made[reader.guest]
    return Email(
        recipient=reader.email,
        reply_to=reader.reply_to,
        subject=line(reader.subject)[:300],
        body=clean(_text(booking, reader, f"{base}/{reader.page}/{booking.uid}") + note),
        calendar=ics,
        calendar_method=method,
    )


def _text(booking: Facts, reader: Reader, link: str) -> str:
    """Return an email's text, its times in the reader's zone, which is named, on its clocks."""
    zone, twelve = reader.zone, reader.twelve
    people = ", ".join(f"{line(person.name)} <{person.email}>" for person in booking.attendees)
    lines = [
        booking.public_title if reader.guest else booking.title,
        "",
        f"When: {spoken_time(booking.starts_at, booking.ends_at, zone, twelve)}",
        f"Who: {booking.host.name} <{booking.host.email}>, {people}",
    ]
    previous = booking.rescheduled_from
    if previous is not None:
        lines.append(f"Previously: {spoken_time(previous.starts_at, previous.ends_at, zone, twelve)}")
        if not reader.guest or previous.rescheduled_by == booking.host.email:
            lines.extend(_line("Reason for rescheduling", previous.rescheduling_reason))
    lines.extend(_line("Where", booking.public_location if reader.guest else booking.location))
    if not reader.guest:
        if booking.visitor.phone != booking.location:
            lines.extend(_line("Phone", booking.visitor.phone))
        lines.extend(_line("Notes", booking.notes))
        for answer in booking.answers.values():
            lines.extend(_line(answer["label"], spoken_answer(answer["value"])))
    if not reader.guest or booking.cancelled_by == booking.host.email:
        lines.extend(_line("Reason for cancelling", booking.cancellation_reason))
    if booking.unanswered:
        lines.append("It was not confirmed before its start time, so it will not take place.")
    else:
        lines.extend(_line("Reason", booking.rejection_reason))
    active = booking.current_status in {Status.PENDING, Status.ACCEPTED}
    return "\n".join([*lines, "", f"{'View, reschedule or cancel' if active else 'View'}: {link}", ""])


def _line(label: str, text: str | None) -> list[str]:
    return [f"{line(label)}: {text}"] if text else []
