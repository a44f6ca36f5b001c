"""What the worker does for bookings: record that meetings start and end, on time."""

from datetime import timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from calapp.accounts.service import lock_user
from calapp.bookings import emails
from calapp.bookings.models import UNANSWERED, Booking, Status
from calapp.bookings.payload import reminder
from calapp.bookings.service import change_status, record_event, write_rejection
from calapp.clock import now
from calapp.db import db, transaction
from calapp.errors import Busy
from calapp.shutdown import stop_requested
from calapp.statements import Plain
from calapp.webhooks.models import Trigger

AT_ONCE = 100  # bookings that one query finds
# How long after the start a visitor is written to that nobody answered: a worker that was down for a weekend
# still does, an upgrade that finds requests of last year writes to nobody.
EMAIL_UNANSWERED_FOR = timedelta(days=7)
MEETING_ENDED_EXPIRES = timedelta(days=1)  # after its end, MEETING_ENDED is no news any more

# Whether anything of `due_meetings` is due.
MEETINGS_DUE = Plain("""SELECT 1 WHERE
  (SELECT 1 FROM booking WHERE status = 'accepted' AND reminder_at <= :now
    ORDER BY reminder_at LIMIT 1) IS NOT NULL
  OR (SELECT 1 FROM booking WHERE status = 'accepted' AND started_at IS NULL AND starts_at <= :now
    ORDER BY starts_at LIMIT 1) IS NOT NULL
  OR (SELECT 1 FROM booking WHERE status = 'accepted' AND ended_at IS NULL AND ends_at <= :now
    ORDER BY ends_at LIMIT 1) IS NOT NULL
  OR (SELECT 1 FROM booking WHERE status = 'pending' AND starts_at <= :now
    ORDER BY starts_at LIMIT 1) IS NOT NULL""")


def record_meetings() -> None:
    """Write MEETING_STARTED and MEETING_ENDED of what has begun or ended, each in its own transaction.

    A booking that fails holds no other up: what it raised is raised after them.
    """
    failures: dict[int, Exception] = {}
    while not stop_requested():
        reading = db.session()
        found = due_meetings(reading, AT_ONCE + len(failures))
        reading.rollback()  # ends the read
        due = [booking_id for booking_id in found if booking_id not in failures]
        if not due:
            break
        for booking_id in due:
            try:
                with transaction() as session:
                    record_meeting(session, booking_id)
            except (DBAPIError, Busy):
                raise  # the database is away; the others would wait for it in vain
            except Exception as error:  # noqa: BLE001 (raised below)
                failures[booking_id] = error
    for failure in failures.values():
        raise failure


def due_meetings(session: Session, limit: int) -> list[int]:
    """Return the ids of bookings of which something is due and not recorded yet, the oldest first.

    A reminder, the start, the end, or the start of one that is still waiting for confirmation.
    """
    accepted = Booking.status == Status.ACCEPTED
    due = (
        (Booking.reminder_at, accepted),
        (Booking.starts_at, accepted, Booking.started_at.is_(None)),
        (Booking.ends_at, accepted, Booking.ended_at.is_(None)),
        (Booking.starts_at, Booking.status == Status.PENDING),
    )
    found: dict[int, None] = {}
    for moment, *conditions in due:
        query = select(Booking.id).where(*conditions, moment <= now()).order_by(moment).limit(limit)
        found |= dict.fromkeys(session.scalars(query))
    return list(found)


def record_meeting(session: Session, booking_id: int) -> None:
    """Write what the clock did to a booking, once, however many workers ask.

    Reminders, MEETING_STARTED and MEETING_ENDED of an accepted one; a pending one whose start has passed is
    rejected.
    """
    booking = session.get_one(Booking, booking_id)
    host = lock_user(session, booking.host_id)
    session.refresh(booking)
    event = None
    for before in _take_due(booking):
        event = record_event(
            session,
            host,
            booking,
            Trigger.BOOKING_REMINDER,
            added=reminder(before),
            expires_at=booking.starts_at,
        )
    if event is not None:
        emails.note(session, booking, event, emails.REMINDER)
    if _stamp(session, booking, Booking.unanswered_at, Booking.starts_at, of=Status.PENDING):
        change_status(session, booking, (Status.PENDING,), Status.REJECTED)
        lately = now() - booking.starts_at <= EMAIL_UNANSWERED_FOR
        write_rejection(session, host, booking, UNANSWERED, "unanswered" if lately else None)
    if _stamp(session, booking, Booking.started_at, Booking.starts_at):
        record_event(session, host, booking, Trigger.MEETING_STARTED, expires_at=booking.ends_at)
    if _stamp(session, booking, Booking.ended_at, Booking.ends_at):
        late = booking.ends_at + MEETING_ENDED_EXPIRES
        record_event(session, host, booking, Trigger.MEETING_ENDED, expires_at=late)


def _take_due(booking: Booking) -> list[int]:
    """Take the reminders that are due, and return them in minutes before the start, the earliest first.

    The caller holds the host's lock and has read the booking since, so each is taken once. Several are due
    after no worker ran for a while; none once the meeting has started, and none that the host has removed.
    """
    due_at, at = booking.reminder_at, now()
    if due_at is None or due_at > at or booking.status != Status.ACCEPTED:
        return []
    booking.reminder_at = booking.next_reminder()
    if booking.starts_at <= at:
        return []
    found = booking.event_type.reminders
    return [before for before in found if due_at <= booking.starts_at - timedelta(minutes=before) <= at]


def _stamp(
    session: Session, booking: Booking, stamp: Any, moment: Any, *, of: Status = Status.ACCEPTED
) -> bool:
    """Set started_at, ended_at or unanswered_at by a conditional update; return whether this call did."""
    changed = session.execute(
        update(Booking)
        .where(Booking.id == booking.id, Booking.status == of, stamp.is_(None), moment <= now())
        .values({stamp: now()})
        .execution_options(synchronize_session=False)
    )
    return bool(changed.rowcount == 1)  # type: ignore[attr-defined]
