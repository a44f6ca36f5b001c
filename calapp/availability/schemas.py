"""Schedules, dates with hours of their own and time off, as forms and the API bring them, checked."""

import datetime as dt
import itertools
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from werkzeug.datastructures import MultiDict

from calapp import limits
from calapp.availability.models import Schedule
from calapp.availability.slots import Hours, Range
from calapp.local_time import is_zone
from calapp.rest.schemas import PatchSchema, RequestSchema, ResponseSchema, cleaned, said
from calapp.text import line

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
CLOCK = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)(?::00)?")
DAY = 1440  # minutes
LONGEST_NIGHT = 720  # minutes; a longer range over midnight is more likely two times in the wrong order
NEW_RANGE = Range(540, 1020)  # 9 to 17, what an added day begins with
DAY_OFF = Range(0, 0)  # as Cal.com's API writes a date without hours
MIDNIGHT = ("0:00", "00:00", "00:00:00")
FIRST_YEAR, LAST_YEAR = 2000, 2200
MANY_RANGES = f"A day can have up to {limits.RANGES_PER_DAY} time ranges."

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
    said(MANY_RANGES, "too_long"),
]


def _zone(zone: str, info: ValidationInfo) -> str:
    """Check a zone; the context's `saved_zone` may stay, although the database may no longer have it."""
    if zone != (info.context or {}).get("saved_zone") and not is_zone(zone):
        raise ValueError("Please choose a time zone from the list.")
    return zone


ScheduleName = Annotated[
    str,
    Field(min_length=1, max_length=100, examples=["Working hours"]),
    cleaned(line),
    said("Please enter a name.", "string_too_short"),
    said("Please use up to 100 characters.", "string_too_long"),
]
ZoneName = Annotated[str, AfterValidator(_zone), Field(examples=["Europe/Rome"])]


class Week(BaseModel):
    """A schedule as its form has it: its name, its zone, and the hours of a week, Monday first."""

    name: ScheduleName
    time_zone: ZoneName
    day: list[DayHours]


class Override(BaseModel):
    """Dates and their hours, none for days off; the context has `today`, the host's date."""

    date: Annotated[
        list[Annotated[dt.date, said("Please choose a date.")]],
        Field(min_length=1, max_length=limits.DATES_AT_ONCE),
        said("Please choose a date.", "too_short"),
        said(f"You can add up to {limits.DATES_AT_ONCE} dates at a time.", "too_long"),
    ]
    off: bool
    override: DayHours

    @field_validator("date")
    @classmethod
    def _ahead(cls, dates: list[dt.date], info: ValidationInfo) -> list[dt.date]:
        if any(date < (info.context or {})["today"] or date.year > LAST_YEAR for date in dates):
            raise ValueError(f"Please choose a date from today to {LAST_YEAR}.")
        return dates

    @field_validator("override")
    @classmethod
    def _some(cls, ranges: list[Range], info: ValidationInfo) -> list[Range]:
        if not ranges and not info.data.get("off"):
            raise ValueError("Please enter hours, or choose a day off.")
        return ranges


class TimeOffInput(BaseModel):
    """Days off, the last one included; the context has `today`, the host's date. No last day: one day."""

    first_day: Annotated[dt.date, said("Please choose a date.")]
    last_day: Annotated[dt.date, said("Please choose a date.")]
    note: Annotated[
        str, Field(max_length=200), cleaned(line), said("Please use up to 200 characters.", "string_too_long")
    ] = ""

    @field_validator("last_day")
    @classmethod
    def _behind(cls, last: dt.date, info: ValidationInfo) -> dt.date:
        first = info.data.get("first_day")
        if first is not None and last < first:
            raise ValueError("The last day must not be before the first day.")
        if last < (info.context or {})["today"] or last.year > LAST_YEAR:
            raise ValueError(f"Please choose a date from today to {LAST_YEAR}.")
        return last


Weekday = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
ClockTime = Annotated[
    str,
    Field(description="HH:MM in steps of five minutes; 24:00 is midnight at the end of the day."),
    Field(examples=["09:00"], max_length=8),
    cleaned(lambda text: "24:00" if text.strip() == "23:59" else text.strip()),
]


class ClockRange(RequestSchema):
    """From when to when, by the schedule's clock; an end before the start is on the next day."""

    start_time: ClockTime
    end_time: ClockTime

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        self.minutes()
        return self

    def minutes(self) -> Range:
        """Return it in minutes; raise ValueError for what is no range."""
        return _range((self.start_time, self.end_time))


class Availability(ClockRange):
    """Hours on some weekdays."""

    days: Annotated[list[Weekday], Field(max_length=7)]


OFFICE_HOURS = Availability.model_validate(
    {"days": list(WEEKDAYS[:5]), "startTime": "09:00", "endTime": "17:00"}
)


class DateHours(ClockRange):
    """Hours of a date, in place of those of its weekday; from 00:00 to 00:00 is a day off."""

    date: Annotated[dt.date, Field(examples=["2027-05-20"])]

    @field_validator("date")
    @classmethod
    def _sensible(cls, date: dt.date) -> dt.date:
        if not FIRST_YEAR <= date.year <= LAST_YEAR:
            raise ValueError(f"Must be a date between {FIRST_YEAR} and {LAST_YEAR}.")
        return date

    @property
    def off(self) -> bool:
        """Whether this makes the date a day off."""
        return self.start_time in MIDNIGHT and self.end_time in MIDNIGHT


class ScheduleBody(RequestSchema):
    """A new schedule."""

    name: ScheduleName
    time_zone: ZoneName
    is_default: Annotated[
        bool, Field(description="Whether event types that name no schedule use this one.")
    ] = False
    availability: Annotated[
        list[Availability],
        Field(max_length=7 * limits.RANGES_PER_DAY, description="Default: Monday to Friday, 09:00 to 17:00."),
    ] = [OFFICE_HOURS]
    overrides: Annotated[list[DateHours], Field(max_length=limits.DATES_PER_HOST)] = []

    @field_validator("availability")
    @classmethod
    def _a_week(cls, rows: list[Availability]) -> list[Availability]:
        _week(rows)
        return rows

    @field_validator("overrides")
    @classmethod
    def _of_dates(cls, rows: list[DateHours]) -> list[DateHours]:
        _dates(rows)
        return rows

    @property
    def week(self) -> list[list[Range]]:
        """The hours of each day, Monday first."""
        return _week(self.availability)

    @property
    def dates(self) -> dict[dt.date, list[Range]]:
        """The dates with hours of their own, none for a day off."""
        return _dates(self.overrides)


class SchedulePatch(ScheduleBody, PatchSchema):
    """Changes to a schedule. Omitted fields keep their value; lists are replaced as a whole."""

    name: ScheduleName = ""
    time_zone: ZoneName = ""


def _week(rows: Sequence[Availability]) -> list[list[Range]]:
    return [_one_day([row.minutes() for row in rows if day in row.days]) for day in WEEKDAYS]


def _dates(rows: Sequence[DateHours]) -> dict[dt.date, list[Range]]:
    found: dict[dt.date, list[Range]] = {}
    for date in sorted({row.date for row in rows}):
        of_date = [row for row in rows if row.date == date]
        if any(row.off for row in of_date) and len(of_date) > 1:
            raise ValueError(f"{date} cannot be a day off and have hours.")
        found[date] = [] if of_date[0].off else _one_day([row.minutes() for row in of_date])
    return found


def _one_day(ranges: list[Range]) -> list[Range]:
    if len(ranges) > limits.RANGES_PER_DAY:
        raise ValueError(MANY_RANGES)
    return _in_order(ranges)


class AvailabilityResponse(ResponseSchema):
    """Hours on some weekdays."""

    days: list[Weekday]
    start_time: str
    end_time: str


class DateHoursResponse(ResponseSchema):
    """Hours of a date; from 00:00 to 00:00 is a day off."""

    date: dt.date
    start_time: str
    end_time: str


class ScheduleResponse(ResponseSchema):
    """A schedule."""

    id: int
    owner_id: int
    name: str
    time_zone: str
    availability: list[AvailabilityResponse]
    is_default: bool
    overrides: list[DateHoursResponse]


def shown(schedule: Schedule, hours: Hours) -> ScheduleResponse:
    """Return a schedule as the API shows it, days with the same range together."""
    days: dict[Range, list[Any]] = {}
    for weekday, name in enumerate(WEEKDAYS):
        for one in hours.weekly.get(weekday, ()):
            days.setdefault(one, []).append(name)
    dates = [
        (date, *range_text(one)) for date, ranges in hours.overrides.items() for one in ranges or [DAY_OFF]
    ]
    return ScheduleResponse(
        id=schedule.id,
        owner_id=schedule.user_id,
        name=schedule.name,
        time_zone=hours.zone,
        is_default=schedule.is_default,
        availability=[
            AvailabilityResponse(days=names, start_time=start, end_time=end)
            for names, (start, end) in ((names, range_text(one)) for one, names in days.items())
        ],
        overrides=[
            DateHoursResponse(date=date, start_time=start, end_time=end) for date, start, end in dates
        ],
    )


def typed_ranges(form: MultiDict[str, str], prefix: str) -> list[Typed]:
    """Return the ranges of a form as they were typed, rows that were left empty included."""
    starts, ends = form.getlist(f"{prefix}-start"), form.getlist(f"{prefix}-end")
    return [(start.strip(), end.strip()) for start, end in zip(starts, ends, strict=False)]
