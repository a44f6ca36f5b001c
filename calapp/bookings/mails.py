"""Mails about a booking to visitor, guests and host, written in the transaction of what they tell."""

import logging
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.bookings.calendar import invitation
from calapp.bookings.models import Booking, Status
from calapp.config import settings
from calapp.local_time import spoken_time
from calapp.mail import Mail, post

log = logging.getLogger(__name__)

# What happened, as the subject says it to the visitor and to the host.
SUBJECTS = {
    "created": ("Booked: {title}", "New booking: {title}"),
    "requested": ("Waiting for confirmation: {title}", "Please confirm: {title}"),
    "confirmed": ("Confirmed: {title}", "You confirmed: {title}"),
    "rejected": ("Not possible: {title}", "You turned down: {title}"),
    "unanswered": ("Not answered in time: {title}", "Not answered in time: {title}"),
    "rescheduled": ("Moved: {title}", "Moved: {title}"),
    "cancelled": ("Cancelled: {title}", "Cancelled: {title}"),
}


@dataclass(frozen=True)
class Reader:
    """Whom a mail goes to: their zone, the subject, who gets the answer, and the page that it links to."""

    email: str
    zone: str
    subject: str
    answers_to: str
    page: str


def write(session: Session, booking: Booking, kind: str) -> None:
    """Write the mails of what has just happened to a booking; `kind` is a key of SUBJECTS."""
    session.flush()  # gives the booking its id and its dates, which the calendar file carries
    for_visitor, for_host = SUBJECTS[kind]
    host, people = booking.host, booking.attendees
    readers = [Reader(one.email, one.time_zone, for_visitor, host.email, "booking") for one in people]
    readers.append(Reader(host.email, host.time_zone, for_host, booking.visitor.email, "bookings"))
    post(session, [mail for reader in readers if (mail := _composed(booking, reader))])


def _composed(booking: Booking, reader: Reader) -> Mail | None:
    """Compose a mail, which may not fail the booking: what goes wrong is for the operator's log."""
    try:
        return _mail(booking, reader)
    except Exception:
        log.exception("A mail about booking %s could not be composed", booking.uid)
        return None


def _mail(booking: Booking, reader: Reader) -> Mail:
    base = settings().base_url
    ics, method = invitation(booking, base)
    return Mail(
        user_id=booking.host_id,
        about=booking.uid,
        recipient=reader.email,
        reply_to=reader.answers_to,
        subject=" ".join(reader.subject.format(title=booking.title).split())[:300],
        body=_text(booking, reader.zone, f"{base}/{reader.page}/{booking.uid}"),
        calendar=ics,
        calendar_method=method,
    )


def _text(booking: Booking, zone: str, link: str) -> str:
    """Return a mail's text, its times in the reader's zone with the zone named."""
    people = ", ".join(f"{person.name} <{person.email}>" for person in booking.attendees)
    lines = [
        booking.title,
        "",
        f"When: {spoken_time(booking.starts_at, booking.ends_at, zone)}",
        f"Who: {booking.host.name} <{booking.host.email}>, {people}",
    ]
    former = booking.rescheduled_from
    if former is not None:
        lines.append(f"Before: {spoken_time(former.starts_at, former.ends_at, zone)}")
        lines.extend(_line("Why it was moved", former.rescheduling_reason))
    lines.extend(_line("Where", booking.location))
    lines.extend(_line("Notes", booking.notes))
    for answer in booking.answers.values():
        lines.extend(_line(answer["label"], _said(answer["value"])))
    lines.extend(_line("Why it was cancelled", booking.cancellation_reason))
    if booking.unanswered:
        lines.append("It was not confirmed before it was to start, so it does not take place.")
    else:
        lines.extend(_line("Why it was turned down", booking.rejection_reason))
    active = booking.current_status in {Status.PENDING, Status.ACCEPTED}
    return "\n".join([*lines, "", f"{'Look, move or cancel' if active else 'Look'}: {link}", ""])


def _said(answer: object) -> str:
    """Return an answer to a question as people read it."""
    if isinstance(answer, bool):
        return "Yes" if answer else "No"
    return str(answer)


def _line(label: str, text: str | None) -> list[str]:
    return [f"{label}: {text}"] if text else []


def of_chain(session: Session, booking: Booking) -> list[Mail]:
    """Return the mails about a booking and those it was moved from or to, newest first, sent or kept."""
    chain = select(Booking.uid).where(Booking.chain == booking.chain)
    return list(session.scalars(select(Mail).where(Mail.about.in_(chain)).order_by(Mail.id.desc())))
