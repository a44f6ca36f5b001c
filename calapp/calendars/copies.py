"""What a host's calendars block, kept in each process until one of them changes.

A look at free times reads a row for each calendar and no more: reading and converting thousands of rows for
each would take ten times as long as all the rest of it.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, type_coerce
from sqlalchemy.orm import Session
from sqlalchemy.types import NullType

from calapp.availability.slots import BusyTime
from calapp.calendars.models import ExternalBusy, ExternalCalendar

MOST_KEPT = 100_000  # times of all hosts together, about 16 MB
SHORTEST = timedelta(minutes=5)  # no meeting fits in less between two times

Version = tuple[tuple[int, datetime | None], ...]


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
    for first, last in ((_instant(first), _instant(last)) for first, last in rows):
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


def _instant(stored: str | datetime) -> datetime:
    """Return an instant as the driver gives it: SQLite has texts, whose conversion in the column is slow."""
    return datetime.fromisoformat(stored).replace(tzinfo=UTC) if isinstance(stored, str) else stored
