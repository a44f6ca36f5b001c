"""Which times are free: a pure function of zones, hours, rules, busy times and the current instant."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from calapp.local_time import zone_of

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Range:
    """A part of a host's day, in minutes of its wall clock; an end past 1440 is on the next day."""

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
class Span:
    """A time from an instant up to another, which is outside."""

    start: datetime
    end: datetime


class BusyTime(Span):
    """A taken time, already widened by its own booking's buffers."""

    __slots__ = ()


def open_slots(
    hours: Hours,
    rules: Rules,
    busy: Sequence[BusyTime],
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
    last_day = now.astimezone(zone).date() + DAY * rules.max_days  # as the host's calendar has it
    last = min(last, _instant(last_day, 1440, zone, end=True))
    if first >= last:
        return []
    taken = _apart(busy)
    found: list[datetime] = []
    day, end = first.astimezone(zone).date() - DAY, last.astimezone(zone).date()
    # A meeting of a day's last span may run on through the next day's first one.
    days = [day + DAY * number for number in range((end - day).days + 3)]
    spans = {one: _spans(hours, zone, one) for one in days}
    stretches = _apart([span for of_day in spans.values() for span in of_day])
    while day <= end:
        found += _starts(spans[day], stretches, rules, first, last)
        day += DAY
    most = rules.max_per_day
    full = {day for day, count in (day_counts or {}).items() if most is not None and count >= most}
    found.sort()
    once = found[:1] + [start for last, start in pairwise(found) if start != last]
    free = _free(once, rules, taken)
    return [start for start in free if start.astimezone(zone).date() not in full] if full else free


def is_open(
    hours: Hours,
    rules: Rules,
    busy: Sequence[BusyTime],
    *,
    start: datetime,
    now: datetime,
    day_counts: Mapping[date, int] | None = None,
) -> bool:
    """Return whether a start is free, by the very function that lists the free ones."""
    last = start + timedelta(microseconds=1)
    return bool(open_slots(hours, rules, busy, first=start, last=last, now=now, day_counts=day_counts))


def _spans(hours: Hours, zone: ZoneInfo, day: date) -> list[Span]:
    """Return the ranges that begin on a host's day, in UTC, without those inside a gap of the clock."""
    ranges = hours.overrides.get(day)
    if ranges is None:
        ranges = hours.weekly.get(day.weekday(), ())
    found = (
        Span(
            _instant(day, one.start_minute, zone, end=False),
            _instant(day, one.end_minute, zone, end=True),
        )
        for one in ranges
    )
    return [span for span in found if span.start < span.end]


def _starts(
    spans: Sequence[Span], stretches: Sequence[Span], rules: Rules, first: datetime, last: datetime
) -> Iterator[datetime]:
    """Step through spans in UTC within [first, last): a step on the wall clock would trip over its changes.

    A meeting may run over the end of its span while it stays in the stretch: spans that touch, across
    midnight too, are one.
    """
    length, step = timedelta(minutes=rules.length), timedelta(minutes=rules.step)
    for span in spans:
        start = span.start
        at = bisect_right(stretches, start, key=lambda one: one.start) - 1
        until, latest = min(span.end, last), stretches[at].end - length
        if start < first:
            start -= (start - first) // step * step  # rounds down what is negative: not before `first`
        while start < until and start <= latest:
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


def whole_days(first: date, last: date, zone: str) -> BusyTime:
    """Return the time from the start of a day to the end of another, or of the same, in a zone."""
    where = zone_of(zone)
    return BusyTime(_instant(first, 0, where, end=False), _instant(last, 1440, where, end=True))


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


def _apart(spans: Sequence[Span]) -> list[Span]:
    """Return the same times in order, those that touch or overlap made one."""
    apart: list[Span] = []
    for one in sorted(spans, key=lambda one: one.start):
        if apart and one.start <= apart[-1].end:
            apart[-1] = Span(apart[-1].start, max(apart[-1].end, one.end))
            continue
        apart.append(one)
    return apart


def _free(starts: Sequence[datetime], rules: Rules, taken: Sequence[Span]) -> list[datetime]:
    """Return those at which a meeting with its buffers meets no busy time; both are in order, these apart."""
    before = timedelta(minutes=rules.buffer_before)
    after = timedelta(minutes=rules.length + rules.buffer_after)
    free: list[datetime] = []
    at = 0
    for busy in taken:
        clear = bisect_right(starts, busy.start - after, at)
        free += starts[at:clear]
        at = bisect_left(starts, busy.end + before, clear)
    free += starts[at:]
    return free


def by_local_date(slots: Sequence[datetime], zone: str) -> dict[date, list[datetime]]:
    """Group slots, which are in order, by their date in a zone."""
    local = zone_of(zone)
    days: dict[date, list[datetime]] = {}
    at = 0
    while at < len(slots):
        day = slots[at].astimezone(local).date()
        midnight = datetime(day.year, day.month, day.day, tzinfo=local) + DAY
        end = max(bisect_left(slots, midnight.astimezone(UTC), at), at + 1)
        if slots[end - 1].astimezone(local).date() != day:  # a clock that changes around midnight
            end = at + 1
        days.setdefault(day, []).extend(slots[at:end])
        at = end
    return days
