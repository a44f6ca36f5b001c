"""Weekly hours and date overrides as a host types them, checked."""

import datetime as dt
import itertools
import re
from collections.abc import Mapping, Sequence

from werkzeug.datastructures import MultiDict

from calapp import limits
from calapp.accounts.schemas import is_zone
from calapp.availability.slots import Range
from calapp.errors import Invalid

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


def typed_week(form: MultiDict[str, str]) -> dict[int, list[Typed]]:
    """Return the week's ranges as they were typed, rows that were left empty included."""
    return {day: _pairs(form, f"day-{day}") for day in range(7)}


def _pairs(form: MultiDict[str, str], prefix: str) -> list[Typed]:
    starts, ends = form.getlist(f"{prefix}-start"), form.getlist(f"{prefix}-end")
    return [(start.strip(), end.strip()) for start, end in zip(starts, ends, strict=False)]


def checked_week(
    zone: str, typed: Mapping[int, Sequence[Typed]], *, saved_zone: str = ""
) -> dict[int, list[Range]]:
    """Return a week's ranges by day; raise Invalid naming each bad day (`day-0` is Monday) and the zone.

    The saved zone may stay, even when the time zone database no longer has it.
    """
    problems: dict[str, str] = {}
    weekly: dict[int, list[Range]] = {}
    if zone != saved_zone and not is_zone(zone):
        problems["time_zone"] = "Please choose a time zone from the list."
    for day, pairs in typed.items():
        try:
            weekly[day] = ranges_of(pairs)
        except Invalid as error:
            problems[f"day-{day}"] = error.message
    if problems:
        raise Invalid("Please correct what is marked.", **problems)
    return weekly


def ranges_of(pairs: Sequence[Typed]) -> list[Range]:
    """Return a day's ranges in order, rows that were left empty taken out.

    Raises Invalid for a range that runs backwards or meets another, and for too many.
    """
    pairs = [pair for pair in pairs if any(pair)]
    if len(pairs) > limits.RANGES_PER_DAY:
        raise Invalid(f"Please give at most {limits.RANGES_PER_DAY} ranges for a day.")
    found = sorted((_range(*pair) for pair in pairs), key=lambda one: one.start_minute)
    for earlier, later in itertools.pairwise(found):
        if later.start_minute < earlier.end_minute:
            first = f"{clock_text(earlier.start_minute)} to {clock_text(earlier.end_minute)}"
            second = f"{clock_text(later.start_minute)} to {clock_text(later.end_minute)}"
            raise Invalid(f"{first} and {second} overlap.")
    return found


def _range(start: str, end: str) -> Range:
    first, last = _minute(start), _minute(end)
    if last == 0:
        last = DAY  # a time field cannot say 24:00
    if first > last and last + DAY - first <= LONGEST_NIGHT:
        last += DAY
    if first >= last:
        raise Invalid(f"{clock_text(first)} to {clock_text(last)} runs backwards.")
    return Range(first, last)


def _minute(text: str) -> int:
    match = CLOCK.fullmatch(text)
    minute = int(match[1]) * 60 + int(match[2]) if match else -1
    if not 0 <= minute <= DAY:
        raise Invalid("Please give times such as 09:00 and 17:00.")
    if minute % 5:
        raise Invalid("Please give times in steps of five minutes.")
    return minute


def checked_override(form: MultiDict[str, str], today: dt.date) -> tuple[dt.date, list[Range]]:
    """Return a date and its hours, none for a day off; raise Invalid whose details name the bad field."""
    date = _date(form.get("date", ""), today)
    if form.get("off"):
        return date, []
    try:
        ranges = ranges_of(_pairs(form, "override"))
    except Invalid as error:
        raise Invalid(error.message, override=error.message) from None
    if not ranges:
        problem = "Please give hours, or make it a day off."
        raise Invalid(problem, override=problem)
    return date, ranges


def _date(text: str, today: dt.date) -> dt.date:
    try:
        date = dt.date.fromisoformat(text)
    except ValueError:
        problem = "Please choose a date."
        raise Invalid(problem, date=problem) from None
    if date < today or date.year > 2200:
        problem = "Please choose a date from today to 2200."
        raise Invalid(problem, date=problem)
    return date
