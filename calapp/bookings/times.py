"""Which times are offered and taken: the pure slot function, fed with what the database knows.

Over the API a time can be held for a few minutes: taken for others, free for who holds it.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta

from sqlalchemy import delete, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from calapp.accounts.service import lock_user
from calapp.availability.service import away_times, hours_of, zone_name
from calapp.availability.slots import BusyTime, is_open, open_slots
from calapp.bookings.models import Booking, BusySlot, ReservedSlot, SlotReservation, Status
from calapp.calendars.service import blocked_times
from calapp.clock import now
from calapp.config import settings
from calapp.db import db
from calapp.errors import InThePast, NotFound, OutsideHours, SlotTaken, TooFarAhead, TooMany, TooSoon
from calapp.event_types.models import EventType
from calapp.event_types.service import rules_of
from calapp.local_time import zone_of
from calapp.statements import ByRows, Plain, instant, writer

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
HOLD = ByRows(
    "INSERT INTO busy_slot ({columns}) SELECT {values} {from_rows}",
    host_id="integer",
    at="timestamptz",
    booking_id="integer",
)
MINE = Plain("""SELECT id FROM slot_reservation
WHERE host_id = :host AND (holder = :holder AND starts_at = :start OR uid = :uid)""")
ACTIVE = (Status.PENDING, Status.ACCEPTED)
RESERVED_MINUTES = 5  # that a time is held, unless the host's program says otherwise
TOO_MANY = "You are holding {} times already, which is the limit. Please book or delete one first."


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
    cells, write = [], writer(session)
    while at < end:
        cells.append((booking.host_id, write(at), booking.id))
        at += CELL
    with taking_time():
        HOLD.run(session, cells)


def free_time(session: Session, booking: Booking) -> None:
    session.execute(delete(BusySlot).where(BusySlot.booking_id == booking.id))


def reservation_at(uid: str) -> SlotReservation:
    """Return the reservation with this uid; raise NotFound for one that is over, too."""
    found: SlotReservation | None = db.session().scalar(
        select(SlotReservation).where(SlotReservation.uid == uid)
    )
    if found is None or found.expires_at <= now():
        raise NotFound("This reservation does not exist, or is over.")
    return found


def reserve(
    session: Session,
    event_type: EventType,
    start: datetime,
    *,
    holder: str,
    length: int,
    minutes: int = RESERVED_MINUTES,
    limited: bool = True,
    replacing: SlotReservation | None = None,
) -> SlotReservation:
    """Hold a time; raise SlotTaken when it is not free, TooMany when a visitor holds too many.

    `length` is the meeting's in minutes; `replacing` is a reservation that gives up its time for this one
    and keeps its uid.
    """
    host = lock_user(session, event_type.user_id)
    forget_expired_reservations(session, host.id)
    uid = str(uuid.uuid4())
    if replacing is not None:
        uid, holder = replacing.uid, replacing.holder
        _remove_reservations(session, [replacing.id])
    most = settings().open_bookings_per_address if limited else 0
    held = select(func.count(SlotReservation.id)).where(
        SlotReservation.host_id == host.id, SlotReservation.holder == holder
    )
    if most and (session.scalar(held) or 0) >= most:
        raise TooMany(TOO_MANY.format(most), retry_after=RESERVED_MINUTES * 60)
    check_open(session, event_type, start, minutes=length)
    made = SlotReservation(
        uid=uid,
        host_id=host.id,
        event_type_id=event_type.id,
        holder=holder,
        starts_at=start,
        ends_at=start + timedelta(minutes=length),
        minutes=minutes,
        expires_at=now() + timedelta(minutes=minutes),
    )
    session.add(made)
    session.flush()
    at = start - timedelta(minutes=event_type.buffer_before)
    end_reservation = made.ends_at + timedelta(minutes=event_type.buffer_after)
    cells = []
    while at < end_reservation:
        cells.append({"host_id": host.id, "at": at, "reservation_id": made.id})
        at += CELL
    with taking_time():
        session.execute(insert(ReservedSlot), cells)
    return made


def release_reservation(
    session: Session, host_id: int, start: datetime, *, holder: str, uid: str | None = None
) -> None:
    """Free the time that a client holds and now books, and that of the reservation that it names.

    Called in the transaction of its booking: a booking that fails leaves them as they were.
    """
    mine = {"host": host_id, "holder": holder, "start": start, "uid": uid}
    if MINE.read(session, **mine):
        lock_user(session, host_id)
        _remove_reservations(session, [number for (number,) in MINE.read(session, **mine)])


def end_reservation(session: Session, reservation: SlotReservation) -> None:
    """Free a held time."""
    lock_user(session, reservation.host_id)
    _remove_reservations(session, [reservation.id])


def forget_expired_reservations(session: Session, host_id: int | None = None, limit: int = 500) -> int:
    """Delete a step of the reservations that are over, of one host or of all; return how many."""
    over = select(SlotReservation.id).where(SlotReservation.expires_at <= now())
    if host_id is not None:
        over = over.where(SlotReservation.host_id == host_id)
    found = list(session.scalars(over.limit(limit)))
    _remove_reservations(session, found)
    return len(found)


def _remove_reservations(session: Session, ids: list[int]) -> None:
    if ids:
        session.execute(delete(ReservedSlot).where(ReservedSlot.reservation_id.in_(ids)))
        session.execute(delete(SlotReservation).where(SlotReservation.id.in_(ids)))
