"""Which times are free: a pure function of zones, hours, rules, busy times and the present instant."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from calapp.local_time import clock, zone_of

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Range:
    """A part of a host's day, in minutes of its wall clock (0 to 1440)."""

    start_minute: int
    end_minute: int


@dataclass(frozen=True)
class Hours:
    """When a host is there: ranges by weekday (0 is Monday), and dates with other ranges, or none."""

    zone: str
    weekly: Mapping[int, Sequence[Range]]
    overrides: Mapping[date, Sequence[Range]]


@dataclass(frozen=True, slots=True)
class Rules:
    """What an event type asks for, in minutes; the horizon in days; a limit of bookings a day or none."""

    length: int
    step: int
    buffer_before: int
    buffer_after: int
    notice: int
    max_days: int
    max_per_day: int | None


@dataclass(frozen=True, slots=True)
class Busy:
    """A taken time, already widened by its own booking's buffers; its end is free again."""

    start: datetime
    end: datetime


def open_slots(
    hours: Hours,
    rules: Rules,
    busy: Sequence[Busy],
    *,
    first: datetime,
    last: datetime,
    now: datetime,
    day_counts: Mapping[date, int] | None = None,
) -> list[datetime]:
    """Return the free starts in [first, last), in order, as aware UTC instants.

    `day_counts` are the event type's bookings on each of the host's days.
    """
    zone = zone_of(hours.zone)
    first = max(first, now + timedelta(minutes=rules.notice))
    last = min(last, _horizon(zone, rules, now))
    if first >= last:
        return []
    taken = _apart(busy)
    found: set[datetime] = set()
    day, end = first.astimezone(zone).date() - DAY, last.astimezone(zone).date()
    while day <= end:
        if not _full(rules, day, day_counts or {}):
            candidates = _of_day(hours, rules, zone, day)
            found.update(start for start in candidates if first <= start < last)
        day += DAY
    return [start for start in sorted(found) if not _meets(start, rules, taken)]


def is_open(
    hours: Hours,
    rules: Rules,
    busy: Sequence[Busy],
    *,
    start: datetime,
    now: datetime,
    day_counts: Mapping[date, int] | None = None,
) -> bool:
    """Say whether a start is free, by the very function that lists the free ones."""
    last = start + timedelta(microseconds=1)
    return bool(open_slots(hours, rules, busy, first=start, last=last, now=now, day_counts=day_counts))


def _full(rules: Rules, day: date, counts: Mapping[date, int]) -> bool:
    return rules.max_per_day is not None and counts.get(day, 0) >= rules.max_per_day


def _horizon(zone: ZoneInfo, rules: Rules, now: datetime) -> datetime:
    """Return the end of the last day that can be booked, as the host's calendar has it."""
    return _instant(now.astimezone(zone).date() + DAY * rules.max_days, 1440, zone, end=True)


def _of_day(hours: Hours, rules: Rules, zone: ZoneInfo, day: date) -> Iterator[datetime]:
    """Step through a day's windows in UTC: a step on the wall clock would trip over changes of the clock."""
    ranges = hours.overrides.get(day)
    if ranges is None:
        ranges = hours.weekly.get(day.weekday(), ())
    length, step = timedelta(minutes=rules.length), timedelta(minutes=rules.step)
    for window in ranges:
        start = _instant(day, window.start_minute, zone, end=False)
        end = _instant(day, window.end_minute, zone, end=True)
        while start + length <= end:
            yield start
            start += step


def _instant(day: date, minute: int, zone: ZoneInfo, *, end: bool) -> datetime:
    """Turn a minute of a day's wall clock into UTC.

    A time that does not exist slides to the first instant after the gap; one that exists twice is the first
    for a start and the last for an end; minute 1440 is the next day's 00:00.
    """
    days, minute = divmod(minute, 1440)
    wall = datetime(day.year, day.month, day.day, minute // 60, minute % 60) + DAY * days  # noqa: DTZ001  # a wall time
    early, late = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if early.astimezone(zone).replace(tzinfo=None) != wall:  # in a gap: fold 1 lies before it, fold 0 behind
        return _gap_end(late, early, zone)
    return late if end else early


def _gap_end(before: datetime, behind: datetime, zone: ZoneInfo) -> datetime:
    """Find the first instant after a change of the clock that lies between two instants."""
    offset = behind.astimezone(zone).utcoffset()
    low, high = before, behind
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            high = middle
            continue
        low = middle
    return high.replace(microsecond=0)


def _apart(busy: Sequence[Busy]) -> list[Busy]:
    """Return the same busy times in order, those that overlap made one."""
    apart: list[Busy] = []
    for one in sorted(busy, key=lambda one: one.start):
        if apart and one.start <= apart[-1].end:
            apart[-1] = Busy(apart[-1].start, max(apart[-1].end, one.end))
            continue
        apart.append(one)
    return apart


def _meets(start: datetime, rules: Rules, taken: Sequence[Busy]) -> bool:
    """Say whether a meeting with its buffers meets a busy time; `taken` is in order and apart."""
    begin = start - timedelta(minutes=rules.buffer_before)
    end = start + timedelta(minutes=rules.length + rules.buffer_after)
    at = bisect_left(taken, end, key=lambda one: one.start)  # those before it begin before the end
    return at > 0 and begin < taken[at - 1].end


def by_local_date(slots: Sequence[datetime], zone: str) -> dict[date, list[datetime]]:
    """Group slots by their date in a zone, in order."""
    local = zone_of(zone)
    days: dict[date, list[datetime]] = {}
    for slot in slots:
        days.setdefault(slot.astimezone(local).date(), []).append(slot)
    return days


def labels(slots: Sequence[datetime], zone: str, *, twelve: bool) -> list[str]:
    """Return the clock texts of a day's slots; a time that exists twice says which of both it is."""
    return [clock(slot, zone, twelve) for slot in slots]
