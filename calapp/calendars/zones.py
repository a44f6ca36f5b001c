"""Time zones as calendar files name them: IANA's, Windows', and those that a file defines itself.

Sources: RFC 5545, 3.6.5 (VTIMEZONE); Unicode's windowsZones.xml, which icalendar has as a table.
"""

import re
from bisect import bisect_right
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr
from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

OBSERVANCE = re.compile(
    r"^BEGIN:(STANDARD|DAYLIGHT)[ \t]*$(.*?)^END:\1", re.MULTILINE | re.DOTALL | re.IGNORECASE
)
OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)(?::?(\d\d))?")
STAMP = re.compile(r"(\d{8}T\d{6})Z?")
FORMAT = "%Y%m%dT%H%M%S"
ONSETS = 2000  # of one observance: yearly since 1601, and any plausible list
YEARS_AFTER = 2
ZERO = timedelta(0)


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
