"""What must hold at each request that a worker sends."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from calapp.deliveries.exchange import WebhookRequest
from calapp.deliveries.outbox import ATTEMPTS_THAT_BLOCK, PARKED_HOLD, TemplateChoice
from calapp.deliveries.policy import UNUSED
from calapp.deliveries.signing import verify
from tools.simulate.receivers import Flight
from tools.simulate.seen import DELIVERIES, FAILURES_TO_ONE, WEBHOOKS, Seen, expect
from tools.simulate.world import LEASE, PER_ENDPOINT, SLOTS


class SendingChecks(Seen):
    """Judges requests in the moment between their claim and their sending."""

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
            if before is not None and before.attempts == row.attempts - 1 and not self._released(row, before):
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

    def resent(self, delivery: Any, chosen: int, choice: TemplateChoice | None) -> None:
        """Take note of the delivery that a resend has made or taken, and of the body that it must have."""
        mine, source = ((key, delivery.event_id, delivery.webhook_id) for key in (delivery.id, chosen))
        if choice == TemplateChoice.CURRENT:
            self.bytes.pop(mine, None)
            self.rendered_anew.add(mine)
        elif source in self.bytes and (choice == TemplateChoice.ORIGINAL or mine not in self.bytes):
            self.bytes[mine] = self.bytes[source]
            self.rendered_anew.discard(mine)

    def _released(self, row: Any, before: Any) -> bool:
        """Return whether what was stored with the claim made it due.

        That is a success, its own outdated failure, or a failure of the delivery that it waited behind.
        """
        ours = f"({row.id}, {before.after_id or row.id})"
        mine = f"webhook_id = {row.webhook_id} AND (failure_code IS NULL OR delivery_id IN {ours})"
        return bool(self.world.read(f"SELECT id FROM attempt WHERE id > {self.last_attempt} AND {mine}"))

    def _not_in_flight_elsewhere(self, worker: str, row: Any, name: str) -> None:
        for flight in self._flying(row.webhook_id):
            if flight.request.delivery_id == row.id and self.leases_hold:
                lease_over = flight.facts["lease_until"] <= self.world.wall()
                expect(lease_over, f"{name} is in flight already, from {flight.worker}")

    def _same_bytes(self, request: WebhookRequest, row: Any, name: str) -> None:
        """Expect each attempt's id and body to be those of the first; a new delivery's, of one before it."""
        sent = dict(request.headers)["webhook-id"], request.body
        words = f"{name} has another id or body than before"
        mine = row.id, row.event_id, row.webhook_id
        expect(self.bytes.setdefault(mine, sent) == sent, words)
        before = self.bodies.setdefault((row.event_id, row.webhook_id), set())
        expect(not before or sent in before or mine in self.rendered_anew, words)
        before.add(sent)
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
            held = webhook.on_at is not None and webhook.on_at + hold > at
            discarded = webhook.settling == "drop" and other.id <= (webhook.settling_to or 0)
            held = held and not discarded and webhook.settling != "send"
            parked = other.state == "parked" and held and row.created_at >= webhook.on_at + self.set_back
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
