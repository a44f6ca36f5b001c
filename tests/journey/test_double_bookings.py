"""Twenty visitors want overlapping times at the same moment, each in a process of its own."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.bookings.models import Booking
from calapp.clock import iso_seconds, now
from calapp.config import Settings
from calapp.deliveries.models import Event
from calapp.event_types.models import EventType
from tests.conftest import on_both_databases
from tests.journey.rivals import Wish, race

pytestmark = on_both_databases

RIVALS = 20


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, rate_limits="off")


@pytest.fixture
def lengths(rick: User, saved: Callable[..., None]) -> list[int]:
    """Rick's event types of different lengths, each with a time every five minutes."""
    lengths = [15, 25, 60]
    saved(
        *(
            EventType(user_id=rick.id, title=f"{length} min", slug=f"{length}min", length=length, step=5)
            for length in lengths
        )
    )
    return lengths


def monday_in_berlin(hour: int, minute: int = 0) -> datetime:
    """Return an instant of the next Monday but one, when Rick is there."""
    berlin = ZoneInfo("Europe/Berlin")
    today = now().astimezone(berlin).date()
    monday = today + timedelta(days=14 - today.weekday())
    return datetime(monday.year, monday.month, monday.day, hour, minute, tzinfo=berlin).astimezone(UTC)


def wish(length: int, start: datetime) -> Wish:
    return f"/rick/{length}min", iso_seconds(start)


def test_overlapping_wishes_have_one_winner(settings: Settings, lengths: list[int], session: Session) -> None:
    noon = monday_in_berlin(12)
    # Every one of these meetings is under way at noon.
    wishes = [
        [wish(length, noon - timedelta(minutes=5 * (number % (length // 5))))]
        for number in range(RIVALS)
        for length in [lengths[number % 3]]
    ]
    statuses = sorted(answers[0][0] for answers in race(settings, wishes))
    assert statuses.count(303) == 1
    assert set(statuses) <= {303, 409, 503}  # 503: the database was busy for too long, and nothing happened
    assert _count(session, Booking) == _count(session, Event) == 1


def test_losers_are_shown_fresh_times(settings: Settings, lengths: list[int]) -> None:
    answers = race(settings, [[wish(15, monday_in_berlin(12))]] * 3)
    pages = [page for [(status, page)] in answers if status == 409]
    assert len(pages) == 2
    assert all("no longer available" in page and 'name="slot"' in page for page in pages)


def test_no_two_meetings_ever_overlap(settings: Settings, lengths: list[int], session: Session) -> None:
    chance = random.Random(1)
    first = monday_in_berlin(9)
    wishes = [
        [wish(chance.choice(lengths), first + timedelta(minutes=5 * chance.randrange(84))) for _ in range(4)]
        for _ in range(RIVALS)
    ]
    won = [status for answers in race(settings, wishes) for status, _ in answers].count(303)
    meetings = session.execute(select(Booking.starts_at, Booking.ends_at).order_by(Booking.starts_at)).all()
    assert all(earlier.ends_at <= later.starts_at for earlier, later in pairwise(meetings))
    assert won == len(meetings) == _count(session, Event)


def _count(session: Session, table: type) -> int:
    return session.scalar(select(func.count()).select_from(table))
