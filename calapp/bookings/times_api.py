"""The API of free times: listed, also in the shape of an older version, and held for a few minutes."""

from flask import after_this_request

from calapp.accounts.guards import OPEN
from calapp.bookings import times
from calapp.bookings.api import event_type_of, holder_of, is_host, keyless_limit
from calapp.bookings.models import SlotReservation
from calapp.bookings.queries import OldSlotsQuery, ReservationPatch, ReservationRequest, SlotsQuery
from calapp.bookings.responses import (
    OldRange,
    OldSlot,
    OldSlots,
    ReservationResponse,
    Slot,
    SlotStart,
    reserved,
    slots_by_date,
)
from calapp.bookings.service import booking_at
from calapp.bookings.times import taking_time
from calapp.calendars.maintenance import freshen_after
from calapp.db import db, transaction
from calapp.errors import NotAllowed
from calapp.event_types.models import EventType
from calapp.event_types.service import check_length
from calapp.rest.routes import Api

slots = Api("slots_api", tag="Slots")
blueprint = Api("slot_reservations_api", tag="Slots")

Slots = dict[str, list[Slot | SlotStart]]

LIST, ONE = "/v2/slots/reservations", "/v2/slots/reservations/<uid>"
LONGER = "Only a key of the host with write may say for how long a time is held."


@slots.operation("GET", "/v2/slots", access=OPEN, response=Slots, query=SlotsQuery, errors=(409,))
def index_slots(query: SlotsQuery) -> Slots:
    """List the available times of an event type by date."""
    event_type = event_type_of(query)
    host_id = event_type.user_id
    after_this_request(lambda response: freshen_after(response, host_id))
    uid = query.booking_uid_to_reschedule
    moved = booking_at(uid) if uid else None
    if moved and query.duration is None:
        minutes = moved.minutes
    else:
        minutes = check_length(event_type, query.duration, "duration")
    found = times.offered(
        db.session(),
        event_type,
        query.start,
        query.end,
        leave_out=moved.id if moved else None,
        minutes=minutes,
    )
    return slots_by_date(found, query, minutes)


@blueprint.operation(
    "POST",
    LIST,
    access=OPEN,
    response=ReservationResponse,
    status=201,
    body=ReservationRequest,
    errors=(403, 409),
    limits=(keyless_limit,),
)
def create(body: ReservationRequest) -> ReservationResponse:
    """Hold a time for 5 minutes: others cannot book it meanwhile.

    It is booked with the same key, from the same internet address, or with `reservationUid`. Without a write
    key of the host, one can hold as many times as one may have upcoming bookings (429).
    """
    event_type = event_type_of(body)
    with taking_time(), transaction() as session:
        made = times.reserve(
            session,
            event_type,
            body.start,
            holder=holder_of(),
            length=check_length(event_type, body.length, "slotDuration"),
            minutes=_minutes(event_type, body.minutes),
            limited=not is_host(event_type.user_id),
        )
    return reserved(made)


@blueprint.operation("GET", ONE, access=OPEN, response=ReservationResponse)
def show(uid: str) -> ReservationResponse:
    """Show a reservation; 404 once it is over."""
    return reserved(times.reservation_at(uid))


@blueprint.operation(
    "PATCH",
    ONE,
    access=OPEN,
    response=ReservationResponse,
    body=ReservationPatch,
    errors=(403, 409),
    limits=(keyless_limit,),
)
def update(uid: str, body: ReservationPatch) -> ReservationResponse:
    """Hold another time instead, or the same for 5 more minutes from now on."""
    with taking_time(), transaction() as session:
        reservation = times.reservation_at(uid)
        named = body.event_type_id is not None or body.username
        event_type = event_type_of(body) if named else reservation.event_type
        changed = times.reserve(
            session,
            event_type,
            body.start or reservation.starts_at,
            holder=reservation.holder,
            length=_length(event_type, reservation, body.length),
            minutes=_minutes(event_type, body.minutes),
            limited=not is_host(event_type.user_id),
            replacing=reservation,
        )
    return reserved(changed)


@blueprint.operation("DELETE", ONE, access=OPEN, response=ReservationResponse)
def delete(uid: str) -> ReservationResponse:
    """Free a held time."""
    with transaction() as session:
        reservation = times.reservation_at(uid)
        gone = reserved(reservation)
        times.end_reservation(session, reservation)
    return gone


@blueprint.operation("GET", "/v2/slots/available", access=OPEN, response=OldSlots, query=OldSlotsQuery)
def index_old(query: OldSlotsQuery) -> OldSlots:
    """List the available times of an event type in the shape of Cal.com's version 2024-04-15."""
    found: dict[str, list[OldRange | OldSlot]] = {
        day: [
            OldRange(start_time=one["start"], end_time=one["end"])
            if "end" in one
            else OldSlot(time=one["start"])
            for one in of_day
        ]
        for day, of_day in index_slots(query.today()).items()
    }
    return OldSlots(slots=found)


def _minutes(event_type: EventType, asked: int | None) -> int:
    """Return for how long a time is held; raise NotAllowed when that is not for this client to say."""
    if asked not in {None, times.RESERVED_MINUTES} and not is_host(event_type.user_id):
        raise NotAllowed(LONGER)
    return asked or times.RESERVED_MINUTES


def _length(event_type: EventType, reservation: SlotReservation, asked: int | None) -> int:
    """Return how long the meeting is, as it was unless the event type or the length changes."""
    if asked is None and event_type.id == reservation.event_type_id:
        return int((reservation.ends_at - reservation.starts_at).total_seconds() // 60)
    return check_length(event_type, asked, "slotDuration")
