"""The table of expected times, and properties that hold for every zone, window and change of the clock."""

import itertools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calapp.availability.slots import (
    BusyTime,
    Hours,
    Range,
    Rules,
    by_local_date,
    is_open,
    open_slots,
)
from calapp.local_time import clock

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
LONG_AGO = datetime(2026, 6, 1, tzinfo=UTC)


def clock_texts(zone: str, window: tuple[int, int], day: str, visitor: str, **more) -> dict[str, list[str]]:
    """Return the clock texts of a single day's range by the visitor's date; the range is in hours."""
    at = date.fromisoformat(day)
    rules = {
        "length": 60,
        "buffer_before": 0,
        "buffer_after": 0,
        "notice": 0,
        "max_days": 1000,
        "max_per_day": None,
    }
    busy, now = more.pop("busy", ()), more.pop("now", LONG_AGO)
    rules |= {"step": more.get("length", 60)} | more
    hours = Hours(zone, {}, {at: [Range(int(window[0] * 60), int(window[1] * 60))]})
    middle = datetime(at.year, at.month, at.day, tzinfo=UTC)
    slots = open_slots(
        hours,
        Rules(**rules),
        busy,
        first=middle - timedelta(days=2),
        last=middle + timedelta(days=3),
        now=now,
    )
    days = by_local_date(slots, visitor)
    return {str(day): [clock(one, visitor) for one in found] for day, found in days.items()}


TABLE = [
    (BERLIN, (0, 6), "2027-03-28", BERLIN, 60, "2027-03-28: 00:00, 01:00, 03:00, 04:00, 05:00"),
    (
        BERLIN,
        (0, 6),
        "2027-10-31",
        BERLIN,
        60,
        "2027-10-31: 00:00, 01:00, 02:00 CEST, 02:00 CET, 03:00, 04:00, 05:00",
    ),
    (
        NEW_YORK,
        (0, 6),
        "2026-11-01",
        NEW_YORK,
        60,
        "2026-11-01: 00:00, 01:00 EDT, 01:00 EST, 02:00, 03:00, 04:00, 05:00",
    ),
    (BERLIN, (2.5, 5), "2027-03-28", BERLIN, 60, "2027-03-28: 03:00, 04:00"),
    (BERLIN, (2, 3), "2027-03-28", BERLIN, 60, ""),
    (BERLIN, (2, 3), "2027-10-31", BERLIN, 30, "2027-10-31: 02:00 CEST, 02:30 CEST, 02:00 CET, 02:30 CET"),
    (BERLIN, (9, 12), "2027-03-15", NEW_YORK, 60, "2027-03-15: 04:00, 05:00, 06:00"),
    (NEW_YORK, (9, 12), "2026-11-02", BERLIN, 60, "2026-11-02: 15:00, 16:00, 17:00"),
    ("America/Los_Angeles", (16, 18), "2027-01-12", "Pacific/Auckland", 60, "2027-01-13: 13:00, 14:00"),
    (
        "Australia/Lord_Howe",
        (0, 5),
        "2027-10-03",
        "Australia/Lord_Howe",
        60,
        "2027-10-03: 00:00, 01:00, 02:30, 03:30",
    ),
]


@pytest.mark.parametrize(("zone", "window", "day", "visitor", "length", "expected"), TABLE)
def test_a_window_gives_the_expected_times(zone, window, day, visitor, length, expected) -> None:
    found = clock_texts(zone, window, day, visitor, length=length)
    assert "; ".join(f"{day}: {', '.join(texts)}" for day, texts in found.items()) == expected


def test_buffers_keep_their_distance_from_a_booking() -> None:
    at = datetime(2027, 3, 15, 10, tzinfo=UTC)
    busy = [BusyTime(at - timedelta(minutes=10), at + timedelta(minutes=45))]
    rules = {"length": 30, "step": 15, "buffer_before": 10, "buffer_after": 15}
    found = clock_texts("UTC", (9, 12), "2027-03-15", "UTC", busy=busy, **rules)
    assert found == {"2027-03-15": ["09:00", "11:00", "11:15", "11:30"]}


def test_notice_hides_the_next_two_hours() -> None:
    now = datetime(2027, 3, 15, 9, 7, tzinfo=UTC)
    found = clock_texts("UTC", (9, 12), "2027-03-15", "UTC", length=30, notice=120, now=now)
    assert found == {"2027-03-15": ["11:30"]}


def test_twelve_hour_clocks_read_as_people_say() -> None:
    moments = [datetime(2027, 3, 15, hour, 5, tzinfo=UTC) for hour in (0, 9, 12, 23)]
    assert [clock(one, "UTC", twelve=True) for one in moments] == ["12:05am", "9:05am", "12:05pm", "11:05pm"]


NIGHTS = [
    ({0: [(1350, 1440)], 1: [(0, 120)]}, 60, "22:30 23:00 23:30 00:00 00:30 01:00"),
    ({0: [(1320, 1560)]}, 60, "22:00 22:30 23:00 23:30 00:00 00:30 01:00"),
    ({0: [(1320, 1560)], 1: [(120, 180)]}, 90, "22:00 22:30 23:00 23:30 00:00 00:30 01:00 01:30"),
    ({0: [(1320, 1435)], 1: [(0, 120)]}, 60, "22:00 22:30 00:00 00:30 01:00"),
    ({0: [(1320, 1440)], 1: [(0, 1440)], 2: [(0, 60)]}, 1440, None),
]


@pytest.mark.parametrize(("weekly", "length", "expected"), NIGHTS)
def test_v7_windows_that_touch_across_midnight_are_one_stretch(weekly, length, expected) -> None:
    ranges = {day: [Range(*one) for one in those] for day, those in weekly.items()}
    rules = Rules(
        length=length, step=30, buffer_before=0, buffer_after=0, notice=0, max_days=60, max_per_day=None
    )
    monday = datetime(2027, 3, 15, tzinfo=UTC)
    last = monday + timedelta(days=1, hours=2)
    found = open_slots(Hours("UTC", ranges, {}), rules, [], first=monday, last=last, now=monday)
    texts = " ".join(f"{slot:%H:%M}" for slot in found)
    assert texts == expected if expected else texts.startswith("22:00 22:30 23:00 23:30 00:00 00:30 01:00")


def test_v7_a_full_day_takes_no_more_from_the_night_before() -> None:
    monday, tuesday = datetime(2027, 3, 15, tzinfo=UTC), datetime(2027, 3, 16, tzinfo=UTC)
    rules = Rules(length=60, step=60, buffer_before=0, buffer_after=0, notice=0, max_days=60, max_per_day=1)
    hours = Hours("UTC", {0: [Range(1320, 1560)]}, {})
    counts = {tuesday.date(): 1}
    last = tuesday + timedelta(days=1)
    found = open_slots(hours, rules, [], first=monday, last=last, now=monday, day_counts=counts)
    assert [f"{slot:%H:%M}" for slot in found] == ["22:00", "23:00"]


ZONES = [
    BERLIN,
    NEW_YORK,
    "UTC",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Auckland",
    "Africa/Casablanca",
]
ZONES += [
    "America/St_Johns",
    "Pacific/Apia",
    "Asia/Calcutta",
    "Europe/London",
    "America/Santiago",
    "Antarctica/Troll",
]


def changes_of_the_clock() -> list[date]:
    """Return every date of 2026 to 2028 on which one of the zones changes its clock."""
    found = set()
    for name in ZONES:
        zone = ZoneInfo(name)
        at = datetime(2026, 1, 1, tzinfo=UTC)
        while at.year < 2029:
            after = at + timedelta(hours=12)
            if at.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
                found.add(after.astimezone(zone).date())
            at = after
    return sorted(found)


CHANGES = changes_of_the_clock()
minutes = st.integers(0, 288).map(lambda cell: cell * 5)
ranges = st.tuples(minutes, minutes).filter(lambda pair: pair[0] < pair[1]).map(lambda pair: Range(*pair))
days = st.sampled_from(CHANGES) | st.dates(date(2026, 1, 1), date(2028, 12, 31))
instants = st.integers(-600, 600).map(lambda cells: timedelta(minutes=5 * cells))


@st.composite
def situations(draw):
    """Draw hours, rules, busy times, a day and the present instant around it."""
    day = draw(days)
    middle = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    weekly = draw(st.dictionaries(st.integers(0, 6), st.lists(ranges, max_size=3)))
    around = [day + timedelta(days=shift) for shift in (-1, 0, 1)]
    overrides = draw(st.dictionaries(st.sampled_from(around), st.lists(ranges, max_size=2)))
    rules = Rules(
        length=draw(st.sampled_from([5, 15, 30, 60, 90])),
        step=draw(st.sampled_from([5, 15, 30, 60])),
        buffer_before=draw(st.sampled_from([0, 5, 30])),
        buffer_after=draw(st.sampled_from([0, 10, 45])),
        notice=draw(st.sampled_from([0, 60, 600])),
        max_days=draw(st.sampled_from([0, 1, 2, 60])),
        max_per_day=None,
    )
    busy = [
        BusyTime(middle + start, middle + start + timedelta(minutes=length))
        for start, length in draw(st.lists(st.tuples(instants, st.sampled_from([5, 30, 120])), max_size=5))
    ]
    now = middle + draw(instants)
    return Hours(draw(st.sampled_from(ZONES)), weekly, overrides), rules, busy, now, middle


bounded = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def listed(hours, rules, busy, now, middle):
    first, last = middle - timedelta(days=1), middle + timedelta(days=2)
    return open_slots(hours, rules, busy, first=first, last=last, now=now)


@bounded
@given(situations())
def test_no_time_meets_a_busy_one(situation) -> None:
    _, rules, busy, *_ = situation
    for slot in listed(*situation):
        begin = slot - timedelta(minutes=rules.buffer_before)
        end = slot + timedelta(minutes=rules.length + rules.buffer_after)
        assert not any(begin < one.end and one.start < end for one in busy)


@bounded
@given(situations())
def test_every_time_lies_within_windows(situation) -> None:
    hours, rules, *_ = situation
    zone = ZoneInfo(hours.zone)
    for slot in listed(*situation)[:40]:
        for minute in range(0, rules.length, 5):
            local = (slot + timedelta(minutes=minute)).astimezone(zone)
            windows = hours.overrides.get(local.date(), hours.weekly.get(local.weekday(), ()))
            at = local.hour * 60 + local.minute
            assert any(window.start_minute <= at < window.end_minute for window in windows)


@bounded
@given(situations())
def test_no_time_lies_before_notice_or_past_the_horizon(situation) -> None:
    hours, rules, _, now, _ = situation
    zone = ZoneInfo(hours.zone)
    horizon = now.astimezone(zone).date() + timedelta(days=rules.max_days)
    for slot in listed(*situation):
        assert slot >= now + timedelta(minutes=rules.notice)
        assert slot.astimezone(zone).date() <= horizon


@bounded
@given(situations(), st.sampled_from(ZONES))
def test_the_month_view_is_all_of_its_days(situation, visitor) -> None:
    hours, rules, busy, now, middle = situation
    zone = ZoneInfo(visitor)
    day = middle.astimezone(zone).date()
    edges = [
        datetime(at.year, at.month, at.day, tzinfo=zone).astimezone(UTC)
        for at in (day - timedelta(days=1), day, day + timedelta(days=1), day + timedelta(days=2))
    ]
    whole = open_slots(hours, rules, busy, first=edges[0], last=edges[3], now=now)
    single = [
        slot
        for first, last in itertools.pairwise(edges)
        for slot in open_slots(hours, rules, busy, first=first, last=last, now=now)
    ]
    assert whole == single


@bounded
@given(situations(), instants)
def test_what_is_accepted_is_what_was_listed(situation, shift) -> None:
    hours, rules, busy, now, middle = situation
    slots = listed(*situation)
    start = middle + shift
    within = middle - timedelta(days=1) <= start < middle + timedelta(days=2)
    if within:
        assert is_open(hours, rules, busy, start=start, now=now) == (start in slots)
    assert all(is_open(hours, rules, busy, start=slot, now=now) for slot in slots[:20])
