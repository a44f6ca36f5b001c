"""What the booker shows: a month, a day's times, or the form, all from the query of its address."""

import calendar
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from calapp.accounts.zones import is_zone
from calapp.availability.slots import by_local_date, labels
from calapp.bookings import times
from calapp.bookings.forms import instant
from calapp.bookings.metadata import carried
from calapp.bookings.models import Booking
from calapp.clock import now
from calapp.deliveries.body import instant as written
from calapp.errors import Invalid
from calapp.event_types.models import EventType
from calapp.local_time import known_zone

PREFILL = ("name", "email", "notes", "guests", "reason")
RESPONSE = re.compile(r"responses\[[A-Za-z0-9_-]{1,60}\]")
MAX_PREFILL = 5000  # characters of one value that further links repeat

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class State:
    """The query of the booker's address, read; what cannot be read counts as not there."""

    path: str
    pairs: Pairs
    zone: str
    twelve: bool
    month: date | None
    day: date | None
    slot: datetime | None

    def link(self, **changed: str) -> str:
        """Return the address of another view of the booker; metadata, prefill and zone go along."""
        kept = [(name, value) for name, value in self.kept if name not in changed]
        query = urlencode([*kept, *changed.items()])
        return f"{self.path}?{query}" if query else self.path

    @property
    def kept(self) -> Pairs:
        """The pairs that every link repeats."""
        own = [
            (name, value[:MAX_PREFILL])
            for name, value in self.pairs
            if name in PREFILL or RESPONSE.fullmatch(name)
        ]
        chosen = [(name, value) for name, value in self.pairs if name in {"tz", "tf"}]
        return [*dict(chosen).items(), *own[:50], *carried(self.pairs)]

    def prefill(self, name: str) -> str:
        """Return what the link or a former form says for a field, or nothing."""
        values = [value for key, value in self.pairs if key == name]
        return ", ".join(values) if name == "guests" else next(iter(values), "")


@dataclass(frozen=True)
class Day:
    """A day of the month table: how many times it has, and where it leads."""

    date: date
    count: int
    link: str
    chosen: bool
    today: bool


@dataclass(frozen=True)
class Time:
    """A time of a day: its text, its instant as the address has it, and where it leads."""

    text: str
    start: str
    link: str


@dataclass(frozen=True)
class Month:
    """Everything of the booker's calendar."""

    first: date
    weeks: Sequence[Sequence[Day | None]]
    before: str | None
    after: str | None
    day: date | None
    times: Sequence[Time]
    next_free: Day | None


def read_state(path: str, pairs: Pairs, fallback_zone: str) -> State:
    """Read the query of an address."""
    query = dict(reversed(list(pairs)))  # the first of a repeated field wins
    zone = query.get("tz", "")
    day = _date(query.get("date", ""))
    slot = _slot(query.get("slot", ""))
    zone = zone if is_zone(zone) else known_zone(fallback_zone)
    if day is None and slot is not None:
        day = slot.astimezone(ZoneInfo(zone)).date()
    month = _date(query.get("month", "") + "-01") or day
    return State(
        path=path,
        pairs=pairs,
        zone=zone,
        twelve=query.get("tf") == "12",
        month=month.replace(day=1) if month else None,
        day=day,
        slot=slot,
    )


def _date(text: str) -> date | None:
    try:
        found = date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None
    return found if found and 2000 <= found.year <= 2200 else None


def _slot(text: str) -> datetime | None:
    try:
        return instant(text)
    except Invalid:
        return None


def month_view(session: Session, event_type: EventType, state: State, moving: Booking | None = None) -> Month:
    """Return the month of a state; without a day it opens the first one that has times.

    A booking that is being moved is in nobody's way, and the time at which it stands is not offered.
    """
    zone = ZoneInfo(state.zone)
    today = now().astimezone(zone).date()
    first = state.month or today.replace(day=1)
    after, last = _next_month(first), now() + timedelta(days=event_type.max_days + 2)
    free = times.offered(
        session,
        event_type,
        _midnight(first, zone),
        _midnight(after, zone),
        leave_out=moving.id if moving else None,
    )
    by_day = by_local_date([at for at in free if not stands_at(moving, at)], state.zone)
    day = state.day if state.day and state.day.replace(day=1) == first else next(iter(sorted(by_day)), None)
    return Month(
        first=first,
        weeks=_weeks(first, by_day, state, day, today),
        before=None if first <= today.replace(day=1) else _month_link(state, first - timedelta(days=1)),
        after=_month_link(state, after) if _midnight(after, zone) < last else None,
        day=day,
        times=_times(by_day.get(day, []) if day else [], state),
        next_free=None if by_day else _next_free(session, event_type, state, after),
    )


def stands_at(moving: Booking | None, start: datetime) -> bool:
    """Say whether a booking that is being moved stands at this time already."""
    return moving is not None and moving.starts_at == start


def _weeks(
    first: date, by_day: Mapping[date, Sequence[datetime]], state: State, chosen: date | None, today: date
) -> list[list[Day | None]]:
    weeks = calendar.Calendar().monthdatescalendar(first.year, first.month)
    return [
        [_day(at, by_day, state, chosen, today) if at.month == first.month else None for at in week]
        for week in weeks
    ]


def _day(
    at: date, by_day: Mapping[date, Sequence[datetime]], state: State, chosen: date | None, today: date
) -> Day:
    link = state.link(month=f"{at:%Y-%m}", date=at.isoformat())
    return Day(at, len(by_day.get(at, ())), link, chosen=at == chosen, today=at == today)


def _times(free: Sequence[datetime], state: State) -> list[Time]:
    texts = labels(free, state.zone, twelve=state.twelve)
    found = []
    for start, text in zip(free, texts, strict=True):
        local = start.astimezone(ZoneInfo(state.zone)).date()
        link = state.link(month=f"{local:%Y-%m}", date=local.isoformat(), slot=written(start))
        found.append(Time(text, written(start), link))
    return found


def _next_free(session: Session, event_type: EventType, state: State, first: date) -> Day | None:
    """Look for a day with times to go to from an empty month: the next one, else the first of all."""
    zone = ZoneInfo(state.zone)
    for start in (max(_midnight(first, zone), now()), now()):
        free = _first_free(session, event_type, start)
        if free is not None:
            local = free.astimezone(zone).date()
            return _day(local, {local: [free]}, state, None, local)
    return None


def _first_free(session: Session, event_type: EventType, start: datetime) -> datetime | None:
    """Return the first free time, looked for a month at a time: two years of times are many."""
    last = now() + timedelta(days=event_type.max_days + 2)
    while start < last:
        following = start + timedelta(days=31)
        free = times.offered(session, event_type, start, following)
        if free:
            return free[0]
        start = following
    return None


def _month_link(state: State, day: date) -> str:
    return state.link(month=f"{day:%Y-%m}")


def _next_month(first: date) -> date:
    return (first + timedelta(days=32)).replace(day=1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
