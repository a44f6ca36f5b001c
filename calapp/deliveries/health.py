"""How webhooks have done in the last 24 hours, from the newest 200 tries of each."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select, union_all
from sqlalchemy.orm import Session

from calapp.db import database_now
from calapp.deliveries.models import Attempt

NEWEST = 200  # tries of one webhook that are looked at
WINDOW = timedelta(hours=24)
BARS = 24
TOGETHER = 100  # webhooks that one statement asks for; SQLite takes 500 parts at most


@dataclass(frozen=True)
class Bar:
    """An hour: how many tries were delivered and failed."""

    delivered: int
    failed: int


@dataclass(frozen=True)
class Health:
    """A webhook's last 24 hours; durations in milliseconds, of the tries that were delivered."""

    delivered: int
    failed: int
    p50: float | None
    p99: float | None
    last_failure: str | None
    last_failed_at: datetime | None
    capped: bool  # there were more tries than were looked at
    bars: Sequence[Bar]

    @property
    def tallest(self) -> int:
        """The most tries in one hour, at least 1."""
        return max(1, *(bar.delivered + bar.failed for bar in self.bars))


def health_of(session: Session, webhook_ids: Iterable[int]) -> dict[int, Health]:
    """Return the health of each webhook that was tried in the last 24 hours."""
    at = database_now(session)
    tries: dict[int, list[Row[Any]]] = {}
    wanted = list(webhook_ids)
    for first in range(0, len(wanted), TOGETHER):
        for row in session.execute(_newest(wanted[first : first + TOGETHER], at - WINDOW)):
            tries.setdefault(row.webhook_id, []).append(row)
    return {webhook_id: _judged(rows, at) for webhook_id, rows in tries.items()}


def _newest(webhook_ids: Sequence[int], since: datetime) -> Any:
    """Select the newest tries of each webhook: one index probe each, however many there are."""
    parts = [
        select(
            select(Attempt.webhook_id, Attempt.at, Attempt.failure, Attempt.total_ms)
            .where(Attempt.webhook_id == webhook_id, Attempt.at > since)
            .order_by(Attempt.at.desc())
            .limit(NEWEST)
            .subquery()
        )
        for webhook_id in webhook_ids
    ]
    return union_all(*parts)


def _judged(rows: Sequence[Row[Any]], at: datetime) -> Health:
    """Sum up the tries of one webhook, newest first."""
    times = sorted(row.total_ms for row in rows if row.failure is None and row.total_ms is not None)
    failed = [row for row in rows if row.failure is not None]
    return Health(
        delivered=len(rows) - len(failed),
        failed=len(failed),
        p50=_percentile(times, 0.5),
        p99=_percentile(times, 0.99),
        last_failure=failed[0].failure if failed else None,
        last_failed_at=failed[0].at if failed else None,
        capped=len(rows) == NEWEST,
        bars=_bars(rows, at),
    )


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None


def _bars(rows: Sequence[Row[Any]], at: datetime) -> list[Bar]:
    delivered, failed = [0] * BARS, [0] * BARS
    for row in rows:
        hour = min(BARS - 1, max(0, int((at - row.at) / (WINDOW / BARS))))
        (failed if row.failure is not None else delivered)[BARS - 1 - hour] += 1
    return [Bar(*pair) for pair in zip(delivered, failed, strict=True)]
