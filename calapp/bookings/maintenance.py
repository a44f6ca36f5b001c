"""What the worker does for bookings: record that meetings start and end, on time."""

from sqlalchemy.exc import DBAPIError

from calapp.bookings import service
from calapp.db import db, transaction
from calapp.errors import Busy
from calapp.shutdown import stop_requested

AT_ONCE = 100  # bookings that one query finds


def record_meetings() -> None:
    """Write MEETING_STARTED and MEETING_ENDED of what has begun or ended, each in its own transaction.

    A booking that fails holds no other up: what it raised is raised after them.
    """
    failures: dict[int, Exception] = {}
    while not stop_requested():
        reading = db.session()
        found = service.due_meetings(reading, AT_ONCE + len(failures))
        reading.rollback()  # ends the read
        due = [booking_id for booking_id in found if booking_id not in failures]
        if not due:
            break
        for booking_id in due:
            try:
                with transaction() as session:
                    service.record_meeting(session, booking_id)
            except (DBAPIError, Busy):
                raise  # the database is away; the others would wait for it in vain
            except Exception as error:  # noqa: BLE001 (raised below)
                failures[booking_id] = error
    for failure in failures.values():
        raise failure
