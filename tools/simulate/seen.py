"""What the checks of a walk have seen so far, and what they expect of an endpoint's record."""

from datetime import timedelta
from typing import Any

from tools.simulate.receivers import Flight
from tools.simulate.world import World

FAILURES_TO_ONE = 5  # of the endpoint in a row: from then on one delivery at a time
DENIED, REFUSED = 5, 20  # different events that speak about the endpoint after all
LONGEST_BACKOFF = 600.0  # seconds: the longest of the schedule
HEALTHY_WITHIN = 11.0  # seconds that a due delivery waits at most for its first request while workers live
SLACK = timedelta(milliseconds=1)
FINAL = {"delivered", "failed", "expired"}

DELIVERIES = """SELECT id, event_id, webhook_id, chain, state, due_at, after_id, claim, attempts, tries,
  manual, pressed_at, created_at, finished_at, expires_at, body FROM delivery ORDER BY id"""
WEBHOOKS = """SELECT id, active, failures, failing_since, hold_until, asked_until, revision, deleted_at,
  on_at, settling, settling_to, refused_events, denied_events FROM webhook ORDER BY id"""
ATTEMPTS = """SELECT id, delivery_id, webhook_id, number, status, failure_code FROM attempt WHERE id > {after}
ORDER BY id"""
EVENTS = "SELECT id, chain, trigger, sequence FROM event WHERE id > {after} ORDER BY id"


class Broken(AssertionError):
    """An invariant does not hold; the message says which."""


def expect(true: object, words: str) -> None:
    if not true:
        raise Broken(words)


class Health:
    """What the checks expect of an endpoint's record, from the attempts that were stored."""

    def __init__(self) -> None:
        self.forget(0)

    def forget(self, revision: int) -> None:
        self.revision = revision
        self.failures = 0
        self.exact = True  # False: many refused events count in a way that depends on batches
        self.refused: set[int] = set()
        self.denied: set[int] = set()

    def note(self, flight: Flight, event_id: int) -> None:
        """Take a stored attempt into account."""
        how = flight.behaviour
        if flight.response.failure is None:
            self.forget(self.revision)
        elif flight.facts["pressed"] or flight.facts["revision"] != self.revision:
            return
        elif not how.about_event:
            self.failures += 1
        else:
            self.refused.add(event_id)
            if how.status == 401:
                self.denied.add(event_id)
            if len(self.refused) >= REFUSED or len(self.denied) >= DENIED:
                self.exact = False
                self.failures = max(self.failures, FAILURES_TO_ONE)


class Seen:
    """What was seen so far of one walk."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.before: dict[int, Any] = {}  # deliveries at the last look
        self.last_attempt = 0
        self.by_key: dict[tuple[int, int], Flight] = {}
        # SQLite gives ids of deleted deliveries to others; with event and webhook, each is one of its own.
        self.bytes: dict[tuple[int, int, int], tuple[str, bytes]] = {}  # id and body of its requests
        self.bodies: dict[tuple[int, int], set[tuple[str, bytes]]] = {}  # of each event at each webhook
        self.rendered_anew: set[tuple[int, int, int]] = (
            set()
        )  # what the host resent with the current template
        self.health: dict[int, Health] = {}
        self.stored: set[tuple[int, int]] = set()
        self.delivered: set[int] = set()
        self.waited: dict[int, float] = {}  # for how long what is due at healthy endpoints was not begun
        self.set_back = timedelta()  # by how much the clock was, in all
        self.leases_hold = True  # False once the clock was set: leases have other ends then
        self.probing: dict[int, Flight] = {}
        self.kinds: dict[str, int] = {}  # chain: event type
        self.hooks_before: dict[int, Any] = {}  # webhooks at the last look
        self.before_sending: dict[int, dict[str, Any]] = {}  # how each delivery was claimed
        self.limits: dict[int, tuple[int, list[float]]] = {}  # by webhook: how many a second, and when
