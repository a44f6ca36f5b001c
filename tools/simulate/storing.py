"""What must hold of the rows after each step: the attempts in the log, deliveries and webhooks."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from calapp.deliveries.outbox import ATTEMPTS_THAT_BLOCK
from tools.simulate.receivers import Flight
from tools.simulate.seen import (
    ATTEMPTS,
    DELIVERIES,
    DENIED,
    FAILURES_TO_ONE,
    FINAL,
    HEALTHY_WITHIN,
    LONGEST_BACKOFF,
    REFUSED,
    SLACK,
    WEBHOOKS,
    Health,
    Seen,
    expect,
)
from tools.simulate.world import SCHEDULE


class StoringChecks(Seen):
    """Compares what is stored with what was stored before, and with what was sent."""

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
        before = self.before.get(row.id)
        # What its host switched off while it was out may hold up what came after it was on again.
        parked_by_it = row.state == "parked" and (before is None or before.state != "parked")
        if row.state in FINAL or parked_by_it:
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
            # In a replay the resent delivery of an earlier event is younger than the delivery of a later one.
            earlier = ahead.id < row.id or ahead.event_id < row.event_id
            expect(same and earlier, f"{name} waits behind {ahead.id}")

    def _scheduled(self, attempt: Any, row: Any, hooks: dict[int, Any]) -> None:
        """Expect that a failed attempt that was just stored is made again when its schedule says."""
        flight, before = self.by_key[attempt.delivery_id, attempt.number], self.before.get(row.id)
        known = before is not None and before.claim == flight.request.claim and before.pressed_at is None
        webhook = hooks[row.webhook_id]
        name, at = f"delivery {row.id}", self.world.wall()
        self._late(flight, before, row, webhook, name)
        if not known or flight.facts["pressed"] or flight.facts["revision"] != webhook.revision:
            return
        if flight.behaviour.status == 410:
            expect(row.state == "parked", f"{name} is {row.state} after 410")
            expect(not webhook.active, f"webhook {row.webhook_id} is on after 410")
            return
        overdue = flight.facts["lease_until"] <= at and row.expires_at is not None and row.expires_at <= at
        if row.state == "expired" and overdue and row.tries == before.tries:
            return  # a claim found that it had expired before the worker, asleep, stored the failure
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

    def _late(self, flight: Flight, before: Any, row: Any, webhook: Any, name: str) -> None:
        """Expect that a failure changes nothing that comes after its lease or an edit of its webhook."""
        if before is None:
            return
        mine = before.claim == flight.request.claim
        if not mine and not flight.facts.get("renewed"):
            untouched = (row.tries, row.state, row.claim) == (before.tries, before.state, before.claim)
            untouched = untouched or row.attempts != before.attempts
            expect(untouched, f"{name} was changed by a late failure")
        outdated = flight.facts["revision"] != webhook.revision and not flight.facts["pressed"]
        if mine and before.pressed_at is None and outdated:
            expect(row.tries == before.tries, f"{name} counts an attempt that its webhook has outdated")

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
        if webhook.active and webhook.id in touched and webhook.failures >= FAILURES_TO_ONE:
            at = self.world.wall()
            expect(
                webhook.hold_until is not None and webhook.hold_until > at,
                f"{name} fails and is not backed off",
            )
            longest = at + timedelta(seconds=LONGEST_BACKOFF * 1.2)
            expect(webhook.hold_until <= longest, f"{name} backs off until {webhook.hold_until}")

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
