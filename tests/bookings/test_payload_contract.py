"""Every event's body, held against one contract."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.bookings import changes, service
from calapp.bookings.maintenance import record_meetings
from calapp.bookings.models import Booking
from calapp.db import transaction
from calapp.deliveries.models import Event
from calapp.event_types.models import EventType
from calapp.integrations.samples import sample_envelope
from calapp.webhooks.models import OF_BOOKINGS
from tests.booking_requests import move_request
from tests.bookings.conftest import TUESDAY_TEN
from tests.bookings.contract import check

NOON = TUESDAY_TEN + timedelta(hours=2)


def _do(function: Callable, *arguments: object, **more: object) -> Booking:
    with transaction() as session:
        return function(session, *arguments, **more)


@pytest.fixture
def bodies(
    book: Callable[..., Booking], quick_chat: EventType, change, monday, session: Session
) -> list[dict]:
    """The bodies of a life in which everything happens that can."""
    change(quick_chat, reminders=[60])
    booking = book(guests=("eve@example.com",), notes="See you", answers={})
    move = move_request(NOON, "Train is late")
    moved = _do(service.reschedule, booking, move, by="ada@example.com")
    _do(changes.change, moved, {"location": "Room 5", "guests": [], "notes": "See you there"})
    change(quick_chat, requires_confirmation=True)
    _do(service.reject, book(), "On holiday")
    _do(service.cancel, book(NOON + timedelta(hours=1)), by="ada@example.com", reason="Ill")
    monday.move_to(NOON - timedelta(minutes=60))
    record_meetings()
    monday.move_to(NOON + timedelta(hours=2))
    record_meetings()
    record_meetings()
    _do(changes.mark_no_show, moved, "ada@example.com", absent=True)
    return [json.loads(body) for body in session.scalars(select(Event.body).order_by(Event.number))]


def test_every_trigger_keeps_the_contract(bodies: list[dict]) -> None:
    for body in bodies:
        check(body)
    assert {body["triggerEvent"] for body in bodies} == {str(trigger) for trigger in OF_BOOKINGS}


def test_every_event_carries_the_links_metadata(bodies: list[dict]) -> None:
    assert [body["payload"]["metadata"] for body in bodies] == [{"user_id": "123"}] * len(bodies)


def test_every_chain_is_numbered_from_one(bodies: list[dict]) -> None:
    chains: dict[str, list[int]] = {}
    for body in bodies:
        chains.setdefault(body["payload"]["originalUid"], []).append(body["payload"]["sequence"])
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in chains.values())


def test_no_body_holds_what_lets_a_stranger_in(bodies: list[dict], rick: User, session: Session) -> None:
    session.refresh(rick)
    text = json.dumps(bodies)
    for secret in (rick.password_hash, rick.session_token, rick.calendar_token):
        assert secret not in text


def test_a_ping_keeps_the_contract_too(rick: User) -> None:
    assert check(sample_envelope(rick, "https://cal.example.com")).metadata == {"user_id": "123"}
