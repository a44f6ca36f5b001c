"""What a calendar's text blocks: events read, repeated and merged into times; a program of its own.

It runs as `python -m calapp.calendars.expansion` (reading.py starts it), with a limit of CPU, since a few
lines of a file can ask for any amount of work: a JSON line of what is wanted and the text go in, a JSON line
comes out.

Only the lines of an event that say when it takes place are read, and events that end before the range or
begin after it are dropped as text, unless they repeat. Repetitions are those of RFC 5545 on the wall clock of
the event's zone; dateutil knows the rules.
"""

import json
import os
import re
import resource
import signal
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from dateutil.rrule import rrulestr

from calapp.calendars.components import (
    CALENDAR,
    CALENDAR_END,
    DAY,
    FLAGS,
    MOMENT,
    ZERO,
    Component,
    EventReader,
    Length,
    Moment,
    NotACalendar,
    day_of,
    file_zone,
    known_zone,
    number_of,
)

ROWS = 20_000
CPU_SECONDS = 10
SERIES_SECONDS = 0.5  # of CPU for the repetitions of one event
OCCURRENCES = 50_000  # of one event in the range
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

EVENT, EVENT_END = "\nBEGIN:VEVENT\n", "\nEND:VEVENT\n"
ZONE = re.compile(r"^BEGIN:VTIMEZONE$(.*?)^END:VTIMEZONE$", FLAGS | re.DOTALL)
ZONE_NAME = re.compile(r"^TZID(?:;[^:\n]*)?:(.*)$", FLAGS)
DEFAULT_ZONE = re.compile(r"^X-WR-TIMEZONE(?:;[^:\n]*)?:(.*)$", FLAGS)
REPEATS = re.compile(r"\n(?:R(?:RULE|DATE|ECURRENCE-ID)|DURATION)[;:]")
DATES = re.compile(r"\nDT(START|END)(?:;[^\n]*)?:(\d{8})")
UNTIL = re.compile(r"(?:^|;)UNTIL=([^;]*)", re.IGNORECASE)
STEPS = {"SECONDLY": 1, "MINUTELY": 60, "HOURLY": 3600, "DAILY": 86400, "WEEKLY": 604800}
# Unequal parts of a rule that stay true when its start is brought forward by whole steps.
FORWARDABLE = frozenset(
    ("FREQ", "INTERVAL", "UNTIL", "WKST", "BYDAY", "BYMONTH", "BYHOUR", "BYMINUTE", "BYSECOND")
)


class TooMuchWork(Exception):
    """The repetitions of an event take longer than one event may."""


@dataclass(frozen=True)
class Wanted:
    """What is looked for: busy times from one instant to another, as this host sees them.

    `own` are the UIDs of the host's bookings, which hold their time already.
    """

    first: datetime
    last: datetime
    zone: str
    emails: Sequence[str] = ()
    own: Sequence[str] = ()


@dataclass(frozen=True)
class Expanded:
    """Busy times in order and apart, each at most a day long; what was left out and where they end.

    From `cut_at` on the rows do not suffice, and all is busy.
    """

    times: list[tuple[datetime, datetime]]
    left_out: int = 0
    cut_at: datetime | None = None


def expand(text: str, wanted: Wanted) -> Expanded:
    """Return what an unfolded text of one or more calendars blocks; raise NotACalendar."""
    busy: list[tuple[datetime, datetime]] = []
    left_out = 0
    for part in f"\n{text}".split(f"\n{CALENDAR}")[1:]:
        body, end, _ = f"\n{part}\n".partition(CALENDAR_END)
        if not end:
            raise NotACalendar("cut_off", "The calendar is not complete: its end is missing.")
        found, broken = _expand_calendar(f"{body}\n", wanted)
        busy += found
        left_out += broken
    rows = list(_by_day(_merged(busy, wanted)))  # times of at most a day
    if len(rows) <= ROWS:
        return Expanded(rows, left_out, None)
    # More than ROWS would be needed: from there all is busy.
    kept = ROWS - (wanted.last - wanted.first).days - 1
    cut_at = rows[kept][0]
    return Expanded([*rows[:kept], *_by_day([(cut_at, wanted.last)])], left_out, cut_at)


def _expand_calendar(text: str, wanted: Wanted) -> tuple[list[tuple[datetime, datetime]], int]:
    named = DEFAULT_ZONE.search(text)
    host_zone = known_zone(wanted.zone) or UTC
    reader = EventReader(
        zone=(known_zone(named[1]) if named else None) or host_zone,
        zones=_defined_zones(text, wanted.last),
        emails=frozenset(f"mailto:{one}".lower() for one in wanted.emails),
    )
    series: dict[str, list[Component]] = {}
    left_out = 0
    own = set(wanted.own)
    earliest, latest = (f"{one:%Y%m%d}" for one in (wanted.first - 2 * DAY, wanted.last + 2 * DAY))
    # Two that follow each other share a line break, which a split takes only once.
    for number, chunk in enumerate(text.replace(EVENT, f"\n{EVENT}").split(EVENT)[1:]):
        body, end, _ = f"\n{chunk}".partition(EVENT_END)
        block = body if end else ""
        # What does not repeat and is certainly before the wanted days, or after them, is not read.
        dates = dict(DATES.findall(block)) if not REPEATS.search(block) else {}
        start = dates.get("START", earliest)
        if start > latest or max(start, dates.get("END", start)) < earliest:
            continue
        try:
            component = reader.component(block)
        except (ValueError, OverflowError):
            left_out += 1
            continue
        if component.uid not in own:
            series.setdefault(component.uid or f"\n{number}", []).append(component)
    busy = list(reader.periods(text))
    began = time.process_time()
    for components in series.values():
        try:
            with _cpu_limit(SERIES_SECONDS):
                busy += _Series(components, wanted).times()
        except (ValueError, OverflowError, TypeError, ZeroDivisionError, TooMuchWork):
            left_out += 1
        if time.process_time() - began > CPU_SECONDS * 0.8:
            raise NotACalendar("too_much_work", "The repetitions of this calendar take too long to work out.")
    return busy, left_out


def _defined_zones(text: str, last: datetime) -> dict[str, tzinfo]:
    found: dict[str, tzinfo] = {}
    for block in ZONE.findall(text):
        named = ZONE_NAME.search(block)
        name = named[1].strip() if named else ""
        try:
            found[name] = file_zone(name, block, last)
        except (ValueError, OverflowError):
            continue  # its times are read as those of an unknown zone
    return found


@contextmanager
def _cpu_limit(seconds: float) -> Iterator[None]:
    """Raise TooMuchWork after so much CPU: some rules are looked through for ever and never match."""

    def stop(_number: int, _frame: object) -> None:
        raise TooMuchWork

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


class _Series:
    """An event with all its repetitions, and what replaces some of them."""

    def __init__(self, components: Sequence[Component], wanted: Wanted) -> None:
        self.wanted = wanted
        newest = max((one.sequence for one in components if one.id is None), default=0)
        # Of one event only the newest version counts; two that are equally new are two events.
        self.masters = [one for one in components if one.id is None and one.sequence == newest]
        self.changes: dict[datetime, Component] = {}
        for one in sorted((one for one in components if one.id), key=lambda one: one.sequence):
            self.changes[self._key(one.id)] = one
        self.following = sorted(key for key, one in self.changes.items() if one.following)

    def _key(self, moment: Moment | None) -> datetime:
        """Return what tells one repetition from the others: its time on the clock of the event."""
        assert moment is not None
        zone = self.masters[0].start.zone if self.masters else moment.zone
        return moment.on(zone)

    def times(self) -> Iterator[tuple[datetime, datetime]]:
        """Return when it takes place; raise ValueError for a rule that cannot be understood."""
        for change in self.changes.values():
            if change.blocks:
                yield change.start.instant, change.length.end(change.start)
        for master in self.masters:
            yield from self._of_master(master)

    def _of_master(self, master: Component) -> Iterator[tuple[datetime, datetime]]:
        later = any(self.changes[key].blocks for key in self.following)
        empty = master.length == Length(ZERO, ZERO) and not master.dates
        if not later and (empty or not master.blocks):
            return
        zone, all_day = master.start.zone, master.start.all_day
        gone = {one.on(zone) for one in master.but_not if not one.all_day or all_day}
        gone_days = {one.naive.date() for one in master.but_not if one.all_day and not all_day}
        replaced_days = {one.id.naive.date() for one in self.changes.values() if one.id and one.id.all_day}
        dated = {moment.on(zone): length for moment, length in master.dates}
        starts = dict.fromkeys((master.start.naive, *dated))
        for rule in master.rules:
            solid = _solid(rule, master)
            if solid is not None:
                yield master.start.instant, min(solid, self.wanted.last)
                continue
            starts |= dict.fromkeys(self._repeated(rule, master))
        for naive in starts:
            if naive in gone or naive.date() in gone_days or naive in self.changes:
                continue
            if not all_day and naive.date() in replaced_days:
                continue
            yield from self._occurrence(master, naive, dated.get(naive))

    def _occurrence(
        self, master: Component, naive: datetime, length: Length | None
    ) -> Iterator[tuple[datetime, datetime]]:
        """Return the time of one repetition, moved when an earlier one was moved with all that follow."""
        start, blocks, length = master.start._replace(naive=naive), master.blocks, length or master.length
        place = bisect_right(self.following, naive) - 1
        if place >= 0:
            key = self.following[place]
            change = self.changes[key]
            moved = change.start.on(change.start.zone) - (
                change.id.on(change.start.zone) if change.id else key
            )
            start = change.start._replace(naive=start.on(change.start.zone) + moved)
            length, blocks = change.length, change.blocks
        if blocks:
            yield start.instant, length.end(start)

    def _repeated(self, text: str, master: Component) -> Iterator[datetime]:
        """Yield the starts that a rule gives around the range, on the event's clock."""
        zone = master.start.zone
        slack = master.length.days + master.length.exact + 2 * DAY
        for key in self.following:
            slack += abs(self.changes[key].start.on(zone) - key)
        lowest = self.wanted.first.astimezone(zone).replace(tzinfo=None) - slack
        highest = self.wanted.last.astimezone(zone).replace(tzinfo=None) + slack
        until = _until(text, master.start)
        start = master.start.naive
        rule = UNTIL.sub("", text).strip(";")
        number = 0
        for naive in rrulestr(rule, dtstart=_forward(rule, start, lowest)):
            if naive > highest or (until is not None and naive > until):
                return
            if naive >= lowest:
                number += 1
                yield naive
            if number > OCCURRENCES:
                raise TooMuchWork


def _until(rule: str, start: Moment) -> datetime | None:
    """Return the last time of a rule on the event's clock; a date includes all of that day."""
    match = UNTIL.search(rule)
    if match is None:
        return None
    parts = MOMENT.fullmatch(match[1].strip())
    if parts is None:
        raise ValueError(f"Not a time: {match[1][:40]}")
    day = day_of(parts[1])
    if parts[2] is None or start.all_day:
        return day + DAY - timedelta(seconds=1)
    naive = day.replace(hour=int(parts[2]), minute=int(parts[3]), second=min(59, int(parts[4] or 0)))
    return Moment(naive, UTC, all_day=False).on(start.zone) if parts[5] else naive


def _parts(rule: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in rule.upper().split(";") if part.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _forward(rule: str, start: datetime, lowest: datetime) -> datetime:
    """Bring a rule's start forward by whole steps to just before a time, where that changes nothing."""
    parts = _parts(rule)
    step = STEPS.get(parts.get("FREQ", ""))
    interval = number_of(parts.get("INTERVAL", "1"))
    if step is None or not interval or not parts.keys() <= FORWARDABLE:
        return start
    size = timedelta(seconds=step * interval)
    return start + size * max(0, (lowest - start) // size - 1)


def _solid(rule: str, master: Component) -> datetime | None:
    """Return the end of repetitions that follow each other without a gap, such as an hour each minute."""
    parts = _parts(rule)
    step = STEPS.get(parts.get("FREQ", ""), 0) * number_of(parts.get("INTERVAL", "1"))
    lasts = (master.length.end(master.start) - master.start.instant).total_seconds()
    if (
        not 0 < step <= lasts
        or step >= STEPS["DAILY"]
        or parts.keys() - {"FREQ", "INTERVAL", "UNTIL", "COUNT", "WKST"}
    ):
        return None
    end = datetime.max.replace(tzinfo=UTC) - 2 * DAY
    until = _until(rule, master.start)
    if until is not None:
        end = master.length.end(master.start._replace(naive=until))
    if "COUNT" in parts:
        seconds = min(step * max(0, number_of(parts["COUNT"]) - 1), 10**10)
        end = min(end, master.start.instant + timedelta(seconds=seconds + lasts))
    return end


def _merged(busy: Sequence[tuple[datetime, datetime]], wanted: Wanted) -> list[tuple[datetime, datetime]]:
    """Return times within the range, in order, those that touch as one."""
    merged: list[tuple[datetime, datetime]] = []
    for begin, finish in sorted(busy):
        start, end = max(begin, wanted.first), min(finish, wanted.last)
        if begin >= finish or start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _by_day(times: Sequence[tuple[datetime, datetime]]) -> Iterator[tuple[datetime, datetime]]:
    for begin, end in times:
        start = begin
        while start < end:
            yield start, min(end, start + DAY)
            start += DAY


def answer(job: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Do what a JSON line asks for and return what the answer's line says; instants are POSIX seconds."""
    first, last = (EPOCH + timedelta(seconds=job[name]) for name in ("first", "last"))
    try:
        found = expand(text, Wanted(first, last, job["zone"], job["emails"], job["own"]))
    except NotACalendar as error:
        return {"code": error.code, "words": error.words}
    return {
        "times": [[int(start.timestamp()), int(end.timestamp())] for start, end in found.times],
        "left_out": found.left_out,
        "cut_at": found.cut_at and int(found.cut_at.timestamp()),
    }


def main() -> None:
    """Run as a child: limited in CPU and memory, and behind everything that somebody waits for."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
    os.nice(10)
    job = json.loads(sys.stdin.buffer.readline())
    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    sys.stdout.write(json.dumps(answer(job, text)))


if __name__ == "__main__":
    main()
