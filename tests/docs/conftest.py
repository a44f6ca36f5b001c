"""What the engine really sends, and the guide's snippets as files."""

import importlib.util
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from zoneinfo import ZoneInfo

import pytest

from calapp.accounts.models import User
from calapp.bookings import service
from calapp.bookings.models import Booking
from calapp.clock import now
from calapp.db import transaction
from calapp.event_types.models import EventType
from tests.booking_requests import booking_request
from tests.deliveries.conftest import deliver, engine, receiver, subscribed  # noqa: F401  # fixtures
from tests.receiver import Receiver, Request
from tools.docs.texts import snippet

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_ASDFQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAAA"


def start_at(hour: int) -> datetime:
    """Return an instant of the next Monday but one, when Rick is there."""
    berlin = ZoneInfo("Europe/Berlin")
    today = now().astimezone(berlin).date()
    monday = today + timedelta(days=14 - today.weekday())
    return datetime(monday.year, monday.month, monday.day, hour, tzinfo=berlin).astimezone(UTC)


@pytest.fixture
def book(quick_chat: EventType) -> Callable[..., Booking]:
    """Return a function that books Rick's quick chat at an hour."""

    def make(hour: int = 10, **metadata: str) -> Booking:
        request = booking_request(start_at(hour), metadata=metadata or None)
        with transaction() as session:
            return service.book(session, quick_chat, request)

    return make


@pytest.fixture
def sent(
    rick: User,
    receiver: Receiver,
    deliver: Callable[[], None],
    book: Callable[..., Booking],
    saved: Callable[..., None],
) -> Callable[..., Request]:
    """Return a function that books, lets the engine deliver to a webhook, and gives the request that came."""

    def send(secret: str | None = SECRET, **values: object) -> Request:
        saved(subscribed(rick, receiver.url(), secret=secret, **values))
        book()
        deliver()
        return receiver.requests[-1]

    return send


@pytest.fixture
def module(tmp_path: Path) -> Callable[[str], ModuleType]:
    """Return a function that imports a snippet of the guide."""

    def load(name: str) -> ModuleType:
        path = tmp_path / name
        path.write_text(snippet(name))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded

    return load
