"""Time zones, and instants in them as people read them where they are.

A zone that is no longer known counts as UTC and says so. Which regions have clocks of twelve hours, and weeks
that begin on which day, is as Unicode's CLDR has it (supplemental data, timeData and weekData).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo, available_timezones

from werkzeug.datastructures import LanguageAccept

from calapp.clock import now

FALLBACK = "UTC"
_REGIONS = (
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
)
# Names that mean another zone on every machine, or none.
_NOT_ZONES = {"localtime", "posixrules", "Factory"}
_TWELVE_HOURS = """
AE AG AL AS AU BB BD BH BM BS BT CA CO CY DJ DM DO DZ EG EH ER ET FJ FM GD GH GM GR GU GY HK IN IQ
JM JO KH KI KN KP KR KW KY LB LC LR LS LY MH MO MP MR MW MY NA NP NZ OM PA PG PH PK PR PS PW QA SA
SB SD SG SL SO SS SY SZ TC TD TN TO TT TW UM US VC VE VG VI VU WS YE ZM
"""
TWELVE_HOURS = frozenset(_TWELVE_HOURS.split())
_SUNDAY_FIRST = """
AG AS BD BR BS BT BW BZ CA CO DM DO ET GT GU HK HN ID IL IN JM JP KE KH KR LA MH MM MO MT MX MZ NI
NP PA PE PH PK PR PT PY SA SG SV TH TT TW UM US VE VI WS YE ZA ZW
"""
SUNDAY_FIRST = frozenset(_SUNDAY_FIRST.split())
_SATURDAY_FIRST = """
AE AF BH DJ DZ EG IQ IR JO KW LY OM QA SD SY
"""
SATURDAY_FIRST = frozenset(_SATURDAY_FIRST.split())
# Where a language that is named without a region is mostly spoken, where that has other habits than most.
_LIKELY = """
am-ET ar-EG bn-BD el-GR en-US fa-IR he-IL hi-IN id-ID ja-JP km-KH ko-KR ms-MY ne-NP pt-BR sq-AL
ta-IN th-TH ur-PK
"""
LIKELY = dict(pair.split("-") for pair in _LIKELY.split())


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones()) - _NOT_ZONES


@cache
def zone_names() -> tuple[str, ...]:
    """Return every zone's name in order, old ones included, since browsers still report them."""
    return tuple(sorted(_names()))


@cache
def old_names() -> dict[str, str]:
    """Return the present name of each zone of which an old name, such as US/Eastern, is still understood.

    https://data.iana.org/time-zones/theory.html#naming
    """
    folder = files("tzdata") / "zoneinfo"
    rows = (row.split("\t") for row in (folder / "zone.tab").read_text().splitlines())
    present = {row[2] for row in rows if len(row) > 2 and not row[0].startswith("#")}
    links = (row.split() for row in (folder / "tzdata.zi").read_text().splitlines() if row.startswith("L "))
    return {old: name for _, name, old in links if name in present and old not in present and old in _names()}


def present_name(zone: str) -> str:
    """Return a zone by its present name, if it was given by an old one."""
    return old_names().get(zone, zone)


def is_zone(name: str) -> bool:
    """Return whether this is the name of a zone; old names such as US/Eastern count."""
    return name in _names()


def grouped(chosen: str = "") -> dict[str, list[str]]:
    """Return region → present names for a select box, with `chosen` among them where it is a zone."""
    groups: dict[str, list[str]] = {"UTC": ["UTC"]}
    for name in sorted(_names() - old_names().keys()):
        region = name.split("/")[0]
        if region in _REGIONS and "/" in name:
            groups.setdefault(region, []).append(name)
    if is_zone(chosen) and not any(chosen in names for names in groups.values()):
        groups["UTC"].append(chosen)
    return groups


@cache
def regions() -> dict[str, str]:
    """Return the country (ISO 3166) of each time zone that is in one, by zone.tab and its links.

    https://data.iana.org/time-zones/tzdb/zone.tab
    """
    folder = files("tzdata") / "zoneinfo"
    rows = (line.split("\t") for line in (folder / "zone.tab").read_text().splitlines())
    found = {row[2]: row[0] for row in rows if len(row) > 2 and not row[0].startswith("#")}
    for line in (folder / "tzdata.zi").read_text().splitlines():
        kind, *names = line.split()
        if kind == "L" and names[0] in found:
            found.setdefault(names[1], found[names[0]])
    return found


@dataclass(frozen=True)
class Habits:
    """Whether clocks have twelve hours, a week's first day (0 is Monday), and whether anybody has said so."""

    twelve: bool = False
    first_weekday: int = 0
    known: bool = False


def twelve_hours_in(zone: str) -> bool:
    """Return whether clocks have twelve hours where a time zone is; for emails, which have no browser."""
    return regions().get(zone) in TWELVE_HOURS


def habits_of(languages: LanguageAccept) -> Habits:
    """Return the habits of the language that a browser likes best; 24 hours and Monday for none."""
    parts = (languages.best or "").replace("_", "-").split("-")
    named = (part.upper() for part in parts[1:] if len(part) == 2)
    region = next(named, "") or LIKELY.get(parts[0].lower(), "")
    # Canadians write 15:30 in French.
    twelve = region in TWELVE_HOURS and not (region == "CA" and parts[0].lower() == "fr")
    first_weekday = 6 if region in SUNDAY_FIRST else 5 if region in SATURDAY_FIRST else 0
    return Habits(twelve, first_weekday, known=bool(languages))


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
