"""What the worker's sweep does for bookings: tells that meetings start and end, on time."""

from collections.abc import Collection, Sequence

from sqlalchemy.exc import DBAPIError

from calapp.bookings import service
from calapp.db import db, transaction
from calapp.errors import Busy
from calapp.shutdown import stop_requested

AT_ONCE = 100  # bookings of one look


def tell_meetings() -> None:
    """Write MEETING_STARTED and MEETING_ENDED of what has begun or ended, each in its own transaction.

    A booking that cannot be told holds no other up: what it raised is raised when they are told.
    """
    failures: dict[int, Exception] = {}
    while (due := _due(failures)) and not stop_requested():
        for booking_id in due:
            try:
                _tell(booking_id)
            except (DBAPIError, Busy):
                raise  # the database is away; the others would wait for it in vain
            except Exception as error:  # noqa: BLE001 (raised below)
                failures[booking_id] = error
    for failure in failures.values():
        raise failure


def _tell(booking_id: int) -> None:
    with transaction() as session:
        service.tell_meeting(session, booking_id)


def _due(failed: Collection[int]) -> Sequence[int]:
    session = db.session()
    due = service.due_meetings(session, AT_ONCE + len(failed))
    session.rollback()  # ends the read
    return [booking_id for booking_id in due if booking_id not in failed]
