"""Confirmed bookings in a calendar of the host's: written, moved and removed with the booking.

A copy is a row that is marked as due in the booking's transaction; what is to be written is made from the
booking when it is sent, so that nothing but the latest is. The maintenance process claims what is due, sends
it with no transaction open, and records what came of it. An event that is not in the state in which it was
last seen was changed by a person, and is left alone.

What the calendars block may take the time of a booking that is there: such conflicts are noted, and the host
is told of each once.
"""

import hashlib
import re
from bisect import bisect_left
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.bookings.calendar import UID_END, copy_text
from calapp.bookings.models import Booking, Status
from calapp.broker import wake_maintenance
from calapp.calendars.caldav import (
    Changed,
    DavClient,
    delete_event,
    event_url,
    get_event,
    put_event,
)
from calapp.calendars.fetch import Unreadable
from calapp.calendars.models import CalendarConflict, CalendarCopy, CopyState, Credentials, ExternalCalendar
from calapp.calendars.service import after_change, booked_uids, of_host, times_between
from calapp.clock import now
from calapp.config import settings
from calapp.db import after_commit, database_now
from calapp.errors import KeyDoesNotFit
from calapp.local_time import spoken_time
from calapp.mail import DELAYS, LEASE, Email, post
from calapp.statements import Plain
from calapp.text import clean

BATCH = 8  # copies that are sent side by side, of as many accounts
LOOKED_AT = 200  # copies that are due among which those of a batch are found
UPCOMING = 1000  # bookings that are written when a calendar is chosen
COMPARED = frozenset(
    ("DTSTART", "DTEND", "DURATION", "SUMMARY", "DESCRIPTION", "LOCATION", "STATUS", "RRULE")
)
FOLDED = re.compile(r"\r?\n[ \t]")
REMOVED_THERE = "It was removed in the calendar."
KEY_IS_GONE = "The server can no longer read the password of this account. Enter it again."
# Reasons that concern one event, not all that is sent to its account.
OF_ONE_EVENT = frozenset(("changed", "status_400", "status_403", "status_404", "status_409", "status_415"))
AT_ONCE = 500  # chains of one query
LISTED = 20  # bookings that an email names
SUBJECT = "A booking overlaps with your calendar"


@dataclass(frozen=True)
class ClaimedCopy:
    """A claimed copy, free of the session that read it; a `text` of None has it removed."""

    id: int
    revision: int
    attempts: int
    account_id: int | None
    url: str
    credentials: Credentials | None
    text: str | None
    etag: str | None
    known: frozenset[str]  # hashes of what may be there without anybody having changed it


@dataclass(frozen=True)
class CopyResult:
    """What came of a copy: its ETag now, None when it is not there; or why not, in words."""

    copy: ClaimedCopy
    etag: str | None = None
    changed: bool = False
    code: str | None = None
    error: str | None = None


# The calendar that a host's bookings are written to, and a copy of a chain, where there are any.
COPIED = Plain("""SELECT (SELECT id FROM external_calendar WHERE user_id = :host AND writes LIMIT 1),
  (SELECT id FROM calendar_copy WHERE chain = :chain LIMIT 1)""")


def touch(session: Session, booking: Booking) -> None:
    """Mark a booking's copy as due in the open transaction; a confirmed booking without one gets one."""
    calendar_id, copied = COPIED.run(session, host=booking.host_id, chain=booking.chain)[0]
    if calendar_id is None and copied is None:
        return  # as with most hosts
    if touch_chains(session, [booking.chain]) or booking.status != Status.ACCEPTED:
        return
    if calendar_id is not None:
        _add(session, [booking.chain], calendar_id)


def _add(session: Session, chains: Collection[str], calendar_id: int) -> None:
    at = database_now(session)
    session.add_all(CalendarCopy(chain=chain, calendar_id=calendar_id, due_at=at) for chain in chains)
    after_commit(session, "wake maintenance", wake_maintenance)


def touch_chains(session: Session, chains: Collection[str]) -> int:
    """Mark the copies of these chains as due, but those that a person changed; return how many there are."""
    copies = session.scalars(select(CalendarCopy).where(CalendarCopy.chain.in_(chains))).all()
    if copies:
        at = database_now(session)
        for copy in copies:
            if copy.state != CopyState.CHANGED:
                copy.revision += 1
                copy.state, copy.attempts, copy.due_at = CopyState.WAITING, 0, at
        after_commit(session, "wake maintenance", wake_maintenance)
    return len(copies)


def copy_upcoming(session: Session, calendar: ExternalCalendar) -> int:
    """Have a host's upcoming confirmed bookings without a copy written to a calendar; return how many."""
    chains = session.scalars(
        select(Booking.chain)
        .where(
            Booking.host_id == calendar.user_id,
            Booking.status == Status.ACCEPTED,
            Booking.ends_at > now(),
            Booking.chain.not_in(select(CalendarCopy.chain)),
        )
        .order_by(Booking.starts_at)
        .limit(UPCOMING)
    ).all()
    _add(session, chains, calendar.id)
    return len(chains)


def send_again(session: Session, account_id: int) -> None:
    """Mark what of an account waits or was given up as due: its password or its server has changed."""
    of_account = select(ExternalCalendar.id).where(ExternalCalendar.account_id == account_id)
    undone = CalendarCopy.state.in_((CopyState.WAITING, CopyState.FAILED))
    again = {"state": CopyState.WAITING, "attempts": 0, "due_at": database_now(session)}
    session.execute(
        update(CalendarCopy)
        .where(CalendarCopy.calendar_id.in_(of_account), undone)
        .values(again)
        .execution_options(synchronize_session=False)
    )
    after_commit(session, "wake maintenance", wake_maintenance)


def copies_of(session: Session, booking: Booking) -> Sequence[CalendarCopy]:
    """Return the copies of a booking's chain, the oldest first."""
    query = select(CalendarCopy).where(CalendarCopy.chain == booking.chain)
    return session.scalars(query.order_by(CalendarCopy.id)).all()


def claim(session: Session) -> list[ClaimedCopy]:
    """Take a batch of the copies that are due, one of each account: one that hangs holds up no other."""
    at = database_now(session)
    free = or_(CalendarCopy.claimed_until.is_(None), CalendarCopy.claimed_until <= at)
    due = (
        select(CalendarCopy)
        .where(CalendarCopy.due_at <= at, free)
        .order_by(CalendarCopy.due_at)
        .limit(LOOKED_AT)
    )
    claimed: dict[int, ClaimedCopy] = {}
    for copy in session.scalars(due.with_for_update(skip_locked=True)):
        place = copy.calendar.account_id or -copy.calendar_id
        if place not in claimed and len(claimed) < BATCH:
            copy.claimed_until = at + LEASE
            claimed[place] = _claimed(session, copy)
    return list(claimed.values())


def _claimed(session: Session, copy: CalendarCopy) -> ClaimedCopy:
    calendar = copy.calendar
    known = frozenset(one for one in (copy.written, copy.sent) if one)
    try:
        url, credentials = event_url(calendar.address, copy.chain), calendar.credentials
    except KeyDoesNotFit:
        url, credentials = "", None
    text = _wanted(session, copy.chain)
    if text is not None:
        copy.sent = digest(text)
    return ClaimedCopy(
        copy.id, copy.revision, copy.attempts, calendar.account_id, url, credentials, text, copy.etag, known
    )


def _wanted(session: Session, chain: str) -> str | None:
    """Return the event that is to be in the calendar: that of the newest booking, while it is confirmed."""
    newest = select(Booking).where(Booking.chain == chain, Booking.rescheduled_to_uid.is_(None))
    booking = session.scalar(newest.order_by(Booking.id.desc()).limit(1))
    if booking is None or booking.status != Status.ACCEPTED:
        return None
    return copy_text(booking, settings().base_url)


def digest(text: str) -> str:
    """Return a hash of what a person sees of an event, however a server writes it down.

    Two events in one file, such as a series with an exception, are never like one of ours.
    """
    lines = FOLDED.sub("", text).splitlines()
    if lines.count("BEGIN:VEVENT") != 1:
        return hashlib.sha256(text.encode()).hexdigest()
    event = lines[
        lines.index("BEGIN:VEVENT") + 1 : lines.index("END:VEVENT") if "END:VEVENT" in lines else None
    ]
    seen, inside = [], 0
    for one in event:
        inside += one.startswith("BEGIN:") - one.startswith("END:")  # an alarm has a description, too
        name = re.split("[;:]", one, maxsplit=1)[0].upper()
        if not inside and name in COMPARED:
            seen.append(f"{name}:{one.partition(':')[2]}".replace("\\", "").strip())
    return hashlib.sha256("\n".join(sorted(seen)).encode()).hexdigest()


def send(claimed: Sequence[ClaimedCopy]) -> list[CopyResult]:
    """Send copies side by side; waits for their servers, and raises nothing."""
    if not claimed:
        return []
    with ThreadPoolExecutor(len(claimed)) as threads:
        return list(threads.map(_send, claimed))


def _send(copy: ClaimedCopy) -> CopyResult:
    if copy.text is None and not copy.known:
        return CopyResult(copy)  # it was never sent
    if copy.credentials is None:
        return CopyResult(copy, copy.etag, code="no_password", error=KEY_IS_GONE)
    client = DavClient(copy.credentials, copy.url)
    try:
        if copy.text is None:
            _remove(client, copy)
            return CopyResult(copy)
        return CopyResult(copy, _write(client, copy, copy.text))
    except Changed as error:
        return CopyResult(copy, copy.etag, changed=True, code="changed", error=str(error))
    except Unreadable as error:
        return CopyResult(copy, copy.etag, code=error.code, error=str(error))


def _write(client: DavClient, copy: ClaimedCopy, text: str) -> str:
    """Write an event and return its ETag; raise Changed when a person has changed it."""
    try:
        return put_event(client, copy.url, text, copy.etag)
    except Changed:
        found = get_event(client, copy.url)
    if found is None:
        raise Changed(REMOVED_THERE)
    there = digest(found.text)
    if there == digest(text):
        return found.etag  # it was stored, and the response lost
    if there not in copy.known:
        raise Changed
    return put_event(client, copy.url, text, found.etag or "*")  # the server has only written it differently


def _remove(client: DavClient, copy: ClaimedCopy) -> None:
    """Remove an event, should it be there; raise Changed when a person has changed it."""
    if copy.etag:
        try:
            delete_event(client, copy.url, copy.etag)
        except Changed:
            pass  # by a person, or the server has only written it differently
        else:
            return
    found = get_event(client, copy.url)
    if found is None:
        return
    if digest(found.text) not in copy.known:
        raise Changed
    delete_event(client, copy.url, found.etag or "*")


def record(session: Session, results: Sequence[CopyResult]) -> None:
    """Write down what came of a batch; what failed is due later, or never after the last attempt."""
    at = database_now(session)
    for result in sorted(results, key=lambda one: one.copy.id):
        copy = session.get(CalendarCopy, result.copy.id, with_for_update=True, populate_existing=True)
        if copy is None:
            continue  # its calendar was removed meanwhile
        copy.claimed_until = None
        copy.etag = result.etag
        if result.error is None:
            copy.written = digest(result.copy.text) if result.copy.text else None
            copy.sent = copy.written if result.copy.text is None else copy.sent
        if copy.revision == result.copy.revision:
            _record_one(session, copy, result, at)


def _record_one(session: Session, copy: CalendarCopy, result: CopyResult, at: datetime) -> None:
    copy.error = result.error
    if result.error is None:
        copy.state, copy.due_at, copy.attempts = CopyState.DONE, None, 0
        return
    if result.changed:
        copy.state, copy.due_at = CopyState.CHANGED, None
        return
    copy.attempts += 1
    if copy.attempts > len(DELAYS):
        copy.state, copy.due_at = CopyState.FAILED, None
        return
    copy.due_at = at + DELAYS[copy.attempts - 1]
    if result.code not in OF_ONE_EVENT:  # the account is away, or refuses everything
        of_account = select(ExternalCalendar.id).where(ExternalCalendar.account_id == result.copy.account_id)
        others = (CalendarCopy.calendar_id.in_(of_account), CalendarCopy.due_at < copy.due_at)
        session.execute(
            update(CalendarCopy)
            .where(*others, CalendarCopy.id != copy.id)
            .values(due_at=copy.due_at, error=result.error)
            .execution_options(synchronize_session="fetch")
        )


def uids_of(session: Session, host_id: int, uids: Collection[str]) -> set[str]:
    """Return which of these UIDs of events are bookings of a host."""
    chains = sorted(uid.removesuffix(UID_END) for uid in uids if uid.endswith(UID_END))
    found: set[str] = set()
    for start in range(0, len(chains), AT_ONCE):
        some = chains[start : start + AT_ONCE]
        query = select(Booking.chain).where(Booking.host_id == host_id, Booking.chain.in_(some))
        found.update(f"{chain}{UID_END}" for chain in session.scalars(query))
    return found


def find_conflicts(session: Session, host_id: int) -> None:
    """Note which coming bookings of a host meet what the calendars block; tell of each once, by email."""
    at = database_now(session)
    coming = session.execute(
        select(Booking.id, Booking.starts_at, Booking.ends_at)
        .where(Booking.host_id == host_id, Booking.ends_at > at)
        .where(Booking.status.in_((Status.ACCEPTED, Status.PENDING)))
    ).all()
    meeting: dict[int, int] = {}
    for calendar in [one for one in of_host(session, host_id) if one.blocks and coming]:
        last = max(end for _, _, end in coming)
        times = times_between(session, [calendar.id], at, last)
        starts = [one.start for one in times]
        for booking_id, start, end in coming:
            place = bisect_left(starts, end) - 1  # of a calendar's times, which are apart, the last before it
            if place >= 0 and times[place].end > start:
                meeting.setdefault(booking_id, calendar.id)
    known = {
        one.booking_id: one
        for one in session.scalars(
            select(CalendarConflict)
            .join(Booking, Booking.id == CalendarConflict.booking_id)
            .where(Booking.host_id == host_id, Booking.ends_at > at)
        )
    }
    for booking_id, conflict in known.items():
        if booking_id in meeting:
            conflict.over_at, conflict.calendar_id = None, meeting[booking_id]
        else:
            conflict.over_at = conflict.over_at or at
    new = sorted(set(meeting) - set(known))
    session.add_all(CalendarConflict(booking_id=one, calendar_id=meeting[one], found_at=at) for one in new)
    if new:
        _tell(session, session.get_one(User, host_id), new)


def _tell(session: Session, host: User, booking_ids: Collection[int]) -> None:
    query = select(Booking).where(Booking.id.in_(booking_ids)).order_by(Booking.starts_at)
    bookings = session.scalars(query.limit(LISTED)).all()
    base = settings().base_url
    lines = ["Something in one of your calendars takes the time of:", ""]
    for booking in bookings:
        when = spoken_time(booking.starts_at, booking.ends_at, host.time_zone)
        lines += [booking.title, when, f"{base}/bookings/{booking.uid}", ""]
    if len(booking_ids) > len(bookings):
        lines += [f"And {len(booking_ids) - len(bookings)} more bookings.", ""]
    lines += ["The bookings have not been changed. Move or cancel them, or leave them as they are.", ""]
    body = clean("\n".join(lines))
    post(session, [Email(user_id=host.id, recipient=host.email, subject=SUBJECT, body=body)])


def conflicts_of(session: Session, bookings: Collection[Booking]) -> dict[int, str]:
    """Return the names of the calendars that take the time of these bookings, by the bookings' ids."""
    active = [one.id for one in bookings if one.current_status in {Status.ACCEPTED, Status.PENDING}]
    rows = session.execute(
        select(CalendarConflict.booking_id, ExternalCalendar.name)
        .join(ExternalCalendar, ExternalCalendar.id == CalendarConflict.calendar_id)
        .where(CalendarConflict.booking_id.in_(active), CalendarConflict.over_at.is_(None))
    )
    return {booking_id: str(name) for booking_id, name in rows}


booked_uids.append(uids_of)
after_change.append(find_conflicts)
