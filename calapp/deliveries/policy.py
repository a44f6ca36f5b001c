"""When to try again, and what a failure speaks about: pure functions over the schedule and a response."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum, auto

from calapp.text import whole_number

MAX_RETRY_AFTER = 24 * 3600  # seconds that a Retry-After is honoured for at most
MAX_WEBHOOK_DELAY = 30 * 60  # seconds between the attempts of a webhook that keeps failing
FAILURES_BEFORE_BACKOFF = 5  # of the endpoint, in a row; from then on only one delivery is tried in a while
REFUSES_WITHIN = 5.0  # seconds; a refusal that takes longer is about the endpoint
# Different events, since the last success: so many refused, or denied, speak about the endpoint after all.
REFUSED_BEFORE_BACKOFF = 20
DENIED_BEFORE_BACKOFF = 5
# Different events whose attempts failed, since the last success: so many make a webhook a failing one.
DIFFERENT_BEFORE_FAILING = 5
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
    if status not in REFUSALS or seconds > REFUSES_WITHIN:
        return About.ENDPOINT
    return About.DENIED if status in DENIALS else About.EVENT


def next_delay(schedule: Sequence[int], attempts: int) -> float | None:
    """Return the seconds until the next attempt after so many, ±20 %, or None when the schedule is over."""
    if attempts > len(schedule):
        return None
    return spread(schedule[attempts - 1])


def backoff_delay(schedule: Sequence[int], failing_for: float) -> float:
    """Return the seconds for which a webhook that has failed for so many seconds backs off.

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
    if (asked := whole_number(value, digits=1000)) is not None:
        return min(asked, MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = (moment - at).total_seconds()
    return min(round(seconds), MAX_RETRY_AFTER) if seconds > 0 else None


UNUSED = timedelta(seconds=0.1)  # of a webhook's limit may be made up for; more would be a burst


def limit_begins(limited_until: datetime | None, at: datetime) -> datetime:
    """Return since when a webhook's limit of requests per second is unused, or when it will be."""
    earliest = at - UNUSED
    return earliest if limited_until is None else max(limited_until, earliest)


def requests_allowed(begins: datetime, limit: int, at: datetime) -> int:
    """Return how many requests a limit allows at an instant; each moves its beginning on by 1/limit s."""
    return 0 if begins > at else int((at - begins).total_seconds() * limit) + 1


FIRST_LIMIT = 4
SLOW, NEW, HEALTHY = range(3)  # an endpoint may use its own share of the slots and those before it
QUICK = 1.0  # seconds; an endpoint whose last response took longer, or that is out for longer, is slow
FAILURES_TO_ONE = 5  # in a row; from then on one delivery at a time


@dataclass(frozen=True, slots=True)
class Ready:
    """An endpoint that has something due; `failures` in a row as the database knows them.

    With `pressed` it is that delivery alone, which its host has sent by *Send now*.
    """

    webhook_id: int
    failures: int
    first_due: datetime
    pressed: int | None = None


@dataclass(slots=True)
class EndpointLimit:
    """What one process knows of one endpoint."""

    size: int = FIRST_LIMIT
    failures: int = 0
    proven: bool = False  # its last attempt succeeded
    slow: bool = False  # its last response took longer than QUICK


class ConcurrencyLimits:
    """The concurrency limits of one worker process; `slots` in all, at most `most` for one endpoint."""

    def __init__(self, *, slots: int, most: int) -> None:
        self.slots = slots
        self.most = most
        self.endpoints: dict[int, EndpointLimit] = {}

    def seen(self, webhook_id: int, *, success: bool, seconds: float) -> None:
        """Take note of a success, however slow, or of a failure of the endpoint, after so many seconds."""
        limit = self.endpoints.setdefault(webhook_id, EndpointLimit())
        limit.failures = 0 if success else limit.failures + 1
        limit.proven = success
        limit.slow = seconds > QUICK
        if success:
            limit.size = min(limit.size * 2, self.most)
            return
        limit.size = 1 if limit.failures >= FAILURES_TO_ONE else max(1, limit.size // 2)

    def refused(self, webhook_id: int, *, seconds: float) -> None:
        """Take note of a response that speaks about its event: of the endpoint it says how quick it is."""
        self.endpoints.setdefault(webhook_id, EndpointLimit()).slow = seconds > QUICK

    def unknown(self, ready: Sequence[Ready]) -> list[int]:
        """Return the ids of those of which this process knows nothing."""
        return [one.webhook_id for one in ready if one.webhook_id not in self.endpoints]

    def learn(self, last_attempts: Mapping[int, bool | None]) -> None:
        """Take note of how the last attempt of each ended, whoever made it: success, failure, or None yet."""
        for webhook_id, success in last_attempts.items():
            limit = EndpointLimit(failures=int(success is False), proven=bool(success))
            self.endpoints.setdefault(webhook_id, limit)

    def free(self, in_flight: Mapping[int, Sequence[float]]) -> int:
        """Return how many more may be out.

        Transfers older than a second count for at most half of the slots, so that endpoints that worked and
        all begin to hang at once hold the others up for a second, not until their deadline; but never are
        more than twice the slots out.
        """
        out = sum(map(len, in_flight.values()))
        old = sum(age > QUICK for ages in in_flight.values() for age in ages)
        counted = out - max(0, old - self.slots // 2)
        return max(0, min(self.slots - counted, 2 * self.slots - out))

    def quotas(
        self, ready: Sequence[Ready], in_flight: Mapping[int, Sequence[float]], most: int
    ) -> dict[int, int]:
        """Return how many of each endpoint's deliveries to claim, at most `most` in all.

        The endpoint that has waited longest comes first. What failed or is slow may hold half of all slots,
        with what has not responded yet three quarters, so that endpoints that work always find a place.
        """
        slow = sum(len(ages) for key, ages in in_flight.items() if self._slow(key, ages))
        unproven = sum(len(ages) for key, ages in in_flight.items() if not self._proven(key))
        rooms = [max(0, self.slots // 2 - slow), max(0, self.slots * 3 // 4 - unproven), most]
        wanted: dict[int, int] = {}
        for endpoint in sorted(ready, key=lambda one: one.first_due):
            kind = self._class(endpoint, in_flight.get(endpoint.webhook_id, ()))
            room = min(rooms[kind:])
            count = min(self._room(endpoint, in_flight), max(1, most // len(ready)), room)
            if count <= 0:
                continue
            wanted[endpoint.webhook_id] = count
            for index in range(kind, len(rooms)):
                rooms[index] -= count
        return self._widened(wanted, ready, in_flight, rooms[2])

    def _widened(
        self,
        wanted: dict[int, int],
        ready: Sequence[Ready],
        in_flight: Mapping[int, Sequence[float]],
        left: int,
    ) -> dict[int, int]:
        """Give what is left to the endpoints that are proven and have room for more."""
        for endpoint in ready:
            key = endpoint.webhook_id
            if left <= 0:
                break
            if key in wanted and self._class(endpoint, in_flight.get(key, ())) == HEALTHY:
                more = min(left, self._room(endpoint, in_flight) - wanted[key])
                wanted[key] += more
                left -= more
        return wanted

    def _class(self, endpoint: Ready, ages: Sequence[float]) -> int:
        """Return SLOW for a slow or failing endpoint, NEW for one without a response yet, else HEALTHY."""
        if endpoint.failures or self._slow(endpoint.webhook_id, ages):
            return SLOW
        return HEALTHY if self._proven(endpoint.webhook_id) else NEW

    def _room(self, endpoint: Ready, in_flight: Mapping[int, Sequence[float]]) -> int:
        limit = self.endpoints.get(endpoint.webhook_id)
        size = limit.size if limit else min(FIRST_LIMIT, self.most)
        if endpoint.failures >= FAILURES_TO_ONE:
            size = 1
        return max(0, size - len(in_flight.get(endpoint.webhook_id, ())))

    def _slow(self, webhook_id: int, ages: Sequence[float]) -> bool:
        limit = self.endpoints.get(webhook_id)
        return bool((limit and (limit.failures or limit.slow)) or (ages and max(ages) > QUICK))

    def _proven(self, webhook_id: int) -> bool:
        limit = self.endpoints.get(webhook_id)
        return bool(limit and limit.proven)
