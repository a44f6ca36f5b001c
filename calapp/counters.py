"""What this process has counted for /metrics since it last added its counts to the table that all share."""

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

Key = tuple[str, str, str]  # the metric; a trigger, or empty; how it ended, or empty

EVENTS = "events"
BOOKINGS = "bookings"
ATTEMPTS = "tries"  # as the table has called them from the first
FINISHED = "finished"
SECONDS = "seconds"  # the time of attempts, summed up
BUCKET = "bucket"  # attempts that took so many seconds or less, and longer than the bucket before

# Seconds; the first are those of a receiver nearby, the last that of the longest time-out.
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 600.0)
BUCKET_NAMES = tuple(map(str, BUCKETS))

_lock = threading.Lock()
_counts: defaultdict[Key, float] = defaultdict(float)


def add(counts: Mapping[Key, float]) -> None:
    """Add to what this process has counted."""
    with _lock:
        for key, value in counts.items():
            _counts[key] += value


def take() -> dict[Key, float]:
    """Return what this process has counted, and begin at zero again."""
    with _lock:
        taken = dict(_counts)
        _counts.clear()
    return taken


def count(metric: str, event: str = "") -> None:
    """Count one more of a metric."""
    add({(metric, event, ""): 1})


class CountedAttempt(NamedTuple):
    """What is counted of an attempt; `ended` is the state with which it ended its delivery."""

    event: str
    seconds: float
    status: int | None
    failure_code: str | None
    ended: str | None


def count_attempts(attempts: Iterable[CountedAttempt]) -> None:
    """Count attempts. The outcome of each is one word: delivered, http_5xx, or the failure's own code."""
    counts: defaultdict[Key, float] = defaultdict(float)
    for event, seconds, status, failure_code, ended in attempts:
        outcome = failure_code or "delivered"
        if failure_code == "status" and status:
            outcome = f"http_{status // 100}xx"
        counts[ATTEMPTS, event, outcome] += 1
        counts[BUCKET, "", BUCKET_NAMES[min(bisect_left(BUCKETS, seconds), len(BUCKETS) - 1)]] += 1
        counts[SECONDS, "", ""] += seconds
        if ended is not None:
            counts[FINISHED, event, ended] += 1
    add(counts)
