"""Calendar files, and the free times of a day that each must leave."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from calapp.availability.slots import BusyTime, Hours, Range, Rules, open_slots
from calapp.calendars.components import unfolded
from calapp.calendars.expansion import Expanded, Wanted, expand

CASES = Path(__file__).parent / "cases"
NOW = datetime(2027, 2, 1, 6, tzinfo=UTC)
RULES = Rules(length=60, step=60, buffer_before=0, buffer_after=0, notice=0, max_days=120, max_per_day=None)
ALL = "08 09 10 11 12 13 14 15 16 17"
# The file, the host's zone, a day, and the hours from 8 to 18 that remain free.
TABLE = """
change-without-master  Europe/Berlin        2027-03-04  08 09 11 12 13 14 15 16 17
change-without-master  Europe/Berlin        2027-03-03  *
weekly-changed         Europe/Berlin        2027-02-01  08 09 11 12 13 14 15 16 17
weekly-changed         Europe/Berlin        2027-02-08  *
weekly-changed         Europe/Berlin        2027-02-15  *
weekly-changed         Europe/Berlin        2027-02-16  08 09 10 11 12 13 15 16 17
weekly-changed         Europe/Berlin        2027-02-22  *
weekly-changed         Europe/Berlin        2027-03-01  08 09 11 12 13 14 15 16 17
transparent            Europe/Berlin        2027-03-01  08 09 10 11 13 14 15 16 17
across-clock-changes   Europe/Berlin        2027-03-22  08 09 11 12 13 14 15 16 17
across-clock-changes   Europe/Berlin        2027-03-29  08 09 11 12 13 14 15 16 17
across-clock-changes   America/New_York     2027-03-08  *
across-clock-changes   America/New_York     2027-03-15  *
weekly-in-utc          Europe/Berlin        2027-03-22  08 10 11 12 13 14 15 16 17
weekly-in-utc          Europe/Berlin        2027-03-29  08 09 11 12 13 14 15 16 17
all-day                Europe/Berlin        2027-03-01  *
all-day                Europe/Berlin        2027-03-02  -
all-day                Europe/Berlin        2027-03-03  *
all-day                Europe/Berlin        2027-03-04  -
all-day                Europe/Berlin        2027-03-05  -
all-day                Europe/Berlin        2027-03-06  *
all-day                Pacific/Kiritimati   2027-03-02  -
all-day                Pacific/Kiritimati   2027-03-03  *
all-day                America/Los_Angeles  2027-03-01  *
all-day                America/Los_Angeles  2027-03-02  -
all-day                America/Los_Angeles  2027-03-03  *
all-day-in-auckland    Pacific/Auckland     2027-03-02  -
all-day-in-auckland    Europe/Berlin        2027-03-01  08 09 10 11
all-day-in-auckland    Europe/Berlin        2027-03-02  12 13 14 15 16 17
duration               Europe/Berlin        2027-03-01  08 09 12 13 14 15 16 17
duration               Europe/Berlin        2027-03-02  08 09 10 11 12 13 14 15
duration               Europe/Berlin        2027-03-03  16 17
no-end                 Europe/Berlin        2027-03-01  *
no-end                 Europe/Berlin        2027-03-02  -
no-end                 Europe/Berlin        2027-03-03  -
no-end                 Europe/Berlin        2027-03-04  *
windows-zone           Europe/Berlin        2027-03-01  08 09 11 12 13 14 15 17
own-zone               Europe/Berlin        2027-03-01  08 09 11 12 13 14 15 16 17
own-zone               Europe/Berlin        2027-03-29  08 09 11 12 13 14 15 16 17
dates                  Europe/Berlin        2027-03-01  08 09 11 12 13 14 15 16 17
dates                  Europe/Berlin        2027-03-02  08 09 11 12 13 14 15 16 17
dates                  Europe/Berlin        2027-03-03  08 09 10 11 13 14 15 16 17
dates                  Europe/Berlin        2027-03-04  08 09 10 11 12 15 16 17
until-and-count        Europe/Berlin        2027-03-01  08 09 11 13 15 17
until-and-count        Europe/Berlin        2027-03-02  08 09 11 13 15 17
until-and-count        Europe/Berlin        2027-03-03  08 09 11 12 13 15 16 17
until-and-count        Europe/Berlin        2027-03-04  08 09 10 11 12 13 15 16 17
until-and-count        Europe/Berlin        2027-03-05  *
this-and-future        Europe/Berlin        2027-03-02  08 09 11 12 13 14 15 16 17
this-and-future        Europe/Berlin        2027-03-03  08 09 10 11 12 13 16 17
this-and-future        Europe/Berlin        2027-03-05  08 09 10 11 12 13 16 17
this-and-future        Europe/Berlin        2027-03-06  *
unknown-zone           Europe/Berlin        2027-03-01  08 09 11 13 14 15 16 17
unknown-zone           America/New_York     2027-03-01  08 09 11 13 14 15 16 17
floating-in-new-york   Europe/Berlin        2027-03-01  08 10 11 12 13 15 16 17
running-before         Europe/Berlin        2027-02-15  -
running-before         Europe/Berlin        2027-03-01  -
running-before         Europe/Berlin        2027-03-20  *
secondly               Europe/Berlin        2027-03-01  08 09 11 13 14 15 16 17
broken                 Europe/Berlin        2027-03-01  08 09 10 11 12 13 15 16 17
event-without-end      Europe/Berlin        2027-03-01  08 09 10 11 12 13 15 16 17
declined               Europe/Berlin        2027-03-01  08 09 10 11 13 14 15 16 17
bookings               Europe/Berlin        2027-03-01  08 09 10 11 13 14 15 16 17
two-calendars          Europe/Berlin        2027-03-01  08 09 11 13 14 15 16 17
bom                    Europe/Berlin        2027-03-01  08 09 11 12 13 14 15 16 17
folded                 Europe/Berlin        2027-03-01  08 09 11 12 13 14 15 16 17
cr-alone               Europe/Berlin        2027-03-01  08 09 11 12 13 14 15 16 17
lower-case             Europe/Berlin        2027-03-01  08 09 11 12 13 14 15 16 17
alarm                  Europe/Berlin        2027-03-01  08 09 11 12 13 14 15 16 17
free-busy              Europe/Berlin        2027-03-01  08 09 11 12 14 15 16 17
two-versions           Europe/Berlin        2027-03-01  08 09 10 11 12 14 15 16 17
in-the-gap             Asia/Kolkata         2027-03-28  10 11 12 13 14 15 16 17
"""
ROWS = [line.split(maxsplit=3) for line in TABLE.strip().splitlines()]
LEFT_OUT = {"broken": 4, "event-without-end": 1, "secondly": 1}


def expanded(name: str, zone: str) -> Expanded:
    wanted = Wanted(
        NOW - timedelta(days=1),
        NOW + timedelta(days=122),
        zone,
        emails=["rick@example.com"],
        own=["mine@calapp"],
    )
    return expand(unfolded((CASES / f"{name}.ics").read_bytes()), wanted)


@pytest.mark.parametrize(
    ("name", "zone", "day", "free"), ROWS, ids=[f"{row[0]} {row[2]} {row[1]}" for row in ROWS]
)
def test_a_calendar_leaves_the_right_times_free(name: str, zone: str, day: str, free: str) -> None:
    busy = [BusyTime(*one) for one in expanded(name, zone).times]
    first = datetime.combine(date.fromisoformat(day), time(), ZoneInfo(zone)).astimezone(UTC)
    hours = Hours(zone, {weekday: [Range(480, 1080)] for weekday in range(7)}, {})
    slots = open_slots(hours, RULES, busy, first=first, last=first + timedelta(days=1), now=NOW)
    found = " ".join(f"{slot.astimezone(ZoneInfo(zone)):%H}" for slot in slots)
    assert found == {"*": ALL, "-": ""}.get(free, free)


def test_every_file_is_in_the_table() -> None:
    assert {path.stem for path in CASES.glob("*.ics")} == {row[0] for row in ROWS}


@pytest.mark.parametrize("name", sorted({row[0] for row in ROWS}))
def test_what_cannot_be_understood_is_counted(name: str) -> None:
    assert expanded(name, "Europe/Berlin").left_out == LEFT_OUT.get(name, 0)
