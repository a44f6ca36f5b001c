"""The rules of a host's calendars: what they block, and how one is added, changed, read and removed."""

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, delete, func, insert, or_, select
from sqlalchemy import update as update_rows
from sqlalchemy.orm import Session

from calapp import limits
from calapp.accounts.guards import current_host
from calapp.accounts.models import User
from calapp.accounts.service import lock_user
from calapp.addresses import key_of, parsed
from calapp.availability.slots import BusyTime
from calapp.broker import wake_maintenance
from calapp.calendars.fetch import Source, Unreadable
from calapp.calendars.models import CalendarKind, ExternalBusy, ExternalCalendar, WhenStale
from calapp.calendars.reading import BlockedTimes, ReadOutcome, Viewer, read
from calapp.config import WEB_THREADS, settings
from calapp.db import after_commit, database_now, db
from calapp.deliveries.feed import Places
from calapp.encryption import hashed
from calapp.errors import Busy, Conflict, NotFound
from calapp.event_types.models import MAX_DAYS, EventType
from calapp.mail import Email, post
from calapp.statements import Plain

if TYPE_CHECKING:  # a worker imports this, and does without schemas
    from calapp.calendars.schemas import CalendarInput

DAY = timedelta(days=1)
EVERY = timedelta(minutes=5)
FRESH = timedelta(seconds=60)  # a copy older than this is read again when somebody looks for times
LEASE = timedelta(seconds=90)  # longer than a fetch and a child together; a killed reader's is due again then
TELL_AFTER = timedelta(minutes=15)
PAST = DAY  # what is still looked at, for a host whose day began in another zone
MARGIN = timedelta(days=3)  # beyond the furthest horizon: the copy holds for two days without being renewed
STEP = 1000  # rows of one statement

BLOCKING = Plain("SELECT 1 FROM external_calendar WHERE user_id = :host AND blocks LIMIT 1")

copies = BlockedTimes()
# Each holds a thread of the web server until a calendar has been read.
places = Places(most=WEB_THREADS // 4, most_per_host=2, limit="first readings of calendars")

# Which of some UIDs are bookings of a host, and what follows when a calendar blocks something else than
# before: packages above this one know bookings, which this one may not.
booked_uids: list[Callable[[Session, int, Collection[str]], set[str]]] = []
after_change: list[Callable[[Session, int], None]] = []


def of_host(session: Session, user_id: int) -> list[ExternalCalendar]:
    """Return a host's calendars, the oldest first."""
    query = select(ExternalCalendar).where(ExternalCalendar.user_id == user_id)
    return list(session.scalars(query.order_by(ExternalCalendar.id)))


def own_calendar(calendar_id: int) -> ExternalCalendar:
    """Return the calendar with this id of the host who asks; raise NotFound for any other."""
    found = db.session().get(ExternalCalendar, calendar_id)
    if found is None or found.user_id != current_host().id:
        raise NotFound
    return found


def blocked_times(session: Session, host_id: int, first: datetime, last: datetime) -> list[BusyTime]:
    """Return what a host's calendars block around a range, from the copies that are at hand, in order.

    A calendar that is closed when it is stale blocks all of it.
    """
    calendars = [one for one in of_host(session, host_id) if one.blocks]
    first, last = first - DAY, last + 2 * DAY
    if any(one.when_stale == WhenStale.CLOSE and one.stale for one in calendars):
        return [BusyTime(first, last)]
    times = copies.of(session, host_id, calendars)
    begin = bisect_right(times, first, key=lambda one: one.end)
    return list(times[begin : bisect_left(times, last, key=lambda one: one.start)])


def times_between(
    session: Session, calendar_ids: Collection[int], first: datetime, last: datetime
) -> list[BusyTime]:
    """Return what is kept of these calendars around a range, in order; they may overlap."""
    rows = session.execute(
        select(ExternalBusy.starts_at, ExternalBusy.ends_at)
        .where(ExternalBusy.calendar_id.in_(calendar_ids))
        .where(
            ExternalBusy.starts_at > first - DAY, ExternalBusy.starts_at < last
        )  # none is longer than a day
        .order_by(ExternalBusy.starts_at)
    )
    return [BusyTime(start, end) for start, end in rows]


def range_of(session: Session, user_id: int) -> tuple[datetime, datetime]:
    """Return the time that a host's calendars are read for: until the furthest horizon of the event types."""
    days = select(func.max(EventType.max_days)).where(
        EventType.user_id == user_id, EventType.deleted_at.is_(None)
    )
    at = database_now(session).replace(microsecond=0)
    furthest = session.scalar(days)
    return at - PAST, at + timedelta(days=MAX_DAYS if furthest is None else furthest) + MARGIN


def viewer_of(session: Session, user: User) -> Viewer:
    """Return as whom a host's calendars are read; asks the database for UIDs when these are known."""
    user_id = user.id

    def own_uids(uids: Collection[str]) -> set[str]:
        own = set().union(*(find(session, user_id, uids) for find in booked_uids))
        session.rollback()  # ends the read, before the child is awaited
        return own

    return Viewer(user.time_zone, (user.email,), own_uids)


def source_of(session: Session, calendar: ExternalCalendar, viewer: Viewer) -> tuple[Source, str | None]:
    """Return how to read a calendar, and the hash of a copy that may be kept; raise KeyDoesNotFit.

    A copy that was made as for another, or that ends before the horizon, has to be made again.
    """
    first, last = range_of(session, calendar.user_id)
    kept = calendar.busy_until
    holds = calendar.basis == viewer.basis and kept is not None and kept >= last - MARGIN + DAY
    source = Source(
        kind=CalendarKind(calendar.kind),
        address=calendar.address,
        credentials=calendar.credentials,
        first=first,
        last=last,
        etag=calendar.etag if holds else None,
        last_modified=calendar.last_modified if holds else None,
        sync_token=calendar.sync_token if holds else None,
    )
    return source, calendar.content_hash if holds else None


def first_reading(
    user: User, address: str, calendar_id: int | None = None, *, until: float | None = None
) -> ReadOutcome:
    """Read an address that is to be saved, for a new calendar or for this one, while a person waits.

    After `until`, by the monotonic clock, it is not begun.

    Raises Unreadable, Busy while too many others wait, and Conflict or LimitReached before anything is read.
    No transaction may be open.
    """
    if until is not None and time.monotonic() > until:
        words = "Reading the calendars before this one took too long. Please add fewer at a time."
        raise Unreadable("timeout", words)
    session = db.session()
    refuse_another(session, user.id, address, calendar_id)
    first, last = range_of(session, user.id)
    viewer = viewer_of(session, user)
    user_id = user.id
    session.rollback()  # nothing may stay open while the network is awaited
    with places.taken(user_id) as free:
        if not free:
            raise Busy("Several calendars are being read. Please try again in a moment.")
        return read(Source(CalendarKind.ICS, address, None, first, last), viewer)


def refuse_another(session: Session, user_id: int, address: str, calendar_id: int | None = None) -> None:
    """Raise Conflict when another calendar of a host has this address, LimitReached for one too many."""
    mine = select(ExternalCalendar.address_hash).where(
        ExternalCalendar.user_id == user_id, ExternalCalendar.id != (calendar_id or 0)
    )
    hashes = session.scalars(mine).all()
    if hashed(key_of(address)) in hashes:
        words = "You already have a calendar with this address."
        raise Conflict(words, address=words)
    if len(hashes) >= limits.CALENDARS_PER_HOST:
        words = f"You have {len(hashes)} calendars, which is the limit. Please remove one first."
        raise limits.reached("CALENDARS_PER_HOST", host=user_id, words=words, field="address")


def create(session: Session, user_id: int, wanted: "CalendarInput", outcome: ReadOutcome) -> ExternalCalendar:
    """Save a calendar with what was read from it; raise Conflict, LimitReached."""
    lock_user(session, user_id)  # two at once may not both be the last one
    refuse_another(session, user_id, wanted.address)
    calendar = ExternalCalendar(user_id=user_id, kind=outcome.source.kind)
    calendar.credentials = outcome.source.credentials
    apply(calendar, wanted)
    session.add(calendar)
    session.flush()  # gives it its id, which its busy times carry
    store(session, calendar, outcome)
    return calendar


def update(
    session: Session, calendar: ExternalCalendar, wanted: "CalendarInput", outcome: ReadOutcome | None
) -> None:
    """Change a calendar; `outcome` is what was read from another address. Raises Conflict."""
    lock_user(session, calendar.user_id)
    blocked = calendar.blocks
    if wanted.address:
        refuse_another(session, calendar.user_id, wanted.address, calendar.id)
    apply(calendar, wanted)
    if outcome is not None:
        calendar.attempted_at = database_now(session)  # who is reading the previous address stores nothing
        store(session, calendar, outcome)
    elif calendar.blocks != blocked:
        read_soon(session, calendar)
        session.flush()
        for follow in after_change:
            follow(session, calendar.user_id)


def chosen(calendar: ExternalCalendar) -> "CalendarInput":
    """Return what a host has chosen, without the address."""
    from calapp.calendars.schemas import CalendarInput  # noqa: PLC0415 (see above)

    return CalendarInput(
        name=calendar.name,
        blocks=calendar.blocks,
        when_stale=WhenStale(calendar.when_stale),
        stale_after=calendar.stale_after,
    )


def apply(calendar: ExternalCalendar, wanted: "CalendarInput") -> None:
    """Set what a host chooses; an empty address stays as it is."""
    if wanted.address:
        calendar.address = wanted.address
        calendar.address_hash = hashed(key_of(wanted.address))
        calendar.place = parsed(wanted.address).host
    calendar.name = wanted.name or calendar.place
    calendar.blocks = wanted.blocks
    calendar.when_stale = wanted.when_stale
    calendar.stale_after = wanted.stale_after


def store(session: Session, calendar: ExternalCalendar, outcome: ReadOutcome) -> None:
    """Take note of a good reading, and put what it blocks in place of the copy where that is another."""
    at = database_now(session)
    reading = outcome.reading
    calendar.due_at, calendar.last_read_at = at + EVERY, at
    calendar.attempted_at = calendar.attempted_at or at
    calendar.error_code = calendar.error = calendar.error_since = None
    calendar.told_at = calendar.dismissed_at = None
    calendar.etag, calendar.last_modified = reading.etag, reading.last_modified
    calendar.sync_token = reading.sync_token
    if outcome.times is None:
        return
    calendar.content_hash, calendar.basis = outcome.content_hash, outcome.basis
    calendar.busy_until = outcome.source.last
    calendar.left_out, calendar.cut_at, calendar.changed_at = outcome.left_out, outcome.cut_at, at
    _replace_times(session, calendar.id, outcome.times)
    for follow in after_change:
        follow(session, calendar.user_id)


def _replace_times(session: Session, calendar_id: int, times: Collection[tuple[datetime, datetime]]) -> None:
    """Write what differs: a long calendar, of which an event has moved, costs two rows."""
    mine = ExternalBusy.calendar_id == calendar_id
    kept = {
        (start, end)
        for start, end in session.execute(select(ExternalBusy.starts_at, ExternalBusy.ends_at).where(mine))
    }
    gone = sorted(start for start, _ in kept.difference(times))
    new = [
        {"calendar_id": calendar_id, "starts_at": start, "ends_at": end}
        for start, end in sorted(set(times) - kept)
    ]
    if len(gone) > STEP:
        session.execute(delete(ExternalBusy).where(mine).execution_options(synchronize_session=False))
        new = [{"calendar_id": calendar_id, "starts_at": start, "ends_at": end} for start, end in times]
        gone = []
    if gone:
        removed = delete(ExternalBusy).where(mine, ExternalBusy.starts_at.in_(gone))
        session.execute(removed.execution_options(synchronize_session=False))
    if new:
        session.execute(insert(ExternalBusy), new)


def fail(session: Session, calendar: ExternalCalendar, error: Unreadable) -> None:
    """Take note of a failed reading: the copy stays, and its host is told after a quarter of an hour."""
    at = database_now(session)
    since = calendar.error_since = calendar.error_since or at
    calendar.error_code, calendar.error = error.code, error.words
    pause = max(EVERY, timedelta(seconds=error.retry_after or 0))
    calendar.due_at = at + pause
    if calendar.told_at is not None:
        return
    if at - since < TELL_AFTER:
        calendar.due_at = at + max(
            timedelta(seconds=error.retry_after or 0), min(EVERY, since + TELL_AFTER - at)
        )
        return
    calendar.told_at = at
    owner = session.get_one(User, calendar.user_id)
    read_at = calendar.last_read_at or calendar.created_at
    kept = f"What it blocked when it was last read, {read_at:%d %B %Y at %H:%M} UTC, still counts."
    if calendar.when_stale == WhenStale.CLOSE:
        kept += f" {calendar.stale_after} hours after that, no times are offered until it can be read again."
    body = (
        f"Your calendar “{calendar.name}” ({calendar.place}) cannot be read:\n\n{error.words}\n\n{kept}\n\n"
        f"Change or remove it: {settings().base_url}/integrations#calendars\n"
    )
    subject = "One of your calendars cannot be read"
    post(session, [Email(user_id=owner.id, recipient=owner.email, subject=subject, body=body)])


def remove(session: Session, calendar: ExternalCalendar) -> None:
    """Remove a calendar and its copy."""
    session.delete(calendar)  # its busy times and conflicts follow by the database's own rule


def read_soon(session: Session, calendar: ExternalCalendar) -> None:
    """Have a calendar read as soon as there is a worker."""
    calendar.due_at = database_now(session)
    after_commit(session, "wake maintenance", wake_maintenance)


def _could_be_fresher(user_id: int, at: datetime) -> list[ColumnElement[bool]]:
    """Match what is worth being read now, and was not put off at its server's wish."""
    attempted_at = ExternalCalendar.attempted_at
    return [
        ExternalCalendar.user_id == user_id,
        ExternalCalendar.blocks.is_(True),
        ExternalCalendar.due_at > at,
        ExternalCalendar.due_at <= at + EVERY,
        or_(attempted_at.is_(None), attempted_at < at - FRESH),
    ]


def could_be_fresher(session: Session, user_id: int) -> bool:
    """Return whether a host has a copy older than FRESH that is not about to be read again."""
    if BLOCKING.run(session, host=user_id).first() is None:
        return False
    found = select(ExternalCalendar.id).where(*_could_be_fresher(user_id, database_now(session))).limit(1)
    return session.scalar(found) is not None


def freshen(session: Session, user_id: int) -> int:
    """Have those read as soon as there is a worker; return how many."""
    at = database_now(session)
    due = update_rows(ExternalCalendar).where(*_could_be_fresher(user_id, at)).values(due_at=at)
    result = session.execute(due.execution_options(synchronize_session=False))
    return int(result.rowcount)  # type: ignore[attr-defined]


def claim_due(session: Session, room: int) -> list[int]:
    """Take up to so many calendars that are to be read; they are due again when the lease ends."""
    at = database_now(session)
    due = select(ExternalCalendar).where(ExternalCalendar.due_at <= at, ExternalCalendar.blocks)
    found = session.scalars(
        due.order_by(ExternalCalendar.due_at).limit(room).with_for_update(skip_locked=True)
    ).all()
    for calendar in found:
        calendar.due_at, calendar.attempted_at = at + LEASE, at
    return [one.id for one in found]
