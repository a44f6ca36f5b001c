"""What the booker shows: a month, a day's times, or the form, all from the query of its address."""

import calendar
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from markupsafe import escape
from sqlalchemy.orm import Session

from calapp import limits
from calapp.availability.service import away_times
from calapp.availability.slots import Span, by_local_date
from calapp.bookings import times
from calapp.bookings.metadata import Metadata, carried, of_pairs
from calapp.bookings.models import Booking
from calapp.bookings.schemas import read_instant
from calapp.clock import iso_seconds, now
from calapp.event_types.models import EventType
from calapp.local_time import Habits, is_zone, known_zone, present_name
from calapp.local_time import clock as clock_at
from calapp.text import clean, whole_number

PREFILL = ("name", "email", "phone", "notes", "guests", "reason")
RESPONSE = re.compile(r"responses\[[A-Za-z0-9_-]{1,60}\]")

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class BookerState:
    """The query of the booker's address, read; what cannot be read counts as not there."""

    path: str
    zone: str
    clock: str | None  # 12 or 24, when the address says so
    month: date | None
    day: date | None
    slot: datetime | None
    duration: int | None  # minutes; 0 for what is no number
    filled: Pairs  # what the form's fields hold
    metadata: Metadata
    habits: Habits = Habits()

    @property
    def twelve(self) -> bool:
        """Whether times are shown on a twelve-hour clock: as chosen, else as the visitor is used to."""
        return self.clock == "12" if self.clock else self.habits.twelve

    @property
    def kept(self) -> Pairs:
        """The fields that go along with every click, besides month, date and zone."""
        filled = _within(self.filled, limits.PREFILL_BYTES)
        return [*((name, value) for name, value in filled if value), *self.carried]

    @property
    def carried(self) -> Pairs:
        """Those of them that the form has no field for."""
        clock = [("tf", self.clock)] if self.clock else []
        duration = [("duration", str(self.duration))] if self.duration is not None else []
        return [*clock, *duration, *carried(self.metadata)]

    def prefill(self, name: str) -> str:
        """Return what the link or the previous form has for a field, or nothing."""
        values = [value for key, value in self.filled if key == name]
        return ", ".join(values) if name == "guests" else next(iter(values), "")

    def choices(self, name: str) -> list[str]:
        """Return all that the link or the previous form has for a field with several answers."""
        return [value for key, value in self.filled if key == name]


def _within(pairs: Iterable[tuple[str, str]], most: int, *, escaped: bool = False) -> list[tuple[str, str]]:
    """Return the first pairs that take up to `most` bytes together, the last of them cut."""
    found = []
    for name, value in pairs:
        size = len(name) + len((str(escape(value)) if escaped else value).encode())
        if size > most:
            found.append((name, value[: max(0, most - len(name)) // 5]))  # bytes of a character, also escaped
            break
        found.append((name, value))
        most -= size
    return found


@dataclass(frozen=True)
class Day:
    """A day of the month table, and how many times it has."""

    date: date
    count: int
    chosen: bool
    today: bool
    away: bool  # all of it is time off


@dataclass(frozen=True)
class Time:
    """A time of a day: its text, and its instant as the address has it."""

    text: str
    start: str


@dataclass(frozen=True)
class Month:
    """Everything of the booker's calendar."""

    first: date
    weeks: Sequence[Sequence[Day | None]]
    before: date | None
    after: date | None
    day: date | None
    times: Sequence[Time]
    next_free: date | None


def read_state(path: str, pairs: Pairs, fallback_zone: str, *, typed: bool = False) -> BookerState:
    """Read the query of an address, or a form that was typed; what neither knows is dropped."""
    query = dict(reversed(list(pairs)))  # the first of a repeated field wins
    zone = query.get("tz", "")
    day = _date(query.get("date", ""))
    slot = read_instant(query.get("slot", ""))
    zone = present_name(zone if is_zone(zone) else known_zone(fallback_zone))
    if day is None and slot is not None:
        day = slot.astimezone(ZoneInfo(zone)).date()
    month = _date(query.get("month", "") + "-01") or day
    filled = ((name, clean(value)) for name, value in pairs if name in PREFILL or RESPONSE.fullmatch(name))
    return BookerState(
        path=path,
        zone=zone,
        clock=clock_of(query),
        month=month.replace(day=1) if month else None,
        day=day,
        slot=slot,
        duration=duration_of(query),
        filled=_within(filled, limits.TYPED_BYTES if typed else limits.PREFILL_BYTES, escaped=typed),
        metadata=of_pairs(pairs),
    )


def clock_of(query: Mapping[str, str]) -> str | None:
    """Return the clock that a query says, 12 or 24."""
    return query["tf"] if query.get("tf") in {"12", "24"} else None


def duration_of(query: Mapping[str, str]) -> int | None:
    """Return the minutes that a query says; 0 for what is no number."""
    return whole_number(query["duration"], digits=4) or 0 if query.get("duration") else None


def _date(text: str) -> date | None:
    try:
        found = date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None
    return found if found and 2000 <= found.year <= 2200 else None


def month_view(
    session: Session,
    event_type: EventType,
    state: BookerState,
    minutes: int,
    moving: Booking | None = None,
) -> Month:
    """Return the month of a state, for a meeting that lasts `minutes`.

    Without a day it opens the first one that has times. A booking that is being moved is in nobody's way, and
    its own time is not offered.
    """
    zone = ZoneInfo(state.zone)
    today = now().astimezone(zone).date()
    first = state.month or today.replace(day=1)
    after, last = (first + timedelta(days=32)).replace(day=1), now() + timedelta(days=event_type.max_days + 2)
    span = _midnight(first, zone), _midnight(after, zone)
    away = away_times(session, event_type.user_id, *span)
    moved = moving.id if moving else None
    free = times.offered(session, event_type, *span, leave_out=moved, minutes=minutes, away=away)
    by_day = by_local_date([at for at in free if moving is None or at != moving.starts_at], state.zone)
    day = state.day if state.day and state.day.replace(day=1) == first else next(iter(sorted(by_day)), None)
    return Month(
        first=first,
        weeks=_weeks(
            first,
            by_day,
            day,
            today,
            away=away,
            zone=zone,
            first_weekday=state.habits.first_weekday,
        ),
        before=None if first <= today.replace(day=1) else (first - timedelta(days=1)).replace(day=1),
        after=after if _midnight(after, zone) < last else None,
        day=day,
        times=[
            Time(clock_at(start, state.zone, state.twelve), iso_seconds(start))
            for start in (by_day.get(day, []) if day else [])
        ],
        next_free=None if by_day else _next_free(session, event_type, minutes, zone, after),
    )


def _weeks(
    first: date,
    by_day: Mapping[date, Sequence[datetime]],
    chosen: date | None,
    today: date,
    *,
    away: Sequence[Span],
    zone: ZoneInfo,
    first_weekday: int,
) -> list[list[Day | None]]:
    """Return the days of a month in weeks; one is away that lies within one of the times as a whole."""
    weeks: list[list[Day | None]] = []
    for week in calendar.Calendar(first_weekday).monthdatescalendar(first.year, first.month):
        days: list[Day | None] = []
        for at in week:
            gone = False
            if away:
                start, end = _midnight(at, zone), _midnight(at + timedelta(days=1), zone)
                gone = any(one.start <= start and end <= one.end for one in away)
            day = Day(at, len(by_day.get(at, ())), chosen=at == chosen, today=at == today, away=gone)
            days.append(day if at.month == first.month else None)
        weeks.append(days)
    return weeks


def _next_free(
    session: Session, event_type: EventType, minutes: int, zone: ZoneInfo, first: date
) -> date | None:
    """Look for a day with times to go to from an empty month: the next one, else the first of all."""
    last = now() + timedelta(days=event_type.max_days + 2)
    for start in (max(_midnight(first, zone), now()), now()):
        month = start
        while month < last:  # a month at a time: two years of times are many
            following = month + timedelta(days=31)
            free = times.offered(session, event_type, month, following, minutes=minutes)
            if free:
                return free[0].astimezone(zone).date()
            month = following
    return None


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
