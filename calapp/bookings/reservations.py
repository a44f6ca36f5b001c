"""Times held for a few minutes over the API: taken for others, free for who holds them."""

import uuid
from datetime import datetime, timedelta

from sqlalchemy import and_, delete, func, insert, or_, select
from sqlalchemy.orm import Session

from calapp.accounts.service import lock_user
from calapp.bookings import times
from calapp.bookings.models import ReservedSlot, SlotReservation
from calapp.bookings.times import CELL
from calapp.clock import now
from calapp.config import settings
from calapp.db import db
from calapp.errors import NotFound, TooMany
from calapp.event_types.models import EventType

MINUTES = 5  # that a time is held, unless the host's program says otherwise
TOO_MANY = "You are holding {} times already, which is the limit. Please book or delete one first."


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
    minutes: int = MINUTES,
    limited: bool = True,
    replacing: SlotReservation | None = None,
) -> SlotReservation:
    """Hold a time; raise SlotTaken when it is not free, TooMany when a visitor holds too many.

    `length` is the meeting's in minutes; `replacing` is a reservation that gives up its time for this one
    and keeps its uid.
    """
    host = lock_user(session, event_type.user_id)
    forget_expired(session, host.id)
    uid = str(uuid.uuid4())
    if replacing is not None:
        uid, holder = replacing.uid, replacing.holder
        _remove(session, [replacing.id])
    most = settings().open_bookings_per_address if limited else 0
    held = select(func.count(SlotReservation.id)).where(
        SlotReservation.host_id == host.id, SlotReservation.holder == holder
    )
    if most and (session.scalar(held) or 0) >= most:
        raise TooMany(TOO_MANY.format(most), retry_after=MINUTES * 60)
    times.check_open(session, event_type, start, minutes=length)
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
    end = made.ends_at + timedelta(minutes=event_type.buffer_after)
    cells = []
    while at < end:
        cells.append({"host_id": host.id, "at": at, "reservation_id": made.id})
        at += CELL
    with times.taking_time():
        session.execute(insert(ReservedSlot), cells)
    return made


def release(session: Session, host_id: int, start: datetime, *, holder: str, uid: str | None = None) -> None:
    """Free the time that a client holds and now books, and that of the reservation that it names.

    Called in the transaction of its booking: a booking that fails leaves them as they were.
    """
    lock_user(session, host_id)
    mine = and_(SlotReservation.holder == holder, SlotReservation.starts_at == start)
    whose = or_(mine, SlotReservation.uid == uid) if uid else mine
    found = select(SlotReservation.id).where(SlotReservation.host_id == host_id, whose)
    _remove(session, list(session.scalars(found)))


def end(session: Session, reservation: SlotReservation) -> None:
    """Free a held time."""
    lock_user(session, reservation.host_id)
    _remove(session, [reservation.id])


def forget_expired(session: Session, host_id: int | None = None, limit: int = 500) -> int:
    """Delete a step of the reservations that are over, of one host or of all; return how many."""
    over = select(SlotReservation.id).where(SlotReservation.expires_at <= now())
    if host_id is not None:
        over = over.where(SlotReservation.host_id == host_id)
    found = list(session.scalars(over.limit(limit)))
    _remove(session, found)
    return len(found)


def _remove(session: Session, ids: list[int]) -> None:
    if ids:
        session.execute(delete(ReservedSlot).where(ReservedSlot.reservation_id.in_(ids)))
        session.execute(delete(SlotReservation).where(SlotReservation.id.in_(ids)))
