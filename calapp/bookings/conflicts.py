"""Bookings and the host's other calendars: which events there are bookings, and which bookings they meet."""

from bisect import bisect_left
from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.bookings.calendar import UID_END
from calapp.bookings.models import Booking, Status
from calapp.calendars.models import CalendarConflict, ExternalCalendar
from calapp.calendars.service import after_change, booked_uids, of_host, times_between
from calapp.config import settings
from calapp.db import database_now
from calapp.local_time import spoken_time
from calapp.mail import Email, post
from calapp.text import clean

AT_ONCE = 500  # chains of one query
LISTED = 20  # bookings that an email names

SUBJECT = "A booking overlaps with your calendar"


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
