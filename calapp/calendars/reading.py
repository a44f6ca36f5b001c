"""A calendar read: fetched by the reader of its kind, compared with the copy, and worked out in a child.

What calendars block is kept in each process until one of them changes: a look at free times reads a row for
each calendar and no more. Reading and converting thousands of rows for each would take ten times as long as
all the rest of it.
"""

import hashlib
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, type_coerce
from sqlalchemy.orm import Session
from sqlalchemy.types import NullType

from calapp.availability.slots import BusyTime
from calapp.calendars.caldav import read_caldav
from calapp.calendars.components import NotACalendar, unfolded
from calapp.calendars.fetch import Reading, Source, Unreadable, read_ics
from calapp.calendars.models import CalendarKind, ExternalBusy, ExternalCalendar
from calapp.processes import ROOT

KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG")  # the child has no need of secrets
CHILD_SECONDS = 30.0  # by the clock; of CPU it limits itself
VERSION = "1"  # another one has every copy worked out again
STAMPS = re.compile(r"^DTSTAMP[^\n]*\n", re.MULTILINE)  # Google writes new ones with each response
UID = re.compile(r"^UID(?:;[^:\n]*)?:(.*)$", re.MULTILINE)

READERS: dict[CalendarKind, Callable[[Source], Reading]] = {
    CalendarKind.ICS: read_ics,
    CalendarKind.CALDAV: read_caldav,
}

log = logging.getLogger(__name__)
_turn = threading.Lock()  # one child at a time for each process

OwnUids = Callable[[Collection[str]], Collection[str]]
MOST_KEPT = 100_000  # times of all hosts together, about 16 MB
SHORTEST = timedelta(minutes=5)  # no meeting fits in less between two times
Version = tuple[tuple[int, datetime | None], ...]


@dataclass(frozen=True)
class Viewer:
    """Whose calendar it is, as far as that changes what it blocks.

    `own_uids` returns which of some UIDs are bookings of this host.
    """

    zone: str
    emails: tuple[str, ...]
    own_uids: OwnUids

    @property
    def basis(self) -> str:
        """What tells whether a copy was made for the same."""
        return hashlib.sha256(json.dumps([VERSION, self.zone, self.emails]).encode()).hexdigest()


@dataclass(frozen=True)
class ReadOutcome:
    """What came of reading a calendar that could be read; `times` is None when the copy still holds."""

    source: Source
    basis: str
    reading: Reading
    content_hash: str | None
    times: list[tuple[datetime, datetime]] | None = None
    left_out: int = 0
    cut_at: datetime | None = None


def read(source: Source, viewer: Viewer, content_hash: str | None = None) -> ReadOutcome:
    """Read a calendar and work out what it blocks; raise Unreadable with the reason in words.

    `content_hash` is that of the copy, if it may be kept when the text is the same. No transaction may be
    open.
    """
    reading = READERS[source.kind](source)
    if reading.text is None:
        return ReadOutcome(source, viewer.basis, reading, content_hash)
    try:
        text = unfolded(reading.text)
    except NotACalendar as error:
        raise Unreadable(error.code, error.words) from None
    digest = hashlib.sha256(STAMPS.sub("", text).encode()).hexdigest()
    if digest == content_hash:
        return ReadOutcome(source, viewer.basis, reading, digest)
    job = {
        "first": source.first.timestamp(),
        "last": source.last.timestamp(),
        "zone": viewer.zone,
        "emails": viewer.emails,
        "own": list(viewer.own_uids({uid.strip() for uid in UID.findall(text)})),
    }
    found = _worked_out(job, text)
    if "code" in found:
        raise Unreadable(found["code"], found["words"])
    times = [(_instant(start), _instant(end)) for start, end in found["times"]]
    cut_at = None if found["cut_at"] is None else _instant(found["cut_at"])
    return ReadOutcome(source, viewer.basis, reading, digest, times, found["left_out"], cut_at)


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _worked_out(job: Mapping[str, object], text: str) -> dict[str, Any]:
    """Run the child of expansion.py, one at a time, and return its answer; raise Unreadable."""
    command = [sys.executable, "-m", "calapp.calendars.expansion"]
    variables = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    given = json.dumps(job).encode() + b"\n" + text.encode()
    too_much = Unreadable("too_much_work", "The repetitions of this calendar take too long to work out.")
    with _turn:
        try:
            done = subprocess.run(
                command,
                input=given,
                capture_output=True,
                timeout=CHILD_SECONDS,
                cwd=ROOT,
                env=variables,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise too_much from None
        except OSError as error:  # no memory, no process
            words = f"The server could not work this calendar out: {error.strerror}."
            raise Unreadable("no_process", words) from None
    if done.returncode < 0:  # by the limit of its CPU
        raise too_much
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        log.warning("A calendar cannot be worked out: %s", done.stderr.decode(errors="replace")[-500:])
        raise Unreadable("not_understood", "This calendar could not be understood.") from None
    return found


class BlockedTimes:
    """The merged times of the hosts that were looked at last; for any number of threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, tuple[Version, list[BusyTime]]] = OrderedDict()
        self._count = 0
        self._lock = threading.Lock()

    def of(self, session: Session, host_id: int, calendars: Sequence[ExternalCalendar]) -> Sequence[BusyTime]:
        """Return what these calendars of a host block together, in order and apart."""
        version = tuple((one.id, one.changed_at) for one in calendars)
        with self._lock:
            kept = self._kept.get(host_id)
            if kept is not None and kept[0] == version:
                self._kept.move_to_end(host_id)
                return kept[1]
        times = _merged(session, [one.id for one in calendars])
        with self._lock:
            self._count += len(times) - len(self._kept.pop(host_id, ((), []))[1])
            self._kept[host_id] = version, times
            while self._count > MOST_KEPT and len(self._kept) > 1:
                self._count -= len(self._kept.popitem(last=False)[1][1])
        return times


def _merged(session: Session, calendar_ids: Sequence[int]) -> list[BusyTime]:
    raw: list[Any] = [type_coerce(one, NullType()) for one in (ExternalBusy.starts_at, ExternalBusy.ends_at)]
    rows = session.execute(
        select(*raw).where(ExternalBusy.calendar_id.in_(calendar_ids)).order_by(ExternalBusy.starts_at)
    )
    merged: list[BusyTime] = []
    start = end = None
    for first, last in ((_utc(first), _utc(last)) for first, last in rows):
        if start is None or end is None:
            start, end = first, last
        elif first < end + SHORTEST:
            end = max(end, last)
        else:
            merged.append(BusyTime(start, end))
            start, end = first, last
    if start is not None and end is not None:
        merged.append(BusyTime(start, end))
    return merged


def _utc(stored: str | datetime) -> datetime:
    """Return an instant as the driver gives it: SQLite has texts, whose conversion in the column is slow."""
    return datetime.fromisoformat(stored).replace(tzinfo=UTC) if isinstance(stored, str) else stored
