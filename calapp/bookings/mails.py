"""Mails about a booking to visitor, guests and host, written in the transaction of what they tell."""

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.bookings.calendar import invitation
from calapp.bookings.models import Booking
from calapp.broker import nudge
from calapp.clock import now
from calapp.config import settings
from calapp.db import after_commit
from calapp.mail import Mail

# What happened, as the subject says it to the visitor and to the host.
SUBJECTS = {
    "created": ("Booked: {title}", "New booking: {title}"),
    "requested": ("Waiting for confirmation: {title}", "Please confirm: {title}"),
    "confirmed": ("Confirmed: {title}", "You confirmed: {title}"),
    "rejected": ("Not possible: {title}", "You turned down: {title}"),
    "rescheduled": ("Moved: {title}", "Moved: {title}"),
    "cancelled": ("Cancelled: {title}", "Cancelled: {title}"),
}


def write(session: Session, booking: Booking, kind: str) -> None:
    """Write the mails of what has just happened to a booking; `kind` is a key of SUBJECTS."""
    session.flush()
    for_visitor, for_host = SUBJECTS[kind]
    ics, method = invitation(booking, settings().base_url)
    host = booking.host
    readers = [(person.email, person.time_zone, for_visitor) for person in booking.attendees]
    for email, zone, subject in [*readers, (host.email, host.time_zone, for_host)]:
        session.add(
            Mail(
                user_id=host.id,
                about=booking.uid,
                recipient=email,
                subject=" ".join(subject.format(title=booking.title).split())[:300],
                body=_text(booking, zone),
                calendar=ics,
                calendar_method=method,
                due_at=now() if settings().smtp_url else None,
            )
        )
    if settings().smtp_url:
        after_commit(session, "nudge chores", lambda: nudge("chores"))


def _text(booking: Booking, zone: str) -> str:
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
    lines.extend(_line("Why it was cancelled", booking.cancellation_reason))
    lines.extend(_line("Why it was turned down", booking.rejection_reason))
    return "\n".join([*lines, "", f"Look, move or cancel: {settings().base_url}/booking/{booking.uid}", ""])


def _line(label: str, text: str | None) -> list[str]:
    return [f"{label}: {text}"] if text else []


def spoken_time(start: datetime, end: datetime, zone: str) -> str:
    """Return a time as people read it: Monday, 4 January 2027, 10:00 – 10:15 (Europe/Berlin)."""
    local, until = start.astimezone(ZoneInfo(zone)), end.astimezone(ZoneInfo(zone))
    return f"{local:%A}, {local.day} {local:%B %Y, %H:%M} – {until:%H:%M} ({zone})"


def of_booking(session: Session, booking: Booking) -> list[Mail]:
    """Return the mails about a booking, newest first, sent or kept."""
    return list(session.scalars(select(Mail).where(Mail.about == booking.uid).order_by(Mail.id.desc())))
