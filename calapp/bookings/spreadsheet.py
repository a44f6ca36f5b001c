"""A list of bookings as CSV (RFC 4180), for spreadsheets."""

import csv
import io
import json
from collections.abc import Iterable

from calapp.bookings.models import Booking
from calapp.local_time import zone_of

MOST = 10_000  # bookings of one file, a second's work
# What spreadsheets take for the beginning of a formula (OWASP, CSV injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
COLUMNS = (
    "Start", "End", "Time zone", "Event type", "Title", "Status", "Name", "Email", "Phone", "Guests",
    "Visitor's time zone", "Location", "Notes", "Answers", "Metadata", "Reason", "Uid",
)  # fmt: skip


def csv_of(bookings: Iterable[Booking], zone: str) -> str:
    """Return bookings as CSV with a heading; times are `2027-03-29 10:00` in `zone`.

    It begins with a byte order mark, without which Excel takes UTF-8 for the system's own encoding. A cell
    that a spreadsheet would take for a formula begins with an apostrophe: visitors write names and notes.
    """
    file = io.StringIO()
    file.write("\ufeff")
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    local = zone_of(zone)
    for booking in bookings:
        visitor = booking.visitor
        answers = [f"{answer['label']}: {_answer(answer['value'])}" for answer in booking.answers.values()]
        guests = [f"{one.name} <{one.email}>" for one in booking.attendees[1:]]
        row = (
            f"{booking.starts_at.astimezone(local):%Y-%m-%d %H:%M}",
            f"{booking.ends_at.astimezone(local):%Y-%m-%d %H:%M}",
            local.key,
            booking.event_type.title,
            booking.title,
            "no response in time" if booking.unanswered else str(booking.status),
            visitor.name,
            visitor.email,
            visitor.phone,
            ", ".join(guests),
            booking.time_zone,
            booking.location,
            booking.notes,
            "\n".join(answers),
            json.dumps(booking.link_metadata, ensure_ascii=False) if booking.link_metadata else "",
            booking.cancellation_reason or booking.rejection_reason or "",
            booking.uid,
        )
        writer.writerow([f"'{cell}" if cell.startswith(FORMULA) else cell for cell in row])
    return file.getvalue()


def _answer(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(str(one) for one in value) if isinstance(value, list) else str(value or "")
