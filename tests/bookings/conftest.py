"""A Monday morning, and bookings made through the service."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.bookings import service
from calapp.bookings.metadata import Metadata
from calapp.bookings.models import Booking
from calapp.db import transaction
from calapp.deliveries.models import Event
from calapp.event_types.models import EventType
from tests.booking_requests import booking_request

MONDAY = datetime(2027, 1, 4, 7, tzinfo=UTC)  # 8:00 in Berlin
TUESDAY_TEN = datetime(2027, 1, 5, 10, tzinfo=UTC)


@pytest.fixture(autouse=True)
def monday() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(MONDAY, tick=False) as clock:
        yield clock


@pytest.fixture
def book(quick_chat: EventType) -> Callable[..., Booking]:
    """Return a function that books Rick's quick chat."""

    def make(
        start: datetime = TUESDAY_TEN,
        event_type: EventType = quick_chat,
        left_out: Sequence[str] = (),
        **more: object,
    ) -> Booking:
        link = Metadata(left_out=tuple(left_out))
        with transaction() as session:
            return service.book(session, event_type, booking_request(start, **more), link=link)

    return make


@pytest.fixture
def triggers(session: Session) -> Callable[[], list[str]]:
    """Return a function that gives the triggers of all events so far, in their order."""

    def read() -> list[str]:
        session.rollback()
        return list(session.scalars(select(Event.trigger).order_by(Event.number)))

    return read
