"""The feed: every event of a host in the order of its number, for a reader that must miss none.

Summaries of a day say what happened in numbers and hashes, so that a receiver notices what it missed.
"""

import hashlib
import json
import re
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import case, select
from sqlalchemy.orm import Session

from calapp import limits
from calapp.accounts.models import User
from calapp.accounts.service import lock_user
from calapp.clock import iso_milliseconds
from calapp.config import WEB_THREADS, settings
from calapp.db import database_now, db, transaction
from calapp.deliveries import outbox
from calapp.deliveries.models import Event
from calapp.errors import CursorExpired, Invalid, NotFound
from calapp.local_time import zone_of
from calapp.shutdown import stop_requested
from calapp.webhooks.models import OPERATIONAL, Trigger

BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
LATEST = "latest"  # in place of a cursor: what has happened so far is left out
UNKNOWN = "Unknown cursor. If the server was restored from a backup, start again without `after`."
# The event's number, and letters of its id: so that after a restore from a back-up, where numbers are
# given out again, an old cursor is refused rather than skipping what has the same numbers now.
CURSOR = re.compile(r"(\d{1,18})(?:-([0-9a-f]{8}))?", re.ASCII)
NO_WEBHOOK = 0  # what it is about, so that it goes to every webhook of the host, whatever its event type
AFTER_MIDNIGHT = timedelta(minutes=5)
# A clock that was set back puts events out of the order of their numbers; by more than this it never was.
SLACK = timedelta(days=1)


@dataclass(frozen=True)
class FeedPage:
    """Events in order, the cursor to go on from, and whether there are more behind it already."""

    events: Sequence[Any]  # rows of number, uid, trigger, created_at, body
    next: str
    number: int  # that of `next`
    has_more: bool


def page(session: Session, user_id: int, after: str | None, take: int) -> FeedPage:
    """Return the events behind a cursor: without one from the oldest that is kept, with `latest` none.

    Raises Invalid for a cursor of another feed, CursorExpired when events behind it are no longer kept.
    """
    last = newest(session, user_id)
    number = _start(session, user_id, after, last)
    found = session.execute(
        select(Event.number, Event.uid, Event.trigger, Event.created_at, Event.body)
        .where(Event.user_id == user_id, Event.number > number)
        .order_by(Event.number)
        .limit(take + 1)
    ).all()
    rows = found[:take]
    removed = bool(rows) and rows[0].number > number + 1
    if rows and (removed or rows[0].created_at < kept_since(session)):
        oldest = _oldest_kept(session, user_id, last) - 1
        raise CursorExpired(oldest=cursor_at(session, user_id, oldest))
    number = rows[-1].number if rows else number
    return FeedPage(rows, cursor_at(session, user_id, number), number, len(found) > take)


def newest(session: Session, user_id: int) -> int:
    """Return the number of a host's latest event, 0 when there is none; raise NotFound."""
    number = session.scalar(select(User.last_event_number).where(User.id == user_id))
    if number is None:
        raise NotFound
    return number


def kept_since(session: Session) -> datetime:
    """Return the instant before which bodies are no longer kept, and the feed does not reach."""
    return database_now(session) - timedelta(days=settings().retention_days)


def cursor(number: int, uid: str) -> str:
    """Return the cursor of an event."""
    return f"{number}-{uid.removeprefix('evt_')[:8]}"


def _start(session: Session, user_id: int, after: str | None, last: int) -> int:
    """Return the number behind which to read."""
    if after is None:
        return _oldest_kept(session, user_id, last) - 1
    if after == LATEST:
        return last
    match = CURSOR.fullmatch(after)
    if match is None or int(match[1]) > last:
        raise Invalid(after=UNKNOWN)
    number = int(match[1])
    if match[2] and cursor_at(session, user_id, number) not in {after, match[1]}:
        raise Invalid(after=UNKNOWN)
    return number


def cursor_at(session: Session, user_id: int, number: int) -> str:
    """Return the cursor of a host's event with this number; 0 is in front of all.

    That of an event which has been removed is its number alone.
    """
    if number == 0:
        return "0"
    uid = session.scalar(select(Event.uid).where(Event.user_id == user_id, Event.number == number))
    return cursor(number, uid) if uid else str(number)


def _oldest_kept(session: Session, user_id: int, last: int) -> int:
    """Return the number of the first event that is kept."""
    return first_since(session, user_id, kept_since(session), last)


def first_since(session: Session, user_id: int, instant: datetime, last: int | None = None) -> int:
    """Return the number of a host's first event from an instant on; found by halving, however many there are.

    When there is none, it is the number after `last`, the latest. Events that were removed are older.
    """
    last = newest(session, user_id) if last is None else last
    created_at = select(Event.created_at).where(Event.user_id == user_id)
    return 1 + bisect_left(
        range(1, last + 1),
        instant,
        key=lambda number: session.scalar(created_at.where(Event.number == number)) or BEFORE_ALL,
    )


LOOK = 0.2  # seconds between looks, each the read of one row by its key
MOST_PER_HOST = 2


class Places:
    """Who may wait: each holds a thread of the web server, so there are few places, and two for a host."""

    def __init__(self, most: int, most_per_host: int, limit: str) -> None:
        self.limit = limit  # its name in the log
        self.most, self.most_per_host = most, most_per_host
        self._taken: Counter[int] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, host_id: int) -> Iterator[bool]:
        """Hold a place for a host, and return whether there was one."""
        with self._lock:
            free = self._taken.total() < self.most and self._taken[host_id] < self.most_per_host
            self._taken[host_id] += free
        if not free:
            limits.log_reached(self.limit, host_id)
        try:
            yield free
        finally:
            with self._lock:
                self._taken[host_id] -= free


places = Places(WEB_THREADS // 4, MOST_PER_HOST, "long polls")


def wait_for_news(session: Session, user_id: int, number: int, seconds: float) -> None:
    """Wait until a host has an event behind this number, for so long at most.

    Ends the session's read before each pause: nothing is held while waiting.
    """
    until = time.monotonic() + seconds
    while newest(session, user_id) <= number and not stop_requested():
        session.rollback()
        if (left := until - time.monotonic()) <= 0:
            return
        time.sleep(min(left, LOOK))


def bounds(day: date, zone: str) -> tuple[datetime, datetime]:
    """Return the instants at which a day begins and ends in a zone: 23 to 25 hours apart."""
    start, end = (
        datetime(at.year, at.month, at.day, tzinfo=zone_of(zone)) for at in (day, day + timedelta(days=1))
    )
    return start.astimezone(UTC), end.astimezone(UTC)


def summary_of(session: Session, user: User, day: date) -> dict[str, Any]:
    """Return what happened on a day in the host's zone, by event type and trigger, as the wire has it.

    `after` is the cursor from which the feed gives the day's events. Raises Invalid for a day that is not
    over.
    """
    start, end = bounds(day, user.time_zone)
    if end > database_now(session):
        raise Invalid(summary=f"This day is not over yet in {user.time_zone}.")
    found: dict[tuple[int, str], list[str]] = {}
    first = 0
    for row in _events(session, user.id, start, end):
        first = first or row.number
        # One that a version before the column wrote has it in its body, until that is erased.
        old = json.loads(row.old_body)["payload"].get("eventTypeId") if row.old_body else None
        event_type_id = row.event_type_id or (old if isinstance(old, int) else 0)
        found.setdefault((event_type_id, row.trigger), []).append(row.uid)
    before = first - 1 if first else first_since(session, user.id, end) - 1
    return {
        "date": day.isoformat(),
        "timeZone": user.time_zone,
        "from": iso_milliseconds(start),
        "to": iso_milliseconds(end),
        "after": cursor_at(session, user.id, before),
        "events": [
            {
                "eventTypeId": event_type_id or None,
                "triggerEvent": trigger,
                "count": len(ids),
                "firstId": ids[0],
                "lastId": ids[-1],
                "sha256": hashlib.sha256("\n".join(ids).encode()).hexdigest(),
            }
            for (event_type_id, trigger), ids in sorted(found.items())
        ],
    }


def _events(session: Session, user_id: int, start: datetime, end: datetime) -> Sequence[Any]:
    """Return the events of a time in the order of their numbers, without those about webhooks."""
    first = first_since(session, user_id, start - SLACK)
    last = first_since(session, user_id, end + SLACK)
    return session.execute(
        select(
            Event.number,
            Event.uid,
            Event.trigger,
            Event.event_type_id,
            case((Event.event_type_id.is_(None), Event.body)).label("old_body"),
        )
        .where(Event.user_id == user_id, Event.number >= first, Event.number < last)
        .where(Event.created_at >= start, Event.created_at < end, Event.trigger.not_in(OPERATIONAL))
        .order_by(Event.number)
    ).all()


def write_summaries() -> None:
    """Write DAILY_SUMMARY of each host whose day has been over for five minutes, and of days missed since."""
    session = db.session()
    at = database_now(session)
    hosts = session.execute(select(User.id, User.time_zone, User.summarized_on)).all()
    session.rollback()  # ends the read
    for user_id, zone, summarized_on in hosts:
        last = _last_day(at, zone)
        if summarized_on is None or summarized_on < last:
            with transaction() as writing:
                write_summary(writing, lock_user(writing, user_id), at)


def _last_day(at: datetime, zone: str) -> date:
    return (at - AFTER_MIDNIGHT).astimezone(zone_of(zone)).date() - timedelta(days=1)


def write_summary(session: Session, user: User, at: datetime) -> None:
    """Write the summaries that a locked host has not got yet; a new host's first day is the one to come.

    Days whose events are no longer kept are left out, and so is everything while no webhook subscribes.
    """
    last, written = _last_day(at, user.time_zone), user.summarized_on
    if written is not None and written >= last:
        return
    user.summarized_on = last
    trigger = Trigger.DAILY_SUMMARY
    if written is None:
        return
    told, _ = outbox.subscribers(session, user.id, None, trigger, "", about=NO_WEBHOOK)
    if not told:
        return
    day = max(written, last - timedelta(days=settings().retention_days))
    while day < last:
        day += timedelta(days=1)
        about = f"summary {user.id} {day}"
        payload = summary_of(session, user, day) | {"metadata": {}}
        outbox.record(
            session,
            user=user,
            trigger=trigger,
            payload=payload,
            chain=about,
            sequence=1,
            subject=about,
            about=NO_WEBHOOK,
        )
