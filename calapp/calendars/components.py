"""A calendar's text as lines, and its zones, events and busy times read from them; nothing is repeated here.

Zones have IANA's names, Windows', or those that a file defines itself. Sources: RFC 5545, 3.6.5 (VTIMEZONE);
Unicode's windowsZones.xml, which icalendar has as a table.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

OBSERVANCE = re.compile(
    r"^BEGIN:(STANDARD|DAYLIGHT)[ \t]*$(.*?)^END:\1", re.MULTILINE | re.DOTALL | re.IGNORECASE
)
OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)(?::?(\d\d))?")
STAMP = re.compile(r"(\d{8}T\d{6})Z?")
FORMAT = "%Y%m%dT%H%M%S"
ONSETS = 2000  # of one observance: yearly since 1601, and any plausible list
YEARS_AFTER = 2
DAY = timedelta(days=1)
ZERO = timedelta(0)
FLAGS = re.MULTILINE
FOLD = re.compile(rb"\n[ \t]")
SPACE = re.compile(r"^((?:BEGIN|END):\w+)[ \t]+$", FLAGS)
ODD_CASE = re.compile(r"^(?!BEGIN)[Bb][Ee][Gg][Ii][Nn]:", FLAGS)
NAME = re.compile(r"^[\w-]+(?:[;:]V[\w]+$)?", FLAGS | re.IGNORECASE)
CALENDAR, CALENDAR_END = "BEGIN:VCALENDAR\n", "\nEND:VCALENDAR\n"
INNER = re.compile(r"^BEGIN:(?P<kind>[\w-]+)$.*?^END:(?P=kind)$", FLAGS | re.DOTALL)
BUSY = re.compile(r"^FREEBUSY((?:;[^:\n]*)?):(.*)$", FLAGS)
READ = re.compile(
    r"^(UID|DTSTART|DTEND|DURATION|RRULE|RDATE|EXDATE|RECURRENCE-ID|STATUS|TRANSP|SEQUENCE|ATTENDEE)"
    r'((?:;[^:"\n]*(?:"[^"\n]*")?)*):(.*)$',
    FLAGS,
)
PARAMETER = re.compile(r';([\w-]+)=("[^"]*"|[^;]*)')
MOMENT = re.compile(r"(\d{8})(?:T(\d\d)(\d\d)(\d\d)?(Z)?)?", re.IGNORECASE)
DURATION = re.compile(
    r"([+-]?)P(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9})S)?)?",
    re.IGNORECASE,
)


class Onset(NamedTuple):
    """When an observance begins, on the clock that it ends, and the offsets on both sides."""

    at: datetime
    before: timedelta
    after: timedelta


class FileZone(tzinfo):
    """A zone that a file defines; times before its first onset have the offset that this one ends."""

    def __init__(self, name: str, onsets: list[Onset]) -> None:
        self.name = name
        self.onsets = sorted(onsets)
        self.local = [one.at for one in self.onsets]
        self.utc = [one.at - one.before for one in self.onsets]

    def utcoffset(self, moment: datetime | None) -> timedelta:
        """Return the offset of a time on this zone's clock; of one that exists twice, the first."""
        if moment is None:
            return ZERO
        naive = moment.replace(tzinfo=None)
        place = bisect_right(self.local, naive) - 1
        if place < 0:
            return self.onsets[0].before
        onset = self.onsets[place]
        skipped = onset.after - onset.before  # a time that the clock leaves out is read as if it had not
        return onset.before if naive < onset.at + skipped else onset.after

    def fromutc(self, moment: datetime) -> datetime:
        """Return the time on this zone's clock of an instant, as `astimezone` asks for it."""
        place = bisect_right(self.utc, moment.replace(tzinfo=None)) - 1
        return moment + (self.onsets[place].after if place >= 0 else self.onsets[0].before)

    def dst(self, _moment: datetime | None) -> timedelta:
        """Return nothing: a file does not say it of each time."""
        return ZERO

    def tzname(self, _moment: datetime | None) -> str:
        """Return the name that the file gives it."""
        return self.name


def file_zone(name: str, block: str, last: datetime) -> FileZone:
    """Read a VTIMEZONE up to an instant; raise ValueError for one that cannot be understood."""
    onsets: list[Onset] = []
    for _, body in OBSERVANCE.findall(block):
        lines = [line.partition(":") for line in body.splitlines()]
        values = [(head.partition(";")[0].upper().strip(), value.strip()) for head, _, value in lines]
        given = dict(reversed(values))
        before, after = _offset(given.get("TZOFFSETFROM", "")), _offset(given.get("TZOFFSETTO", ""))
        start = _stamp(given.get("DTSTART", ""))
        found = {start}
        for key, value in values:
            if key == "RDATE":
                found.update(_stamp(one) for one in value.split(","))
            if key == "RRULE":
                found.update(_repeated(value, start, last.year + YEARS_AFTER))
        onsets.extend(Onset(at, before, after) for at in found)
    if not onsets:
        raise ValueError("A time zone without observances.")
    return FileZone(name, onsets)


def _offset(text: str) -> timedelta:
    match = OFFSET.fullmatch(text)
    if match is None:
        raise ValueError(f"Not an offset: {text[:20]}")
    size = timedelta(hours=int(match[2]), minutes=int(match[3]), seconds=int(match[4] or 0))
    if size >= timedelta(days=1):
        raise ValueError(f"Not an offset: {text[:20]}")
    return -size if match[1] == "-" else size


def _stamp(text: str) -> datetime:
    match = STAMP.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"Not a time: {text[:20]}")
    return datetime.strptime(match[1], FORMAT)  # noqa: DTZ007 (on the zone's own clock)


def _repeated(rule: str, start: datetime, last_year: int) -> list[datetime]:
    from dateutil.rrule import rrulestr  # noqa: PLC0415 (a worker imports this, and repeats nothing itself)

    found: list[datetime] = []
    text = re.sub(r"(UNTIL=\d{8}T\d{6})Z", r"\1", rule, flags=re.IGNORECASE)
    for at in rrulestr(text, dtstart=start):
        if at.year > last_year or len(found) >= ONSETS:
            break
        found.append(at)
    return found


@lru_cache(maxsize=1024)
def known_zone(name: str) -> tzinfo | None:
    """Return the zone of a name that needs no definition: IANA's, also at the end of a path, or Windows'."""
    # A worker imports this, and has another program read calendars.
    from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON  # noqa: PLC0415

    name = name.strip().strip('"')
    if name.upper() in {"UTC", "Z", "GMT", "ETC/UTC"}:
        return UTC
    name = WINDOWS_TO_OLSON.get(name, name)
    parts = name.strip("/").split("/")
    for number in range(min(3, len(parts)), 0, -1):  # /mozilla.org/20070129_1/America/Argentina/Ushuaia
        try:
            return ZoneInfo("/".join(parts[-number:]))
        except (KeyError, ValueError, OSError):
            continue
    return None


class NotACalendar(Exception):
    """The text is no calendar, or asks for too much work; a code for machines, and words for the host."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code, self.words = code, words


class Moment(NamedTuple):
    """A time as a file says it: on the clock of a zone."""

    naive: datetime
    zone: tzinfo
    all_day: bool

    @property
    def instant(self) -> datetime:
        """Return it in UTC; of a time that exists twice the first, one that does not is moved on."""
        return self.naive.replace(tzinfo=self.zone).astimezone(UTC)

    def on(self, zone: tzinfo) -> datetime:
        """Return what another zone's clock shows at this time; a date is the same date anywhere."""
        return self.naive if self.all_day else self.instant.astimezone(zone).replace(tzinfo=None)


@dataclass(frozen=True)
class Length:
    """How long an event is: days on the calendar, and exact time besides."""

    days: timedelta
    exact: timedelta

    def end(self, start: Moment) -> datetime:
        """Return the instant at which an event with this start is over."""
        return Moment(start.naive + self.days, start.zone, start.all_day).instant + self.exact


@dataclass
class Component:
    """One VEVENT, read; `blocks` says whether its time is taken, `id` which repetition it stands for."""

    uid: str
    start: Moment
    length: Length
    blocks: bool
    sequence: int
    id: Moment | None = None
    following: bool = False  # it stands for all later ones, too
    rules: list[str] = field(default_factory=list)
    dates: list[tuple[Moment, Length | None]] = field(default_factory=list)
    but_not: list[Moment] = field(default_factory=list)


def unfolded(data: bytes) -> str:
    """Return a calendar's text with a line for each property; raise NotACalendar for what is none.

    Lines are folded by bytes, in the midst of a character, too, so this comes before the decoding.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = data.decode("utf-16", "replace").encode()
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    text = FOLD.sub(b"", data).decode("utf-8", "replace").strip() + "\n"
    if ODD_CASE.search(text):
        text = NAME.sub(lambda found: found[0].upper(), text)
    text = SPACE.sub(r"\1", text)
    if text.startswith(CALENDAR):
        return text
    if not text.strip():
        raise NotACalendar("empty", "The server sent nothing instead of a calendar.")
    if text.startswith("<"):
        raise NotACalendar(
            "not_a_calendar",
            "The server sent a web page instead of a calendar. Use the address that ends in .ics.",
        )
    raise NotACalendar("not_a_calendar", "What the server sent is not a calendar.")


@dataclass(frozen=True)
class EventReader:
    """Reads the properties of one calendar; `zone` is that of times without one."""

    zone: tzinfo
    zones: Mapping[str, tzinfo]
    emails: frozenset[str]

    def component(self, block: str) -> Component:
        """Read an event; raise ValueError for what cannot be understood."""
        given: dict[str, list[tuple[dict[str, str], str]]] = {}
        for name, parameters, value in READ.findall(INNER.sub("", block)):
            pairs = {key.upper(): one.strip('"') for key, one in PARAMETER.findall(parameters)}
            given.setdefault(name.upper(), []).append((pairs, value.strip()))
        first = {name: values[0] for name, values in given.items()}
        start = self.moment(*first.get("DTSTART", ({}, "")))
        status = first.get("STATUS", ({}, ""))[1].upper()
        transparent = first.get("TRANSP", ({}, ""))[1].upper() == "TRANSPARENT"
        declined = any(
            pairs.get("PARTSTAT", "").upper() == "DECLINED"
            and {value.lower(), f"mailto:{pairs.get('EMAIL', '')}".lower()} & self.emails
            for pairs, value in given.get("ATTENDEE", ())
        )
        component = Component(
            uid=first.get("UID", ({}, ""))[1],
            start=start,
            length=self._length(start, first),
            blocks=not (transparent or status == "CANCELLED" or declined),
            sequence=number_of(first.get("SEQUENCE", ({}, ""))[1]),
            rules=[value for _, value in given.get("RRULE", ())],
        )
        if "RECURRENCE-ID" in first:
            component.id = self.moment(*first["RECURRENCE-ID"])
            component.following = first["RECURRENCE-ID"][0].get("RANGE", "").upper() == "THISANDFUTURE"
        for pairs, value in given.get("EXDATE", ()):
            component.but_not += [self.moment(pairs, one) for one in value.split(",") if one.strip()]
        for pairs, value in given.get("RDATE", ()):
            component.dates += [self._date_or_period(pairs, one) for one in value.split(",") if one.strip()]
        return component

    def moment(self, parameters: Mapping[str, str], value: str) -> Moment:
        """Read a date or a time; raise ValueError."""
        match = MOMENT.fullmatch(value.strip())
        if match is None:
            raise ValueError(f"Not a time: {value[:40]}")
        day = day_of(match[1])
        if match[2] is None:
            return Moment(day, self.zone, all_day=True)
        naive = day.replace(hour=int(match[2]), minute=int(match[3]), second=min(59, int(match[4] or 0)))
        if match[5]:
            return Moment(naive, UTC, all_day=False)
        name = parameters.get("TZID", "")
        zone = (known_zone(name) or self.zones.get(name.strip().strip('"'))) if name else None
        return Moment(naive, zone or self.zone, all_day=False)

    def _length(self, start: Moment, first: Mapping[str, tuple[dict[str, str], str]]) -> Length:
        """Return how long an event is: a date without an end takes one day, a time without one takes none."""
        if "DTEND" in first:
            return _between(start, self.moment(*first["DTEND"]))
        if "DURATION" in first:
            return _duration(first["DURATION"][1])
        return Length(DAY if start.all_day else ZERO, ZERO)

    def _date_or_period(self, parameters: Mapping[str, str], value: str) -> tuple[Moment, Length | None]:
        begin, slash, end = value.partition("/")
        start = self.moment(parameters, begin)
        if not slash:
            return start, None
        period = end.strip().upper().startswith(("P", "+P"))
        return start, _duration(end) if period else _between(start, self.moment(parameters, end))

    def periods(self, text: str) -> Iterator[tuple[datetime, datetime]]:
        """Return what a calendar of busy times alone says (VFREEBUSY)."""
        for parameters, values in BUSY.findall(text):
            pairs = {key.upper(): one.strip('"').upper() for key, one in PARAMETER.findall(parameters)}
            if pairs.get("FBTYPE", "BUSY") == "FREE":
                continue
            for value in values.split(","):
                try:
                    start, length = self._date_or_period({}, value)
                    if length is not None:
                        yield start.instant, length.end(start)
                except (ValueError, OverflowError):
                    continue


def _between(start: Moment, end: Moment) -> Length:
    """Return the time from a start to an end; raise ValueError when that is backwards.

    Some programs write a day's own date as its end, which the standard does not allow: it is that day.
    """
    if start.all_day and end.all_day:
        days = max(DAY, end.naive - start.naive) if end.naive >= start.naive else -DAY
        length = Length(days, ZERO)
    else:
        length = Length(ZERO, end.instant - start.instant)
    if length.days < ZERO or length.exact < ZERO:
        raise ValueError("An event that ends before it begins.")
    return length


def _duration(text: str) -> Length:
    match = DURATION.fullmatch(text.strip())
    if match is None or match[1] == "-" or not any(match.groups()[1:]):
        raise ValueError(f"Not a duration: {text[:40]}")
    weeks, days, hours, minutes, seconds = (int(one or 0) for one in match.groups()[1:])
    return Length(timedelta(weeks=weeks, days=days), timedelta(hours=hours, minutes=minutes, seconds=seconds))


def day_of(text: str) -> datetime:
    return datetime(int(text[:4]), int(text[4:6]), int(text[6:]))  # noqa: DTZ001 (on some zone's clock)


def number_of(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
