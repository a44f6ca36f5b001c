"""The invariants: what must hold whenever something was done, at each request, and at rest."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from calapp.deliveries.exchange import WebhookRequest
from calapp.deliveries.outbox import ATTEMPTS_THAT_BLOCK, PARKED_HOLD
from calapp.deliveries.policy import UNUSED
from calapp.deliveries.signing import verify
from tools.simulate.receivers import Flight
from tools.simulate.world import LEASE, PER_ENDPOINT, SCHEDULE, SLOTS, Hook, World

FAILURES_TO_ONE = 5  # of the endpoint in a row: from then on one delivery at a time
DENIED, REFUSED = 5, 20  # different events that speak about the endpoint after all
LONGEST_BACKOFF = 600.0  # seconds: the longest of the schedule
HEALTHY_WITHIN = 11.0  # seconds that a due delivery waits at most for its first request while workers live
SLACK = timedelta(milliseconds=1)
FINAL = {"delivered", "failed", "expired"}

DELIVERIES = """SELECT id, event_id, webhook_id, chain, state, due_at, after_id, claim, attempts, tries,
  manual, pressed_at, created_at, finished_at, expires_at, body FROM delivery ORDER BY id"""
WEBHOOKS = """SELECT id, active, failures, failing_since, hold_until, asked_until, revision, deleted_at,
  on_at, settling, refused_events, denied_events FROM webhook ORDER BY id"""
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


class Checks:
    """What was seen so far, and what must follow from it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.before: dict[int, Any] = {}  # deliveries at the last look
        self.last_attempt = 0
        self.by_key: dict[tuple[int, int], Flight] = {}
        self.bytes: dict[tuple[int, int], tuple[str, bytes]] = {}
        self.health: dict[int, Health] = {}
        self.stored: set[tuple[int, int]] = set()
        self.delivered: set[int] = set()
        self.waited: dict[int, float] = {}  # for how long what is due at healthy endpoints was not begun
        self.set_back = timedelta()  # by how much the clock was, in all
        self.leases_hold = True  # False once the clock was set: leases have other ends then
        self.probing: dict[int, Flight] = {}
        self.limits: dict[int, tuple[int, list[float]]] = {}  # by webhook: how many a second, and when

    # At each request

    def requests(self, worker: str, requests: Sequence[WebhookRequest]) -> None:
        """Judge what a worker is about to send, in the moment after its claim."""
        rows = {row.id: row for row in self.world.read(DELIVERIES)}
        hooks = {row.id: row for row in self.world.read(WEBHOOKS)}
        at = self.world.wall()
        probes: dict[int, int] = {}
        for request in requests:
            row, webhook = rows[request.delivery_id], hooks[request.webhook_id]
            name = f"delivery {row.id} at webhook {webhook.id}"
            expect(webhook.active and webhook.deleted_at is None, f"{name} is sent though the webhook is off")
            expect(row.state == "waiting", f"{name} is sent though it is {row.state}")
            expect(row.claim == request.claim, f"{name} is sent with a claim that is not stored")
            expect(
                row.attempts == request.number,
                f"{name} is sent with attempt {request.number} of {row.attempts}",
            )
            expect(row.due_at == at + timedelta(seconds=LEASE), f"{name} has a lease until {row.due_at}")
            expect(row.id not in self.delivered, f"{name} is sent again after it was delivered")
            expect(row.expires_at is None or row.expires_at > at, f"{name} is sent after it expired")
            before = self.before.get(row.id)
            if before is not None and before.attempts == row.attempts - 1 and not self._released(row):
                due = before.due_at is None or before.due_at <= at
                expect(due, f"{name} is sent though it was due at {before.due_at} only")
            earlier = self.by_key.get((row.id, request.number))
            expect(earlier is None, f"{name} has two attempts of number {request.number}")
            self._not_in_flight_elsewhere(worker, row, name)
            self._same_bytes(request, row, name)
            hook = self.world.hooks[webhook.id]
            headers = {key.lower(): value for key, value in request.headers}
            expect(request.url == hook.url, f"{name} goes to {request.url}")
            for secret in hook.secrets:
                expect(verify(secret, request.body, headers), f"{name} is not signed with a valid secret")
            if row.pressed_at is None:
                asked = webhook.asked_until
                expect(asked is None or asked <= at, f"{name} is sent before the Retry-After {asked} is over")
                if webhook.failures >= FAILURES_TO_ONE:
                    probes[webhook.id] = probes.get(webhook.id, 0) + 1
                self._in_order(row, rows, webhook, at, name)
        for webhook_id, count in probes.items():
            leased = hooks[webhook_id].hold_until == at + timedelta(seconds=LEASE)
            expect(leased, f"webhook {webhook_id} is probed, and others may probe it meanwhile")
            self._one_probe(worker, webhook_id, count)
        self._within_rates([one for one in requests if rows[one.delivery_id].pressed_at is None])
        self._within_limits(worker, requests)

    def limit(self, webhook_id: int, limit: int | None) -> None:
        """Take note of a webhook's limit of requests a second."""
        self.limits.pop(webhook_id, None)
        if limit is not None:
            self.limits[webhook_id] = limit, []

    def _within_rates(self, requests: Sequence[WebhookRequest]) -> None:
        """Expect that, counted from any request on, no more came to a webhook than its limit allows."""
        for request in requests:
            if request.webhook_id in self.limits:
                self.limits[request.webhook_id][1].append(self.world.clock.monotonic())
        for webhook_id, (limit, moments) in self.limits.items():
            for place, began in enumerate(moments):
                count, seconds = len(moments) - place, moments[-1] - began
                most = limit * (seconds + UNUSED.total_seconds()) + 1.001
                words = f"webhook {webhook_id} got {count} requests in {seconds} s, its limit is {limit}"
                expect(count <= most, words)

    def rendered_again(self, delivery: Any, choice: str | None) -> None:
        """Take note that a delivery may have another body from now on, that of the current template."""
        if choice == "current":
            self.bytes.pop((delivery.event_id, delivery.webhook_id), None)

    def _released(self, row: Any) -> bool:
        """Return whether what was stored with the claim made it due: a success, or its outdated failure."""
        mine = f"webhook_id = {row.webhook_id} AND (failure_code IS NULL OR delivery_id = {row.id})"
        return bool(self.world.read(f"SELECT id FROM attempt WHERE id > {self.last_attempt} AND {mine}"))

    def _not_in_flight_elsewhere(self, worker: str, row: Any, name: str) -> None:
        for flight in self._flying(row.webhook_id):
            if flight.request.delivery_id == row.id and self.leases_hold:
                lease_over = flight.facts["lease_until"] <= self.world.wall()
                expect(lease_over, f"{name} is in flight already, from {flight.worker}")

    def _same_bytes(self, request: WebhookRequest, row: Any, name: str) -> None:
        headers = dict(request.headers)
        known = self.bytes.setdefault((row.event_id, row.webhook_id), (headers["webhook-id"], request.body))
        expect(known == (headers["webhook-id"], request.body), f"{name} has another id or body than before")
        expect(request.body, f"{name} has no body")

    def _in_order(self, row: Any, rows: dict[int, Any], webhook: Any, at: datetime, name: str) -> None:
        """Expect that no earlier event of the booking at this webhook holds this first attempt up."""
        if row.attempts != 1 or row.manual:
            return
        for other in rows.values():
            if (other.webhook_id, other.chain) != (row.webhook_id, row.chain) or other.id >= row.id:
                continue
            if other.manual or other.pressed_at is not None:
                continue
            waits = other.state == "waiting" and other.tries < ATTEMPTS_THAT_BLOCK
            expect(not waits, f"{name} is sent before {other.id}, an earlier event of its booking that waits")
            # What was due then is brought forward when the clock is set back; the hour stays an hour.
            hold = PARKED_HOLD - self.set_back
            held = webhook.on_at is not None and webhook.on_at + hold > at and webhook.settling is None
            parked = other.state == "parked" and held and row.created_at >= webhook.on_at
            expect(not parked, f"{name} is sent before {other.id}, which is parked and undecided")

    def _flying(self, webhook_id: int) -> list[Flight]:
        return [
            flight
            for worker in self.world.living()
            for flight in worker.sender.out
            if flight.request.webhook_id == webhook_id
        ]

    def _one_probe(self, worker: str, webhook_id: int, count: int) -> None:
        expect(count == 1, f"webhook {webhook_id} backs off and gets {count} requests at once")
        flight = self.probing.get(webhook_id)
        flying = flight is not None and flight in self._flying(webhook_id)
        if flight is not None and self.leases_hold:
            over = not flying or flight.facts["lease_until"] <= self.world.wall()
            expect(over, f"webhook {webhook_id} is probed by two workers")

    def _within_limits(self, worker: str, requests: Sequence[WebhookRequest]) -> None:
        mine = [one for one in self.world.living() if one.name == worker]
        out = [flight.request for one in mine for flight in one.sender.out] + list(requests)
        # What Send now has sent has no limit of its endpoint.
        counts: dict[int, int] = {}
        for request in out:
            counts[request.webhook_id] = counts.get(request.webhook_id, 0) + 1
        pressed = sum(bool(flight.facts.get("pressed")) for one in mine for flight in one.sender.out)
        pressed += sum(self._pressed(request) for request in requests)
        most = max(counts.values()) - pressed
        expect(most <= PER_ENDPOINT, f"{worker} has {most} requests in flight at one endpoint")
        expect(len(out) - pressed <= 2 * SLOTS, f"{worker} has {len(out)} requests in flight")

    def _pressed(self, request: WebhookRequest) -> bool:
        found = self.world.read(f"SELECT pressed_at FROM delivery WHERE id = {request.delivery_id}")
        return found[0].pressed_at is not None

    def sent(self, flight: Flight) -> None:
        """Note what is known of a request when it is handed over."""
        hook = flight.request.webhook_id
        claimed = self.before_sending.get(flight.request.delivery_id)
        assert claimed is not None
        flight.facts |= claimed
        self.by_key[flight.key] = flight
        if claimed["failures"] >= FAILURES_TO_ONE and not claimed["pressed"]:
            self.probing[hook] = flight

    before_sending: dict[int, dict[str, Any]] = {}

    def claimed(self, worker: str, requests: Sequence[WebhookRequest]) -> None:
        """Judge requests, and note of each how it was claimed."""
        self.requests(worker, requests)
        hooks = {row.id: row for row in self.world.read(WEBHOOKS)}
        self.before_sending = dict(self.before_sending)
        for request in requests:
            webhook = hooks[request.webhook_id]
            self.before_sending[request.delivery_id] = {
                "pressed": self._pressed(request),
                "revision": webhook.revision,
                "failures": webhook.failures,
                "lease_until": self.world.wall() + timedelta(seconds=LEASE),
            }

    # After each step

    def step(self, *, by_worker: bool = False) -> None:
        """Look at all rows after something was done."""
        if not self.world.changed():
            return
        rows = {row.id: row for row in self.world.read(DELIVERIES)}
        hooks = {row.id: row for row in self.world.read(WEBHOOKS)}
        self._forget_deleted(rows)
        attempts = self._stored(rows, hooks)
        for row in rows.values():
            self._delivery(row, rows, by_worker=by_worker)
        # What Send now has sent, or was sent before an edit, says nothing of the webhook when it fails.
        touched = {
            attempt.webhook_id
            for attempt in attempts
            if (flight := self.by_key[attempt.delivery_id, attempt.number])
            and not flight.facts["pressed"]
            and attempt.webhook_id in hooks
            and flight.facts["revision"] == hooks[attempt.webhook_id].revision
        }
        for webhook in hooks.values():
            self._webhook(webhook, touched)
            self._backoff_stands(webhook, attempts)
        self.hooks_before = hooks
        succeeded = {one.webhook_id for one in attempts if one.failure_code is None}
        for attempt in attempts:
            if attempt.delivery_id in rows and attempt.webhook_id not in succeeded:
                self._scheduled(attempt, rows[attempt.delivery_id], hooks)
        self.before = rows

    def _forget_deleted(self, rows: dict[int, Any]) -> None:
        """Forget deliveries that went with their webhook: SQLite gives their ids to others."""
        gone = {
            key
            for key, before in self.before.items()
            if key not in rows or rows[key].event_id != before.event_id
        }
        if gone:
            self.last_attempt = min(self.last_attempt, self.world.highest("id", "attempt"))
            self.delivered -= gone
            self.stored = {key for key in self.stored if key[0] not in gone}
            self.by_key = {
                key: flight
                for key, flight in self.by_key.items()
                if key[0] not in gone
                or (key[0] in rows and rows[key[0]].webhook_id == flight.request.webhook_id)
            }
            self.before = {key: row for key, row in self.before.items() if key not in gone}

    def _stored(self, rows: dict[int, Any], hooks: dict[int, Any]) -> Sequence[Any]:
        """Judge and return the attempts that were stored since the last look."""
        for worker in self.world.living():
            for key, sent in worker.engine.in_flight.items():
                for flight in self.world.flights if sent.renewed else ():
                    if (flight.worker, flight.request.delivery_id) == (worker.name, key):
                        flight.facts["renewed"] = True
        attempts = self.world.read(ATTEMPTS.format(after=self.last_attempt))
        for webhook in hooks.values():
            health = self.health.setdefault(webhook.id, Health())
            if health.revision != webhook.revision:
                health.forget(webhook.revision)
        for attempt in attempts:
            self._attempt(attempt, rows)
        self.last_attempt = attempts[-1].id if attempts else self.last_attempt
        return attempts

    def _attempt(self, attempt: Any, rows: dict[int, Any]) -> None:
        key = attempt.delivery_id, attempt.number
        name = f"attempt {attempt.number} of delivery {attempt.delivery_id}"
        flight = self.by_key.get(key)
        expect(flight is not None, f"{name} is in the log and was never sent")
        expect(key not in self.stored, f"{name} is in the log twice")
        assert flight is not None
        self.stored.add(key)
        response = flight.response
        expect(attempt.status == response.status, f"{name} has status {attempt.status}")
        code = response.failure.code if response.failure else None
        expect(attempt.failure_code == code, f"{name} has the failure {attempt.failure_code}, not {code}")
        row = rows.get(attempt.delivery_id)
        if row is None:
            return
        self.health.setdefault(row.webhook_id, Health()).note(flight, row.event_id)
        if response.failure is None:
            erased = row.state == "expired" and row.finished_at is not None
            expect(row.state == "delivered" or erased, f"delivery {row.id} was taken and is {row.state}")
        expect(
            row.pressed_at is None or row.claim is not None, f"delivery {row.id} is still to be sent at once"
        )
        if row.tries >= ATTEMPTS_THAT_BLOCK and row.claim is None:
            behind = [one.id for one in rows.values() if one.after_id == row.id and one.state == "waiting"]
            expect(not behind, f"deliveries {behind} wait behind {row.id} after {row.tries} attempts")
        if row.state in FINAL | {"parked"}:
            behind = [one.id for one in rows.values() if one.after_id == row.id and one.state == "waiting"]
            expect(not behind, f"deliveries {behind} wait behind {row.id}, which is {row.state}")

    def _delivery(self, row: Any, rows: dict[int, Any], *, by_worker: bool) -> None:
        name, before = f"delivery {row.id}", self.before.get(row.id)
        if by_worker and before is not None and before.state == "waiting" and row.state == "expired":
            behind = [one.id for one in rows.values() if one.after_id == row.id and one.state == "waiting"]
            expect(not behind, f"deliveries {behind} wait behind {row.id}, which has expired")
        if row.state == "waiting":
            expect(row.due_at or row.after_id, f"{name} waits for nothing")
        else:
            expect(row.due_at is None, f"{name} is {row.state} and due")
            expect(row.claim is None, f"{name} is {row.state} and claimed")
        expect(
            (row.finished_at is not None) == (row.state in FINAL),
            f"{name} is {row.state} and ended {row.finished_at}",
        )
        if before is not None:
            expect(row.attempts >= before.attempts, f"{name} has fewer attempts than before")
            was = before.state == "delivered" and row.state != "delivered"
            expect(not was, f"{name} was delivered and is {row.state}")
        if row.state == "delivered":
            if row.id not in self.delivered:
                taken = any(
                    flight.response.failure is None and (row.id, number) in self.stored
                    for (key, number), flight in self.by_key.items()
                    if key == row.id
                )
                expect(taken, f"{name} is delivered though no receiver took it")
            self.delivered.add(row.id)
        expect(row.tries <= len(SCHEDULE) + 1, f"{name} has {row.tries} attempts in its schedule")
        if before is not None and row.state == "failed" != before.state and row.body != "":
            expect(row.tries == len(SCHEDULE) + 1, f"{name} failed after {row.tries} attempts")
        if row.after_id is not None and row.after_id in rows:
            ahead = rows[row.after_id]
            same = (ahead.webhook_id, ahead.chain) == (row.webhook_id, row.chain)
            # In a replay the copy of an earlier event is younger than the delivery of a later one.
            earlier = ahead.id < row.id or ahead.event_id < row.event_id
            expect(same and earlier, f"{name} waits behind {ahead.id}")

    def _scheduled(self, attempt: Any, row: Any, hooks: dict[int, Any]) -> None:
        """Expect that a failed attempt that was just stored is made again when its schedule says."""
        flight, before = self.by_key[attempt.delivery_id, attempt.number], self.before.get(row.id)
        known = before is not None and before.claim == flight.request.claim and before.pressed_at is None
        webhook = hooks[row.webhook_id]
        name, at = f"delivery {row.id}", self.world.wall()
        if (
            not known
            and before is not None
            and before.claim != flight.request.claim
            and not flight.facts.get("renewed")
        ):
            untouched = (row.tries, row.state, row.claim) == (before.tries, before.state, before.claim)
            untouched = untouched or row.attempts != before.attempts
            expect(untouched, f"{name} was changed by a late failure")
        if known and flight.facts["revision"] != webhook.revision and not flight.facts["pressed"]:
            expect(row.tries == before.tries, f"{name} counts an attempt that its webhook has outdated")
        if not known or flight.facts["pressed"] or flight.facts["revision"] != webhook.revision:
            return
        if flight.behaviour.status == 410:
            expect(row.state == "parked", f"{name} is {row.state} after 410")
            expect(not webhook.active, f"webhook {row.webhook_id} is on after 410")
            return
        expect(row.tries == before.tries + 1, f"{name} has {row.tries} counted attempts after {before.tries}")
        if row.state != "waiting":
            return
        delay = SCHEDULE[row.tries - 1] if row.tries <= len(SCHEDULE) else None
        expect(delay is not None, f"{name} waits after its last attempt")
        if row.claim is not None or delay is None or row.due_at is None:
            return
        asked = flight.response.retry_after or 0
        least, most = max(0.8 * delay, asked), max(1.2 * delay, asked)
        seconds = (row.due_at - at).total_seconds()
        inside = least - 0.001 <= seconds <= most + 0.001
        expect(inside, f"{name} is due in {seconds:.1f} s after {row.tries} attempts, not {least}–{most}")
        if asked and webhook.deleted_at is None:
            until = at + timedelta(seconds=asked) - SLACK
            held = webhook.asked_until is not None and webhook.asked_until >= until
            expect(
                held,
                f"webhook {webhook.id} asked for {asked} s and is left alone until {webhook.asked_until}",
            )

    def _webhook(self, webhook: Any, touched: set[int]) -> None:
        health, name = self.health[webhook.id], f"webhook {webhook.id}"
        if health.exact:
            expect(
                webhook.failures == health.failures,
                f"{name} has {webhook.failures} failures in a row, not {health.failures}",
            )
        else:
            expect(webhook.failures >= FAILURES_TO_ONE, f"{name} refused many events and is not backed off")
            for kind, known in (("refused", health.refused), ("denied", health.denied)):
                stored = {int(one) for one in getattr(webhook, f"{kind}_events").split(",") if one}
                enough = {"refused": REFUSED, "denied": DENIED}[kind]  # more are not kept
                same = stored == known or (stored < known and len(stored) >= enough)
                expect(same, f"{name} has {kind} events {stored}, not {known}")
        if not webhook.failures:
            expect(webhook.hold_until is None, f"{name} backs off without failures")
            expect(
                webhook.failing_since is None, f"{name} fails since {webhook.failing_since} without failures"
            )
        if webhook.failures >= FAILURES_TO_ONE:
            expect(webhook.failing_since is not None, f"{name} fails, and since when is not known")
        if webhook.id in touched and webhook.failures >= FAILURES_TO_ONE:
            at = self.world.wall()
            expect(
                webhook.hold_until is not None and webhook.hold_until > at,
                f"{name} fails and is not backed off",
            )
            longest = at + timedelta(seconds=LONGEST_BACKOFF * 1.2)
            expect(webhook.hold_until <= longest, f"{name} backs off until {webhook.hold_until}")

    hooks_before: dict[int, Any] = {}

    def _backoff_stands(self, webhook: Any, attempts: Sequence[Any]) -> None:
        """Expect that a backoff which lasts is lengthened by a probe alone."""
        before = self.hooks_before.get(webhook.id)
        mine = [self.by_key[one.delivery_id, one.number] for one in attempts if one.webhook_id == webhook.id]
        if not mine or before is None or before.hold_until is None or before.revision != webhook.revision:
            return
        probed = any(flight.facts["failures"] >= FAILURES_TO_ONE for flight in mine)
        lasts = before.hold_until > self.world.wall() and webhook.hold_until is not None
        if lasts and not probed:
            same = webhook.hold_until == before.hold_until
            expect(same, f"the backoff of webhook {webhook.id} was lengthened by no probe")

    def passing(self, seconds: float) -> None:
        """Expect that what is due at an endpoint that always works is begun soon while a worker lives.

        Time counts in which nobody had anything to do, up to the moment until which somebody waits.
        """
        at, workers = self.world.wall(), [one for one in self.world.living() if not one.stopping]
        if not workers or any(worker.ready() for worker in workers):
            return
        rests = min((worker.until or 0.0) for worker in workers) - self.world.clock.monotonic()
        due = {
            row.id: self.waited.get(row.id, 0.0) + max(0.0, min(seconds, rests))
            for row in self.before.values()
            if row.webhook_id in self.healthy and row.state == "waiting" and row.due_at and row.due_at <= at
        }
        self.waited = due
        long = [key for key, waited in due.items() if waited > HEALTHY_WITHIN]
        expect(not long, f"deliveries {long} at an endpoint that works have waited for {HEALTHY_WITHIN} s")

    @property
    def healthy(self) -> set[int]:
        return {hook.id for hook in self.world.hooks.values() if hook.healthy}

    # After each action

    def events(self, since: int, expected: list[tuple[str, str]]) -> None:
        """Expect these events (chain, trigger) since an id, each with a delivery for each subscriber."""
        found = self.world.read(EVENTS.format(after=since))
        got = sorted((row.chain, row.trigger) for row in found)
        expect(got == sorted(expected), f"the events are {got}, and should be {sorted(expected)}")
        if not found:
            return
        hooks = {row.id: row for row in self.world.read(WEBHOOKS)}
        rows = self.world.read(DELIVERIES)
        for event in found:
            subscribed = self._subscribed(event.trigger, self.kinds[event.chain])
            mine = [row for row in rows if row.event_id == event.id]
            ids = sorted(row.webhook_id for row in mine)
            expect(
                ids == subscribed, f"event {event.id} goes to webhooks {ids}, and should go to {subscribed}"
            )
            if any(row.state == "waiting" and row.due_at for row in mine) and self.world.wakes == "heard":
                deaf = [one.name for one in self.world.living() if not one.sender.woken]
                expect(not deaf, f"{deaf} were not woken by event {event.id}")
            for row in mine:
                self._written(row, rows, hooks[row.webhook_id])

    kinds: dict[str, int] = {}  # chain: event type

    def _subscribed(self, trigger: str, event_type_id: int) -> list[int]:
        by_url: dict[str, Hook] = {}
        for hook in sorted(
            self.world.hooks.values(), key=lambda one: (one.event_type_id is not None, one.id)
        ):
            if not hook.deleted and trigger in hook.triggers and hook.event_type_id in {None, event_type_id}:
                by_url[hook.url] = hook
        return sorted(hook.id for hook in by_url.values())

    def _written(self, row: Any, rows: Sequence[Any], webhook: Any) -> None:
        """Expect that a new delivery waits for what it must wait for, and for nothing else."""
        name, at = f"delivery {row.id}", self.world.wall()
        chain = [
            one
            for one in rows
            if (one.webhook_id, one.chain) == (row.webhook_id, row.chain) and one.id < row.id
        ]
        waiting = [one for one in chain if one.state == "waiting" and one.tries < ATTEMPTS_THAT_BLOCK]
        ahead = [one.id for one in waiting if one.pressed_at is None]
        in_line = [one.id for one in waiting if one.id in ahead and not (one.manual and one.after_id is None)]
        in_line = in_line or ahead or [one.id for one in waiting]
        parked = [one.id for one in chain if one.state == "parked"]
        if not webhook.active:
            expect(row.state == "parked", f"{name} is {row.state} though its webhook is off")
            return
        if parked and webhook.settling == "send":
            expect(row.state == "parked", f"{name} does not wait for the parked events that are being sent")
            return
        expect(row.state == "waiting", f"{name} is {row.state} though its webhook is on")
        if in_line:
            expect(row.after_id == max(in_line), f"{name} waits behind {row.after_id}, not {max(in_line)}")
            expect(row.due_at is None, f"{name} waits behind another and is due")
        elif parked and webhook.on_at and webhook.on_at + PARKED_HOLD > at and webhook.settling is None:
            expect(row.after_id == max(parked), f"{name} waits behind {row.after_id}, not {max(parked)}")
            expect(row.due_at == webhook.on_at + PARKED_HOLD, f"{name} waits until {row.due_at}")
        else:
            expect(row.after_id is None, f"{name} waits behind {row.after_id} for no reason")
            expect(row.due_at is not None and row.due_at <= at, f"{name} is not due at once")

    # At rest

    def rest(self) -> None:
        """Expect that nothing is left over when everything has calmed down."""
        rows = {row.id: row for row in self.world.read(DELIVERIES)}
        hooks = {row.id: row for row in self.world.read(WEBHOOKS)}
        for row in rows.values():
            webhook = hooks[row.webhook_id]
            name = f"delivery {row.id}"
            ended = webhook.deleted_at is None or row.state in FINAL
            expect(ended, f"{name} of a deleted webhook is {row.state} for ever")
            expect(row.state in FINAL or row.state == "parked", f"{name} is {row.state} for ever")
            expect(
                row.after_id is None or row.state != "waiting", f"{name} waits behind {row.after_id} for ever"
            )
        for key, flight in self.by_key.items():
            gone = flight.request.delivery_id not in rows
            logged = key in self.stored or flight.lost or gone
            expect(logged, f"attempt {key[1]} of delivery {key[0]} was sent and is not in the log")
        sequences: dict[str, list[int]] = {}
        for event in self.world.read(EVENTS.format(after=0)):
            sequences.setdefault(event.chain, []).append(event.sequence)
        for chain, found in sequences.items():
            expect(found == list(range(1, len(found) + 1)), f"the events of {chain} are numbered {found}")
