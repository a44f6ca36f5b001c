"""Times in a zone as people read them, where the clock is set, and where the zone is gone."""

from datetime import UTC, datetime, timedelta

import pytest

from calapp.local_time import clock, clock_span, instant_of, known_zone, spoken_time, to_the_second, zone_of


def at(day: int, hour: int, minute: int = 0, month: int = 10, year: int = 2027) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "minutes", "zone", "text"),
    [
        (at(31, 0, 30), 30, "Europe/Berlin", "02:30 CEST – 02:00 CET"),
        (at(31, 1, 30), 30, "Europe/Berlin", "02:30 CET – 03:00 CET"),
        (at(30, 23, 45), 30, "Europe/Berlin", "01:45 CEST – 02:15 CEST"),
        (at(30, 23, 30), 180, "Europe/Berlin", "01:30 CEST – 03:30 CET"),
        (at(28, 0, 30, month=3), 60, "Europe/Berlin", "01:30 CET – 03:30 CEST"),
        (at(30, 10), 30, "Europe/Berlin", "12:00 – 12:30"),
        (at(30, 21, 30), 60, "Europe/Berlin", "23:30 – Sunday, 31 October 2027, 00:30"),
        (at(30, 21), 60, "Europe/Berlin", "23:00 – Sunday, 31 October 2027, 00:00"),
        (at(3, 15, month=4), 15, "Australia/Lord_Howe", "01:30 UTC+10:30 – 01:45 UTC+10:30"),
        (at(30, 21, 30), 60, "Gone/Away", "21:30 – 22:30"),
    ],
)
def test_v6_a_span_says_what_the_clock_alone_does_not(
    start: datetime, minutes: int, zone: str, text: str
) -> None:
    assert clock_span(start, start + timedelta(minutes=minutes), zone) == text


def test_v6_a_time_that_exists_twice_says_which() -> None:
    assert clock(at(31, 0, 30), "Europe/Berlin", True) == "2:30am CEST"
    assert to_the_second(at(31, 1, 30), "Europe/Berlin") == "31 Oct 2027, 02:30:00 CET"
    assert spoken_time(at(31, 1, 30), at(31, 2), "Europe/Berlin").endswith(
        "02:30 CET – 03:00 CET (Europe/Berlin)"
    )


def test_v6_a_wall_time_that_exists_twice_is_read_as_the_first_or_the_last() -> None:
    wall = datetime(2027, 10, 31, 2, 30)  # noqa: DTZ001
    assert instant_of(wall, "Europe/Berlin", last=False) == at(31, 0, 30)
    assert instant_of(wall, "Europe/Berlin", last=True) == at(31, 1, 30)


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "", "../etc/passwd", "/etc/localtime", "Europe", "a\0b", "x" * 64]
)
def test_v10_a_zone_that_is_gone_counts_as_utc_and_says_so(name: str) -> None:
    assert (zone_of(name).key, known_zone(name)) == ("UTC", "UTC")
    text = spoken_time(at(30, 10), at(30, 11), name)
    assert text == f"Saturday, 30 October 2027, 10:00 – 11:00 (UTC; the time zone {name} is no longer known)"
