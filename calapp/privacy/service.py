"""Erasing visitors: from bookings, events, deliveries, attempts, mails and what the inspector got."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from calapp.bookings.models import Attendee, Booking
from calapp.config import settings
from calapp.db import database_now
from calapp.deliveries.models import Attempt, Delivery, Event, State
from calapp.event_types.models import LocationKind
from calapp.integrations.models import InspectorRequest
from calapp.mail import Mail

NAME = "Erased"
EMAIL = "erased@example.invalid"  # RFC 2606: a name that never is
REASON = "Its visitor was erased."
STEP = 100  # bookings that one step of the worker forgets

Counts = Counter[str]


def erase_visitor(session: Session, email: str) -> Counts:
    """Erase a person from everything; return how many rows of each kind were changed or removed.

    Of a booking that the person made everything goes that was said; of one where the person was a guest, the
    guest. A booking keeps its time and its status.
    """
    found = session.scalars(select(Attendee.booking_id).where(func.lower(Attendee.email) == email.lower()))
    chains = set(session.scalars(select(Booking.chain).where(Booking.id.in_(found.all()))))
    bookings = session.scalars(select(Booking).where(Booking.chain.in_(chains))).all()
    for booking in bookings:
        _erase_person(booking, email)
    counts = Counter({"bookings": len(bookings)}) + _erase_told(session, bookings)
    counts["mails"] += _removed(session, delete(Mail).where(func.lower(Mail.recipient) == email.lower()))
    counts["inspector requests"] += _forget_requests(session, [email])
    return +counts


def forget_old(session: Session) -> int:
    """Erase the visitors of a step of bookings that ended longer ago than the settings keep them."""
    days = settings().booking_retention_days
    if not days:
        return 0
    before = database_now(session) - timedelta(days=days)
    bookings = session.scalars(
        select(Booking)
        .where(Booking.erased_at.is_(None), Booking.ends_at < before)
        .order_by(Booking.ends_at)
        .limit(STEP)
    ).all()
    for booking in bookings:
        _erase_words(booking)
        for person in booking.attendees:
            _erase_attendee(person)
        booking.erased_at = database_now(session)
    _erase_told(session, bookings)
    return len(bookings)


def _erase_person(booking: Booking, email: str) -> None:
    for person in booking.attendees:
        if person.email.lower() == email.lower():
            if person.position == 0:
                _erase_words(booking)
            _erase_attendee(person)
    for field in ("rescheduled_by", "cancelled_by"):
        if (getattr(booking, field) or "").lower() == email.lower():
            setattr(booking, field, EMAIL)


def _erase_attendee(person: Attendee) -> None:
    person.name, person.email, person.time_zone = NAME, EMAIL, "UTC"


def _erase_words(booking: Booking) -> None:
    """Remove what the visitor said, and what was said to the visitor."""
    booking.title = booking.event_type.title
    booking.time_zone = "UTC"
    booking.notes = ""
    booking.answers, booking.link_metadata, booking.metadata_left_out = {}, {}, []
    booking.attempt = None
    if booking.event_type.location_kind == LocationKind.PHONE:
        booking.location = ""
    for field in ("rescheduling_reason", "cancellation_reason", "rejection_reason"):
        if getattr(booking, field) is not None:
            setattr(booking, field, "")


def _erase_told(session: Session, bookings: Sequence[Booking]) -> Counts:
    """Erase what was told about bookings: bodies, answers of receivers, mails."""
    uids = [booking.uid for booking in bookings]
    events = session.scalars(select(Event.id).where(Event.subject.in_(uids))).all()
    deliveries = session.scalars(select(Delivery.id).where(Delivery.event_id.in_(events))).all()
    attempts = _changed(
        session,
        update(Attempt)
        .where(Attempt.delivery_id.in_(deliveries))
        .values(response_headers="", response_body=""),
    )
    _changed(session, update(Event).where(Event.id.in_(events)).values(body=None, search=""))
    _changed(session, update(Delivery).where(Delivery.id.in_(deliveries)).values(body=None))
    _end_open(session, deliveries)
    return Counter(
        {
            "events": len(events),
            "deliveries": len(deliveries),
            "attempts": attempts,
            "mails": _removed(session, delete(Mail).where(Mail.about.in_(uids))),
            "inspector requests": _forget_requests(session, uids),
        }
    )


def _end_open(session: Session, deliveries: Collection[int]) -> None:
    """Let go of what was still to be sent: there is no body any more."""
    open_ones = (
        Delivery.id.in_(deliveries),
        Delivery.state.in_((State.WAITING, State.PARKED)),
    )
    values = {
        "state": State.EXPIRED,
        "reason": REASON,
        "due_at": None,
        "after_id": None,
        "claim": None,
        "finished_at": database_now(session),
    }
    _changed(session, update(Delivery).where(*open_ones).values(values))


def _forget_requests(session: Session, words: Collection[str]) -> int:
    """Remove what the inspector got that has one of these words in it."""
    if not words:
        return 0
    holding = or_(*(InspectorRequest.body.icontains(word, autoescape=True) for word in words))
    return _removed(session, delete(InspectorRequest).where(holding))


def _changed(session: Session, statement: object) -> int:
    options = {"synchronize_session": False}
    return session.execute(statement, execution_options=options).rowcount  # type: ignore[call-overload, no-any-return]


_removed = _changed
