"""Which times are offered: the pure slot function, fed with what the database knows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from calapp.availability.service import away_times, hours_of, zone_name
from calapp.availability.slots import BusyTime, is_open, open_slots
from calapp.bookings.models import Booking, BusySlot, ReservedSlot, Status
from calapp.calendars.service import blocked_times
from calapp.clock import now
from calapp.errors import InThePast, OutsideHours, SlotTaken, TooFarAhead, TooSoon
from calapp.event_types.models import EventType
from calapp.event_types.service import rules_of
from calapp.local_time import zone_of
from calapp.statements import Plain, instant

CELL = timedelta(minutes=5)
# The first and last cells of what is booked and of what is held; each is one time without a gap. A row of
# nulls says that calendars block times, too.
TAKEN = Plain("""SELECT min(at), max(at) FROM busy_slot
WHERE host_id = :host AND at >= :since AND at < :until AND booking_id <> :leave_out GROUP BY booking_id
UNION ALL
SELECT min(at), max(at) FROM reserved_slot JOIN slot_reservation ON slot_reservation.id = reservation_id
WHERE reserved_slot.host_id = :host AND at >= :since AND at < :until AND expires_at > :now
GROUP BY reservation_id
UNION ALL
SELECT NULL, NULL WHERE EXISTS (SELECT 1 FROM external_calendar WHERE user_id = :host AND blocks)
ORDER BY 1""")
ACTIVE = (Status.PENDING, Status.ACCEPTED)


def offered(
    session: Session,
    event_type: EventType,
    first: datetime,
    last: datetime,
    *,
    leave_out: int | None = None,
    minutes: int | None = None,
    away: Sequence[BusyTime] | None = None,
) -> list[datetime]:
    """Return the free starts in [first, last), as aware UTC instants.

    `minutes` is how long the meeting is, when not as usual; `leave_out` is the id of a booking that is being
    moved, whose own time counts as free; `away` is the time off around this range, where it is known.
    """
    at = now()
    return open_slots(
        hours_of(session, event_type.user, event_type.schedule_id),
        rules_of(event_type, minutes),
        busy_times(session, event_type.user_id, max(first, at), last, leave_out, away=away),
        first=first,
        last=last,
        now=at,
        day_counts=day_counts(session, event_type, first, last, leave_out),
    )


def busy_times(
    session: Session,
    host_id: int,
    first: datetime,
    last: datetime,
    leave_out: int | None = None,
    *,
    away: Sequence[BusyTime] | None = None,
    margin: timedelta = timedelta(days=1),
) -> list[BusyTime]:
    """Return the host's taken times around a range, buffers included, as few intervals as possible.

    `away` is the time off around this range, where it is known; `margin` is how far around it is looked.
    """
    around = {"host": host_id, "since": first - margin, "until": last + 2 * margin}
    found: list[BusyTime] = []
    blocked: Sequence[BusyTime] = ()
    for first_cell, last_cell in TAKEN.read(session, **around, leave_out=leave_out or 0, now=now()):
        if first_cell is None:
            blocked = blocked_times(session, host_id, first, last)
            continue
        begin, end = instant(first_cell), instant(last_cell) + CELL
        if found and begin <= found[-1].end:
            found[-1] = BusyTime(found[-1].start, max(end, found[-1].end))
        else:
            found.append(BusyTime(begin, end))
    if away is None:
        away = away_times(session, host_id, first, last)
    return [*found, *away, *blocked]


def day_counts(
    session: Session, event_type: EventType, first: datetime, last: datetime, leave_out: int | None = None
) -> Mapping[date, int]:
    """Count an event type's bookings on each of the host's days around a range; empty without a limit."""
    if event_type.max_per_day is None:
        return {}
    starts = session.scalars(
        select(Booking.starts_at).where(
            Booking.event_type_id == event_type.id,
            Booking.status.in_(ACTIVE),
            Booking.starts_at >= first - timedelta(days=2),
            Booking.starts_at < last + timedelta(days=2),
            Booking.id != (leave_out or 0),
        )
    )
    zone = zone_of(zone_name(session, event_type.user, event_type.schedule_id))
    counts: dict[date, int] = {}
    for start in starts:
        day = start.astimezone(zone).date()
        counts[day] = counts.get(day, 0) + 1
    return counts


def check_open(
    session: Session,
    event_type: EventType,
    start: datetime,
    leave_out: int | None = None,
    minutes: int | None = None,
) -> None:
    """Raise SlotTaken, or what of it says more, unless this time is free, for as long as `offered` says."""
    if not is_free(session, event_type, start, leave_out, minutes):
        raise refusal(session, event_type, start, minutes)


def refusal(
    session: Session, event_type: EventType, start: datetime, minutes: int | None = None
) -> SlotTaken:
    """Return why a time that is not free is not: it has passed, is too soon or too far, was never offered."""
    hours = hours_of(session, event_type.user, event_type.schedule_id)
    rules, zone = rules_of(event_type, minutes), zone_of(hours.zone)
    if start <= now():
        return InThePast()
    if start < now() + timedelta(minutes=rules.notice):
        return TooSoon()
    if start.astimezone(zone).date() > now().astimezone(zone).date() + timedelta(days=rules.max_days):
        return TooFarAhead()
    return SlotTaken() if is_open(hours, rules, [], start=start, now=now()) else OutsideHours()


@contextmanager
def taking_time() -> Iterator[None]:
    """Raise SlotTaken when the database refuses a time, be it at the last moment, with the commit."""
    try:
        yield
    except IntegrityError as error:
        if not any(one.__tablename__ in str(error.orig) for one in (BusySlot, ReservedSlot)):
            raise
        raise SlotTaken() from None


def is_free(
    session: Session,
    event_type: EventType,
    start: datetime,
    leave_out: int | None = None,
    minutes: int | None = None,
) -> bool:
    """Ask the very function that lists the times whether this one is among them."""
    day, rules = timedelta(days=1), rules_of(event_type, minutes)
    first = start - timedelta(minutes=rules.buffer_before)
    last = start + timedelta(minutes=rules.length + rules.buffer_after)
    return is_open(
        hours_of(session, event_type.user, event_type.schedule_id),
        rules,
        busy_times(session, event_type.user_id, first, last, leave_out, margin=CELL),
        start=start,
        now=now(),
        day_counts=day_counts(session, event_type, start, start + day, leave_out),
    )


def hold_time(session: Session, booking: Booking) -> None:
    """Take the cells of a booking with its buffers; raise SlotTaken when another has one of them."""
    event_type = booking.event_type
    at = booking.starts_at - timedelta(minutes=event_type.buffer_before)
    at -= timedelta(seconds=at.timestamp() % CELL.total_seconds())  # what was taken over may begin at 10:07
    end = booking.ends_at + timedelta(minutes=event_type.buffer_after)
    session.flush()  # gives the booking its id, which the cells carry
    cells = []
    while at < end:
        cells.append({"host_id": booking.host_id, "at": at, "booking_id": booking.id})
        at += CELL
    with taking_time():
        session.execute(insert(BusySlot.__table__), cells)


def free_time(session: Session, booking: Booking) -> None:
    session.execute(delete(BusySlot).where(BusySlot.booking_id == booking.id))
