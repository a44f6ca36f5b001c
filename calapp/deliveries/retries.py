"""When to try again, and what a failure speaks about: pure functions over the schedule and an answer."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto

MAX_HOLD = 24 * 3600  # seconds that a Retry-After is honoured for at most
MAX_WEBHOOK_DELAY = 30 * 60  # seconds between the tries of a webhook that keeps failing
FAILURES_BEFORE_HOLD = 5  # of the endpoint, in a row; from then on only one delivery is tried in a while
ANSWERS_SOON = 5.0  # seconds; a refusal that takes longer speaks about the endpoint
# Different events, since the last success: so many refused, or denied, speak about the endpoint after all.
REFUSED_BEFORE_HOLD = 20
DENIED_BEFORE_HOLD = 5
# What tells of an endpoint that is busy or away, though it is a 4xx: 408, 410, 425, 429.
BUSY = frozenset((408, 410, 425, 429))
REFUSALS = frozenset((*(status for status in range(400, 500) if status not in BUSY), 500, 501))
DENIALS = frozenset((401, 403, 404, 405))  # a key or an address that is wrong for all, or for this event
SPREAD = 0.2


class About(Enum):
    """What a failure speaks about."""

    EVENT = auto()  # the receiver is there and does not take this event
    DENIED = auto()  # the same, but the reason is likely to be the endpoint's: its key, its address
    ENDPOINT = auto()


def about(status: int | None, seconds: float) -> About:
    """Return what a failed attempt speaks about: its status, if there was one, and how long it took."""
    if status not in REFUSALS or seconds > ANSWERS_SOON:
        return About.ENDPOINT
    return About.DENIED if status in DENIALS else About.EVENT


def next_delay(schedule: Sequence[int], tries: int) -> float | None:
    """Return the seconds until the try after `tries` made ones, ±20 %, or None when the schedule is over."""
    if tries > len(schedule):
        return None
    return spread(schedule[tries - 1])


def hold_delay(schedule: Sequence[int], failing_for: float) -> float:
    """Return the seconds for which a webhook that has failed for so many seconds is left alone.

    As long as it has failed so far, so a short break costs little, but at most 30 minutes.
    """
    if not schedule:
        return MAX_WEBHOOK_DELAY
    longest = min(MAX_WEBHOOK_DELAY, max(schedule))
    return spread(min(max(failing_for, schedule[0]), longest))


def spread(seconds: float) -> float:
    """Move a delay by up to a fifth either way, so that what failed together does not come back together."""
    return seconds * random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311  # nobody gains by guessing it


def retry_after(value: str, at: datetime) -> int | None:
    """Read a Retry-After header, seconds or an HTTP date; None for nonsense, capped at 24 hours."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(int(value[:12]), MAX_HOLD)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = (moment - at).total_seconds()
    return min(round(seconds), MAX_HOLD) if seconds > 0 else None
