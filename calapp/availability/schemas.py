"""Weekly hours and dates with hours of their own, as a host types them, checked."""

import datetime as dt
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationInfo, field_validator
from werkzeug.datastructures import MultiDict

from calapp import limits
from calapp.accounts.schemas import is_zone
from calapp.availability.slots import Range
from calapp.rest.validation import from_form, said

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
CLOCK = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)(?::00)?")
DAY = 1440  # minutes
LONGEST_NIGHT = 720  # minutes; a longer range over midnight is more likely two times in the wrong order
NEW_RANGE = Range(540, 1020)  # 9 to 17, what an added day begins with

Typed = tuple[str, str]  # the two clock texts of a range


def clock_text(minute: int) -> str:
    """Return a minute of a day, or of the next, as its clock text; 1440 is 24:00."""
    minute = minute if minute <= DAY else minute - DAY
    return f"{minute // 60:02}:{minute % 60:02}"


def range_text(one: Range) -> Typed:
    """Return a range as its two clock texts."""
    return clock_text(one.start_minute), clock_text(one.end_minute)


def _minute(text: str) -> int:
    """Return the minute of the day that a clock text such as 22:00 writes."""
    match = CLOCK.fullmatch(text)
    minute = int(match[1]) * 60 + int(match[2]) if match else -1
    if not 0 <= minute <= DAY:
        raise ValueError("Please enter times such as 09:00 and 17:00.")
    if minute % 5:
        raise ValueError("Please enter times in steps of five minutes.")
    return minute


def _range(typed: Typed) -> Range:
    first, last = map(_minute, typed)
    if last == 0:
        last = DAY  # a time field cannot say 24:00
    if first > last and last + DAY - first <= LONGEST_NIGHT:
        last += DAY
    if first >= last:
        raise ValueError(f"{clock_text(first)} to {clock_text(last)} ends before it starts.")
    return Range(first, last)


def _in_order(ranges: list[Range]) -> list[Range]:
    found = sorted(ranges, key=lambda one: one.start_minute)
    for earlier, later in itertools.pairwise(found):
        if later.start_minute < earlier.end_minute:
            first, second = (" to ".join(range_text(one)) for one in (earlier, later))
            raise ValueError(f"{first} and {second} overlap.")
    return found


# The ranges of a day, from the two clock texts of each row; rows that were left empty are taken out.
DayHours = Annotated[
    list[Annotated[Range, BeforeValidator(_range)]],
    Field(max_length=limits.RANGES_PER_DAY),
    BeforeValidator(lambda rows: [row for row in rows if any(row)]),
    AfterValidator(_in_order),
    said(f"A day can have up to {limits.RANGES_PER_DAY} time ranges.", "too_long"),
]


class Week(BaseModel):
    """The hours of a week, Monday first, and the zone they are in.

    The context's `saved_zone` may stay, even when the time zone database no longer has it.
    """

    time_zone: str
    day: list[DayHours]

    @field_validator("time_zone")
    @classmethod
    def _known(cls, zone: str, info: ValidationInfo) -> str:
        if zone != (info.context or {}).get("saved_zone") and not is_zone(zone):
            raise ValueError("Please choose a time zone from the list.")
        return zone


class Override(BaseModel):
    """A date and its hours, none for a day off; the context has `today`, the host's date."""

    date: Annotated[dt.date, said("Please choose a date.")]
    off: bool
    override: DayHours

    @field_validator("date")
    @classmethod
    def _ahead(cls, date: dt.date, info: ValidationInfo) -> dt.date:
        if date < (info.context or {})["today"] or date.year > 2200:
            raise ValueError("Please choose a date from today to 2200.")
        return date

    @field_validator("override")
    @classmethod
    def _some(cls, ranges: list[Range], info: ValidationInfo) -> list[Range]:
        if not ranges and not info.data.get("off"):
            raise ValueError("Please enter hours, or choose a day off.")
        return ranges


def typed_week(form: MultiDict[str, str]) -> dict[int, list[Typed]]:
    """Return the week's ranges as they were typed, rows that were left empty included."""
    return {day: _rows(form, f"day-{day}") for day in range(7)}


def _rows(form: MultiDict[str, str], prefix: str) -> list[Typed]:
    starts, ends = form.getlist(f"{prefix}-start"), form.getlist(f"{prefix}-end")
    return [(start.strip(), end.strip()) for start, end in zip(starts, ends, strict=False)]


def checked_week(zone: str, typed: Mapping[int, Sequence[Typed]], *, saved_zone: str) -> Week:
    """Check a week; raise Invalid naming each bad day (`day-0` is Monday) and the zone."""
    given = {"time_zone": zone, "day": [typed[day] for day in range(7)]}
    return from_form(Week, given, rows="day", context={"saved_zone": saved_zone})


def checked_override(form: MultiDict[str, str], today: dt.date) -> Override:
    """Check a date and its hours; raise Invalid whose details name the bad field."""
    off = bool(form.get("off"))
    given: dict[str, Any] = {"off": off, "override": [] if off else _rows(form, "override")}
    return from_form(Override, given | {"date": form.get("date", "")}, context={"today": today})
