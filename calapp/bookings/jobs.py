"""What the worker's sweep does for bookings: tells that meetings start and end, on time."""

from calapp.bookings import service
from calapp.db import db, transaction


def tell_meetings() -> None:
    """Write MEETING_STARTED and MEETING_ENDED of what has begun or ended, each in its own transaction."""
    session = db.session()
    due = service.due_meetings(session)
    session.rollback()  # ends the read
    for booking_id in due:
        with transaction() as session:
            service.tell_meeting(session, booking_id)
