"""The life of a booking: every change locks the host's row first and writes its event beside the fact."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect, select, update
from sqlalchemy.orm import Session

from calapp import counters
from calapp.accounts.guards import current_host
from calapp.accounts.models import User
from calapp.accounts.service import lock_user
from calapp.bookings import copies, emails, metadata, times, visitors
from calapp.bookings.metadata import NO_METADATA, Metadata, Proof
from calapp.bookings.models import Booking, Status, find
from calapp.bookings.payload import booking_payload, cancelled, rejected
from calapp.bookings.rows import new_booking, searchable, successor, write
from calapp.bookings.times import ACTIVE
from calapp.clock import now
from calapp.config import settings
from calapp.db import after_commit, db
from calapp.deliveries import outbox
from calapp.errors import AlreadyBooked, Conflict, Invalid, NotFound, SlotTaken
from calapp.event_types.models import EventType
from calapp.event_types.service import check_length, lock_host_of
from calapp.statements import Plain
from calapp.text import line
from calapp.webhooks.models import Trigger

if TYPE_CHECKING:  # a worker imports this, and does without schemas
    from calapp.bookings.schemas import BookingRequest, RescheduleRequest

STATES = {
    Status.PENDING: "waiting for confirmation",
    Status.ACCEPTED: "confirmed",
    Status.REJECTED: "declined",
    Status.CANCELLED: "cancelled",
}
HALF_KEY = 32  # hex digits: a key against doubles has two halves


def booking_at(uid: str) -> Booking:
    """Return the booking with this uid; raise NotFound."""
    booking = find(db.session(), uid)
    if booking is None:
        raise NotFound
    return booking


def own_booking(uid: str) -> Booking:
    """Return the booking with this uid of the session's or key's host; raise NotFound for any other."""
    booking = booking_at(uid)
    if booking.host_id != current_host().id:
        raise NotFound
    return booking


def newest(session: Session, booking: Booking) -> Booking:
    """Follow a chain of reschedules to its newest booking."""
    while booking.rescheduled_to_uid is not None:
        following = find(session, booking.rescheduled_to_uid)
        if following is None:
            return booking
        booking = following
    return booking


def book(
    session: Session,
    event_type: EventType,
    request: "BookingRequest",
    *,
    address: str | None = None,
    idempotency_key: str | None = None,
    link: Metadata = NO_METADATA,
    by_host: bool = False,
    twelve_hours: bool | None = None,
) -> Booking:
    """Book a time; raise SlotTaken when it is not offered any more, AlreadyBooked when this form took it.

    Invalid says that the event type does not have this length.

    The request's answers are those that `answered` has checked. `address` is the internet address of a
    visitor, None for the host and the host's programs; `link` is what the metadata was read from;
    `twelve_hours` is the clock that the visitor reads, None where nobody knows. Raises LinkRefused when the
    event type insists on a signed link and it is none, unless the host's program books.
    The same request with the same `idempotency_key` returns the booking that it made: a double click books
    once.
    """
    host = lock_host_of(session, event_type)
    key = _full_key(idempotency_key, event_type.id, request, link.left_out)
    same = _booked_with(session, host, key)
    if same is not None:
        return same
    proof = metadata.proof_of(session, event_type, link)
    if event_type.require_signed_metadata and not by_host:
        metadata.refuse_unproved(event_type, proof)
    minutes = check_length(event_type, request.length_in_minutes, "lengthInMinutes")
    try:
        times.check_open(session, event_type, request.start, minutes=minutes)
    except SlotTaken:
        _check_own_form(session, host, key, request.start)
        raise
    booking = new_booking(host, event_type, request, minutes)
    booking.metadata_verified = proof is Proof.VERIFIED
    booking.tracking = dict(link.tracking)
    booking.visitor.twelve_hours = twelve_hours
    in_vain = [metadata.IN_VAIN[proof]] if proof in metadata.IN_VAIN else []
    booking.metadata_left_out = [*in_vain, *link.left_out]
    booking.idempotency_key = key
    booking.reminder_at = booking.next_reminder()
    parked = False
    if address is not None:
        email = request.attendee.email
        with session.no_autoflush:  # nothing of it is written before it may be
            visitors.check_open_bookings(session, host, address, email)
            parked = _admitted(session, host, booking, address)
        booking.address_key = visitors.address_key(address)
        booking.email_key = visitors.email_key(email)
    pending = booking.status == Status.PENDING
    trigger = Trigger.BOOKING_REQUESTED if pending else Trigger.BOOKING_CREATED
    event = record_event(session, host, booking, trigger)
    times.hold_time(session, booking)
    emails.note(session, booking, event, "requested" if pending else "created", parked=parked)
    copies.touch(session, booking)
    after_commit(session, f"count {booking.uid}", partial(counters.count, counters.BOOKINGS))
    return booking


def _admitted(session: Session, host: User, booking: Booking, address: str, **act: bool) -> bool:
    """Count what a visitor does with a booking; return whether its emails are parked, or raise TooMany."""
    recipients = len(booking.attendees)
    return visitors.admit(session, host, address, booking.chain, recipients=recipients, **act)


def _full_key(
    key: str | None, subject: object, request: "BookingRequest | RescheduleRequest", *more: object
) -> str | None:
    """Return the key against doubles: 32 hex digits of the form's token, 32 of all that was asked for.

    `subject` is what is booked or moved. So the same token with another name, email address or time is
    another request, and the first half still shows which form it came from.
    """
    if key is None:
        return None
    content = json.dumps([subject, request.model_dump(mode="json"), *more], sort_keys=True)
    return "".join(hashlib.sha256(text.encode()).hexdigest()[:HALF_KEY] for text in (key, content))


SAME = Plain("SELECT id FROM booking WHERE attempt = :key AND host_id = :host")


def _booked_with(session: Session, host: User, key: str | None) -> Booking | None:
    if key is None:
        return None
    same = SAME.read(session, key=key, host=host.id).first()
    return None if same is None else session.get(Booking, same[0])


def _check_own_form(session: Session, host: User, key: str | None, start: datetime) -> None:
    """Raise AlreadyBooked when the same form, filled in otherwise, holds this time."""
    if key is None:
        return
    of_form = (
        Booking.idempotency_key >= key[:HALF_KEY],
        Booking.idempotency_key < key[:HALF_KEY] + "g",
    )  # hex ends with f
    booked = select(Booking).where(*of_form, Booking.host_id == host.id, Booking.starts_at == start)
    booking = session.scalar(booked.where(Booking.status.in_(ACTIVE)).limit(1))
    if booking is not None:
        raise AlreadyBooked(booking.uid)


def take_over(
    session: Session,
    event_type: EventType,
    request: "BookingRequest",
    *,
    uid: str,
    title: str,
    status: Status,
    location: str | None,
) -> Booking:
    """Store a booking that was made in another program, with its uid; no event is recorded, no email sent.

    Its time has to be free of other bookings, but neither offered nor in steps of five minutes, and may last
    as long as it likes. `location` replaces that of the event type. Raises SlotTaken, and Conflict when the
    uid is used already.
    """
    host = lock_user(session, event_type.user_id)
    if find(session, uid) is not None:
        raise Conflict("There is already a booking with this uid.")
    booking = new_booking(host, event_type, request, request.length_in_minutes or event_type.length, uid)
    booking.status, booking.title = status, line(title)[:300] or booking.title
    booking.location = booking.location if location is None else location
    booking.search = searchable(booking)
    booking.reminder_at = booking.next_reminder()
    write(session, booking)
    times.hold_time(session, booking)
    return booking


def record_event(
    session: Session,
    host: User,
    booking: Booking,
    trigger: Trigger,
    *,
    added: Mapping[str, Any] | None = None,
    expires_at: datetime | None = None,
) -> outbox.Recorded:
    """Record an event of a booking, the next of its chain, and write the booking when it is new."""
    booking.sequence += 1
    if inspect(booking).transient:
        write(session, booking)
    session.flush()  # writes the booking and its count in one statement
    payload = booking_payload(booking, settings().base_url) | dict(added or {})
    return outbox.record(
        session,
        user=host,
        trigger=trigger,
        payload=payload,
        chain=booking.chain,
        sequence=booking.sequence,
        subject=booking.uid,
        event_type_id=booking.event_type_id,
        expires_at=expires_at,
        search=booking.search,
    )


def change_status(session: Session, booking: Booking, expected: Sequence[Status], to: Status) -> None:
    """Change a booking's status from one that is expected; raise Conflict when it has another by now."""
    changed = session.execute(
        update(Booking)
        .where(Booking.id == booking.id, Booking.status.in_(expected))
        .values(status=to)
        .execution_options(synchronize_session=False)
    )
    if changed.rowcount != 1:  # type: ignore[attr-defined]
        session.refresh(booking)
        raise Conflict(too_late(booking))
    session.refresh(booking)


def check_in_time(booking: Booking) -> None:
    """Raise Conflict for a booking whose start has passed without an answer, recorded or not."""
    if booking.unanswered:
        raise Conflict(too_late(booking))


def too_late(booking: Booking) -> str:
    """Return what has become of a booking, for somebody who came too late to change it."""
    if booking.rescheduled_to_uid is not None:
        return "This booking has already been rescheduled."
    if booking.unanswered:
        return "This booking was not confirmed in time; its start has passed."
    return f"This booking is already {STATES[Status(booking.status)]}."


def confirm(session: Session, booking: Booking) -> None:
    """Confirm a booking that waits for it; raise Conflict when it does not, or when its start has passed."""
    host = lock_user(session, booking.host_id)
    session.refresh(booking)
    check_in_time(booking)
    change_status(session, booking, (Status.PENDING,), Status.ACCEPTED)
    booking.ical_sequence += 1
    booking.reminder_at = booking.next_reminder()
    moved = booking.rescheduled_from_id is not None
    trigger = Trigger.BOOKING_RESCHEDULED if moved else Trigger.BOOKING_CREATED
    event = record_event(session, host, booking, trigger)
    emails.note(session, booking, event, "confirmed")
    copies.touch(session, booking)


def reject(session: Session, booking: Booking, reason: str) -> None:
    """Decline a booking that waits for confirmation; raise Conflict as `confirm` does."""
    host = lock_user(session, booking.host_id)
    session.refresh(booking)
    check_in_time(booking)
    change_status(session, booking, (Status.PENDING,), Status.REJECTED)
    write_rejection(session, host, booking, reason, "rejected")


def write_rejection(
    session: Session, host: User, booking: Booking, reason: str, kind: str | None = None
) -> None:
    """Write what a rejection brings with it, by the host or by the clock; `kind` is of the emails, if any."""
    booking.rejection_reason = reason
    booking.ical_sequence += 1
    times.free_time(session, booking)
    event = record_event(session, host, booking, Trigger.BOOKING_REJECTED, added=rejected(booking))
    if kind:
        emails.note(session, booking, event, kind)


def cancel(
    session: Session,
    booking: Booking,
    *,
    by: str,
    reason: str,
    address: str | None = None,
    kind: str = "cancelled",
) -> None:
    """Cancel a booking for one side; raise Conflict when it is not active or has ended.

    `kind` is what the emails are about; `address` is a visitor's. Whoever has caused too many emails may
    cancel all the same; these then wait.
    """
    host = lock_user(session, booking.host_id)
    session.refresh(booking)
    check_in_time(booking)
    if booking.ends_at <= now():
        raise Conflict("This meeting is over and can no longer be cancelled.")
    change_status(session, booking, ACTIVE, Status.CANCELLED)
    booking.cancellation_reason = reason
    booking.cancelled_by = by
    booking.ical_sequence += 1
    times.free_time(session, booking)
    event = record_event(session, host, booking, Trigger.BOOKING_CANCELLED, added=cancelled(booking))
    parked = address is not None and _admitted(session, host, booking, address, always=True)
    emails.note(session, booking, event, kind, parked=parked)
    copies.touch(session, booking)


def reschedule(
    session: Session,
    booking: Booking,
    request: "RescheduleRequest",
    *,
    by: str,
    by_host: bool = False,
    time_zone: str | None = None,
    metadata: Metadata = NO_METADATA,
    address: str | None = None,
    idempotency_key: str | None = None,
    twelve_hours: bool | None = None,
) -> Booking:
    """Move a booking: a new one with a new uid takes its place; raise SlotTaken, Conflict or Invalid.

    `by` is the email address of who asks for it, `time_zone` where the visitor is by now (None leaves it as
    it was), `metadata` what the link adds; `address`, `idempotency_key` and `twelve_hours` are as in `book`.
    """
    host = lock_user(session, booking.host_id)
    link = [dict(metadata.values), *metadata.left_out]
    key = _full_key(idempotency_key, booking.chain, request, by, by_host, time_zone, link)
    same = _booked_with(session, host, key)
    if same is not None and same.rescheduled_to_uid is None:
        return same
    session.refresh(booking)
    _check_movable(booking, request.start)
    times.check_open(session, booking.event_type, request.start, booking.id, booking.minutes)
    parked = False
    if address is not None:
        visitors.check_moves(session, host, booking, address)
        parked = _admitted(session, host, booking, address, moved=True)
    asks = not by_host and (booking.event_type.requires_confirmation or booking.status == Status.PENDING)
    change_status(session, booking, ACTIVE, Status.CANCELLED)
    times.free_time(session, booking)
    moved = successor(booking, request.start, time_zone or booking.time_zone, metadata)
    if twelve_hours is not None:
        moved.visitor.twelve_hours = twelve_hours
    moved.status = Status.PENDING if asks else Status.ACCEPTED
    moved.reminder_at = moved.next_reminder()
    moved.idempotency_key = key if same is None else None  # moved back to where this form had moved it once
    booking.rescheduled_to_uid = moved.uid
    booking.rescheduled_by = by
    booking.rescheduling_reason = request.reason or ""
    trigger = Trigger.BOOKING_REQUESTED if asks else Trigger.BOOKING_RESCHEDULED
    event = record_event(session, host, moved, trigger)
    times.hold_time(session, moved)
    emails.note(session, moved, event, "requested" if asks else "rescheduled", parked=parked)
    copies.touch(session, moved)
    return moved


def _check_movable(booking: Booking, start: datetime) -> None:
    if booking.current_status not in ACTIVE:
        raise Conflict(too_late(booking))
    if booking.starts_at <= now():
        raise Conflict("This meeting has already started and can no longer be rescheduled.")
    if start == booking.starts_at:
        problem = "This is already the booked time. Please choose another."
        raise Invalid(problem, start=problem)
