"""What this process has counted for /metrics since it last added its counts to the table that all share."""

import threading
from collections import defaultdict
from collections.abc import Mapping

Key = tuple[str, str, str]  # the metric; a trigger, or empty; how it ended, or empty

EVENTS = "events"
BOOKINGS = "bookings"
ATTEMPTS = "tries"  # as the table has called them from the first
FINISHED = "finished"
SECONDS = "seconds"  # the time of attempts, summed up
BUCKET = "bucket"  # attempts that took so many seconds or less, and longer than the bucket before

# Seconds; the first are those of a receiver nearby, the last that of the longest time-out.
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 600.0)

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


def count_attempt(
    event: str, seconds: float, *, status: int | None, failure_code: str | None, ended: str | None
) -> None:
    """Count an attempt; `ended` is the state with which it ended its delivery.

    Its outcome is one word: delivered, http_5xx, or the failure's own code.
    """
    outcome = failure_code or "delivered"
    if failure_code == "status" and status:
        outcome = f"http_{status // 100}xx"
    bucket = next((most for most in BUCKETS if seconds <= most), BUCKETS[-1])
    counts = {(ATTEMPTS, event, outcome): 1, (BUCKET, "", str(bucket)): 1, (SECONDS, "", ""): seconds}
    if ended is not None:
        counts[FINISHED, event, ended] = 1
    add(counts)
