"""Instants in a time zone, as people read them; a zone that is no longer known counts as UTC and says so."""

from datetime import UTC, date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from calapp.clock import now

FALLBACK = "UTC"


@lru_cache(maxsize=1024)
def _found(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, no name of a zone, a folder
        return None


def zone_of(name: str) -> ZoneInfo:
    """Return the zone of this name; UTC for one that the time zone database no longer has.

    Names are checked when they are stored, but zones are renamed and taken out of later versions.
    """
    return _found(name) or ZoneInfo(FALLBACK)


def known_zone(name: str) -> str:
    """Return the name of the zone that `zone_of` gives."""
    return name if _found(name) else FALLBACK


def zone_label(name: str) -> str:
    """Return a zone's name for people, with a note when times are in UTC because it is no longer known."""
    return name if _found(name) else f"{FALLBACK}; the time zone {name} is no longer known"


def zone_with_offset(name: str) -> str:
    """Return a zone as a list shows it, with its present offset: America/New York (UTC-05:00)."""
    return _with_offset(name, now().replace(minute=0, second=0, microsecond=0))


@lru_cache(maxsize=2048)
def _with_offset(name: str, hour: datetime) -> str:
    offset = f"{hour.astimezone(zone_of(name)):%z}"
    return f"{name.replace('_', ' ')} (UTC{offset[:3]}:{offset[3:5]})"


def zone_note(name: str) -> str:
    """Return what to tell a host whose zone is no longer known, or nothing."""
    if _found(name):
        return ""
    return f"Your time zone {name} is no longer known, so UTC is used. Please choose another and save."


def exists_twice(local: datetime) -> bool:
    """Return whether the clock shows this time twice, since it is set back in between."""
    earlier, later = (local.replace(fold=fold).utcoffset() for fold in (0, 1))
    return earlier is not None and later is not None and earlier > later


def which(local: datetime) -> str:
    """Return what tells a time that exists twice from the other: CEST, or UTC-03:00 where no name does."""
    name, other = (local.replace(fold=fold).tzname() or "" for fold in (local.fold, 1 - local.fold))
    if name.isalpha() and (name != other or not exists_twice(local)):
        return name
    offset = f"{local:%z}"  # +1030
    return f"UTC{offset[:3]}:{offset[3:5]}"


def spoken_date(day: date) -> str:
    """Return Monday, 29 March 2027."""
    return f"{day:%A}, {day.day} {day:%B %Y}"


def spoken_day(moment: datetime, zone: str) -> str:
    """Return an instant's day in a zone: Monday, 29 March 2027."""
    return spoken_date(moment.astimezone(zone_of(zone)).date())


def clock(moment: datetime, zone: str, twelve: bool = False) -> str:  # noqa: FBT001, FBT002  # a filter's argument
    """Return an instant's clock text in a zone: 15:30, 3:30pm, or 02:30 CEST for a time that exists twice."""
    local = moment.astimezone(zone_of(zone))
    return clock_text(local, twelve=twelve, named=exists_twice(local))


def clock_text(local: datetime, *, twelve: bool, named: bool) -> str:
    """Return the clock text of a time in its zone; `named` adds which of two it is."""
    text = f"{local:%H:%M}"
    if twelve:
        text = f"{local.hour % 12 or 12}:{local:%M}{'am' if local.hour < 12 else 'pm'}"
    return f"{text} {which(local)}" if named else text


def clock_span(start: datetime, end: datetime, zone: str, twelve: bool = False) -> str:  # noqa: FBT001, FBT002
    """Return from when to when: 10:00 – 10:15.

    An end on another date is named with it, 23:30 – Tuesday, 5 January 2027, 00:30, and both times say which
    they are where the clock is set in between or shows one of them twice: 02:30 CEST – 02:00 CET.
    """
    local, until = start.astimezone(zone_of(zone)), end.astimezone(zone_of(zone))
    named = exists_twice(local) or exists_twice(until) or local.utcoffset() != until.utcoffset()
    first, last = (clock_text(one, twelve=twelve, named=named) for one in (local, until))
    if until.date() != local.date():
        last = f"{spoken_date(until.date())}, {last}"
    return f"{first} – {last}"


def spoken_time(start: datetime, end: datetime, zone: str, twelve: bool = False) -> str:  # noqa: FBT001, FBT002
    """Return a meeting's time: Monday, 4 January 2027, 10:00 – 10:15 (Europe/Berlin)."""
    return f"{spoken_day(start, zone)}, {clock_span(start, end, zone, twelve)} ({zone_label(zone)})"


def spoken_minutes(minutes: int) -> str:
    """Return 45 min, 1 h or 1 h 30 min."""
    hours, rest = divmod(minutes, 60)
    parts = [f"{hours} h" if hours else "", f"{rest} min" if rest else ""]
    return " ".join(part for part in parts if part)


def to_the_second(moment: datetime, zone: str) -> str:
    """Return an instant as a log shows it: 5 Jan 2027, 10:00:07."""
    local = moment.astimezone(zone_of(zone))
    text = f"{local.day} {local:%b %Y, %H:%M:%S}"
    return f"{text} {which(local)}" if exists_twice(local) else text


def instant_of(wall: datetime, zone: str, *, last: bool) -> datetime:
    """Return the instant of a naive wall time, of one that exists twice the first or the last; in UTC."""
    local = wall.replace(tzinfo=zone_of(zone), fold=0)
    return local.replace(fold=int(last and exists_twice(local))).astimezone(UTC)


def typed_instant(text: str, zone: str, *, last: bool) -> datetime:
    """Return the instant of a date and time as a form's field has it; raise ValueError for anything else."""
    try:
        return instant_of(datetime.fromisoformat(text), zone, last=last)
    except OverflowError as error:
        raise ValueError(text) from error
