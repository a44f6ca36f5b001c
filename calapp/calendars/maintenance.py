"""Reading calendars in the maintenance process, each in a thread of its own that keeps nothing waiting.

Whoever looks for times asks for fresh copies, after the response, since no page waits for it.
"""

import logging
import threading

from flask import Flask, Response, current_app
from sqlalchemy.exc import DBAPIError

from calapp.accounts.models import User
from calapp.broker import wake_maintenance
from calapp.calendars import service
from calapp.calendars.fetch import Unreadable
from calapp.calendars.models import ExternalCalendar
from calapp.calendars.reading import ReadOutcome, read
from calapp.db import after_commit, db, transaction
from calapp.errors import Busy, KeyDoesNotFit
from calapp.shutdown import stop_requested
from calapp.statements import Plain

# Whether there is anything for `service.claim_due`.
CALENDARS_DUE = Plain(
    "SELECT 1 FROM external_calendar WHERE due_at <= :now AND blocks ORDER BY due_at LIMIT 1",
    """SELECT 1 FROM external_calendar WHERE due_at <= (SELECT clock_timestamp()) AND blocks
  ORDER BY due_at LIMIT 1""",
)
AT_ONCE = 8  # calendars; one that hangs holds a place for 15 s

log = logging.getLogger(__name__)


class CalendarReaders:
    """The threads that read calendars, at most AT_ONCE of them."""

    def __init__(self) -> None:
        self.running: set[threading.Thread] = set()

    def read_due(self) -> None:
        """Start a thread for each calendar that is due, as far as there are places; wait for none."""
        self.running = {one for one in self.running if one.is_alive()}
        room = AT_ONCE - len(self.running)
        if room <= 0:
            return
        with transaction() as session:
            calendar_ids = service.claim_due(session, room)
        app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 (for threads)
        for calendar_id in calendar_ids:
            thread = threading.Thread(target=_read_in, args=(app, calendar_id), daemon=True)
            thread.start()
            self.running.add(thread)


def _read_in(app: Flask, calendar_id: int) -> None:
    with app.app_context():
        try:
            read_calendar(calendar_id)
        except (DBAPIError, Busy) as error:  # it is due again when its lease ends
            log.warning("What was read of a calendar is not stored: %s", type(error).__name__)
        except Exception:
            log.exception("Reading calendar %s failed", calendar_id)


def read_calendar(calendar_id: int) -> None:
    """Read a claimed calendar and store what came of it, unless it was changed meanwhile."""
    session = db.session()
    calendar = session.get(ExternalCalendar, calendar_id)
    if calendar is None:
        return
    attempted_at = calendar.attempted_at
    viewer = service.viewer_of(session, session.get_one(User, calendar.user_id))
    outcome: ReadOutcome | Unreadable
    try:
        source, content_hash = service.source_of(session, calendar, viewer)
        session.rollback()  # nothing may stay open while the network is awaited
        outcome = read(source, viewer, content_hash)
    except KeyDoesNotFit:
        words = "The server can no longer read the address of this calendar. Enter it again."
        outcome = Unreadable("secret_unreadable", words)
    except Unreadable as error:
        outcome = error
    if stop_requested():
        return  # broken off, which is no fault of the calendar
    with transaction() as writing:
        calendar = writing.get(ExternalCalendar, calendar_id, populate_existing=True, with_for_update=True)
        if calendar is None or calendar.attempted_at != attempted_at:
            return
        host = {"calendar": calendar.id, "place": calendar.place}
        if isinstance(outcome, Unreadable):
            service.fail(writing, calendar, outcome)
            log.warning("A calendar cannot be read", extra={"said": {**host, "reason": outcome.code}})
            return
        service.store(writing, calendar, outcome)
        if outcome.times is not None:
            log.info("A calendar was read", extra={"said": {**host, "times": len(outcome.times)}})


def freshen_after(response: Response, host_id: int) -> Response:
    """Have a host's calendars read soon after this response, where their copies are not fresh."""
    if not service.could_be_fresher(db.session(), host_id):
        return response
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 (for later)

    def ask() -> None:
        with app.app_context():
            try:
                with transaction() as session:
                    if service.freshen(session, host_id):
                        after_commit(session, "wake maintenance", wake_maintenance)
            except (DBAPIError, Busy) as error:  # they are read anyway, some minutes later
                log.debug("Nobody was asked for fresh calendars: %s", type(error).__name__)

    response.call_on_close(ask)
    return response
