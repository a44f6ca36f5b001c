"""What the pages offer is what they take: random hours, rules and zones around every change of the clock."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as bounds
from hypothesis import strategies as st
from sqlalchemy import delete

from calapp.availability import service as availability
from calapp.bookings import times
from calapp.bookings.models import Attendee, Booking, BusySlot
from calapp.clock import iso_seconds
from calapp.config import Settings
from calapp.db import db, transaction
from calapp.event_types.models import EventType
from calapp.local_time import spoken_date
from tests.availability.test_slots import CHANGES, ZONES, ranges

SLOT = re.compile(r'name="slot" value="([^"]+)"')
DAY = re.compile(r'aria-label="([^"]+), (\d+) times? available"')
FORM = {"name": "Ada Byron", "email": "ada@example.com"}
FIELDS = ("length", "step", "buffer_before", "buffer_after", "notice", "max_days", "max_per_day")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, rate_limits="off")


@st.composite
def weeks(draw):
    """Draw a host's zone and hours, an event type's rules, a day, the present instant, a visitor's zone."""
    day = draw(st.sampled_from(CHANGES) | st.dates(date(2026, 1, 1), date(2028, 12, 31)))
    some = st.lists(ranges, min_size=1, max_size=2)
    weekly = draw(st.dictionaries(st.integers(0, 6), some)) | {day.weekday(): draw(some)}
    overrides = draw(st.sampled_from([{}, {day: []}]) | some.map(lambda own: {day: own}))
    rules = {
        "length": draw(st.sampled_from([15, 30, 60])),
        "step": draw(st.sampled_from([None, 15, 45])),
        "buffer_before": draw(st.sampled_from([0, 10])),
        "buffer_after": draw(st.sampled_from([0, 15])),
        "notice": draw(st.sampled_from([0, 600])),
        "max_days": draw(st.sampled_from([3, 20, 60])),
        "max_per_day": draw(st.sampled_from([None, 1])),
    }
    ago = timedelta(days=draw(st.integers(0, 10)), hours=draw(st.integers(0, 23)))
    present = datetime(day.year, day.month, day.day, 12, tzinfo=UTC) - ago
    zones = st.sampled_from(ZONES)
    return draw(zones), weekly, overrides, rules, day, present, draw(zones)


@pytest.fixture
def week_of(quick_chat: EventType, monday) -> Iterator:
    """Return a function that gives Rick these hours and rules, no bookings, and this moment."""

    def prepare(zone, weekly, overrides, rules, present) -> None:
        monday.move_to(present)
        with transaction() as session:
            for table in (BusySlot, Attendee, Booking):
                session.execute(delete(table))
            quick_chat.user.time_zone = zone
            availability.replace_hours(session, quick_chat.user, [weekly.get(at, ()) for at in range(7)])
            for at in availability.hours_of(session, quick_chat.user).overrides:
                availability.remove_override(session, quick_chat.user, at)
            for at, own in overrides.items():
                availability.set_overrides(session, quick_chat.user, [at], own)
            for name in FIELDS:
                setattr(quick_chat, name, rules[name])

    return prepare


def counts_of(client: FlaskClient, day: date, zone: str) -> dict[str, int]:
    page = client.get(f"/rick/quick-chat?month={day:%Y-%m}&tz={zone}").text
    return {label: int(count) for label, count in DAY.findall(page)}


def slots_of(client: FlaskClient, day: date, zone: str) -> list[str]:
    page = client.get(f"/rick/quick-chat?date={day}&tz={zone}").text
    return SLOT.findall(page)


around_changes = bounds(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


@around_changes
@given(weeks())
def test_the_month_counts_what_its_days_show(client: FlaskClient, week_of, week) -> None:
    *hours_and_rules, day, present, visitor = week
    week_of(*hours_and_rules, present)
    counts = counts_of(client, day, visitor)
    for at in (day, day.replace(day=1), present.astimezone(ZoneInfo(visitor)).date()):
        if at.month == day.month:
            assert len(slots_of(client, at, visitor)) == counts.get(spoken_date(at), 0)


@around_changes
@given(weeks(), st.lists(st.integers(0, 287), min_size=8, max_size=8))
def test_a_start_is_free_exactly_when_it_is_shown(client, week_of, quick_chat, week, cells) -> None:
    *hours_and_rules, day, present, visitor = week
    week_of(*hours_and_rules, present)
    shown = set(slots_of(client, day, visitor))
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(visitor)).astimezone(UTC)
    for cell in cells:
        start = midnight + timedelta(minutes=5 * cell)
        if start.astimezone(ZoneInfo(visitor)).date() == day:
            assert times.is_free(db.session(), quick_chat, start) == (iso_seconds(start) in shown)


@around_changes
@given(weeks(), st.integers(0, 40))
def test_a_shown_time_is_taken_once_and_with_it_what_it_meets(client, week_of, week, number) -> None:
    zone, weekly, overrides, rules, day, present, visitor = week
    week_of(zone, weekly, overrides, rules, present)
    shown = slots_of(client, day, visitor)
    if not shown:
        return
    chosen = shown[number % len(shown)]
    form = FORM | {"start": chosen, "time_zone": visitor}
    assert [client.post("/rick/quick-chat", data=form).status_code for _ in range(2)] == [303, 409]
    left = slots_of(client, day, visitor)
    assert set(left) < set(shown)
    space = timedelta(minutes=rules["length"] + rules["buffer_before"] + rules["buffer_after"])
    at = datetime.fromisoformat(chosen)
    assert all(abs(datetime.fromisoformat(slot) - at) >= space for slot in left)


@around_changes
@given(weeks(), st.integers(0, 287))
def test_a_time_that_is_not_shown_is_refused(client, week_of, week, cell) -> None:
    *hours_and_rules, day, present, visitor = week
    week_of(*hours_and_rules, present)
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(visitor)).astimezone(UTC)
    start = midnight + timedelta(minutes=5 * cell)
    form = FORM | {"start": iso_seconds(start), "time_zone": visitor}
    local = start.astimezone(ZoneInfo(visitor)).date()
    expected = 303 if iso_seconds(start) in slots_of(client, local, visitor) else 409
    assert client.post("/rick/quick-chat", data=form).status_code == expected
