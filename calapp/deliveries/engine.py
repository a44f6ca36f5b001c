"""The RQ job that is the engine's whole loop."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property, lru_cache

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from calapp import broker, logs, tracing
from calapp.addresses import AddressGuard
from calapp.clock import monotonic, sleep
from calapp.config import Settings, settings
from calapp.db import database_now, db, transaction
from calapp.deliveries import maintenance, replays, store
from calapp.deliveries.claims import Claim, claim, claim_at_once, fresh, last_attempts, look
from calapp.deliveries.client import Sender
from calapp.deliveries.exchange import Transport, WakeSource, WebhookRequest, WebhookResponse
from calapp.deliveries.policy import FAILURES_TO_ONE, About, ConcurrencyLimits, Ready, about
from calapp.deliveries.signing import signed_requests
from calapp.deliveries.store import Outcome, Sent, judge
from calapp.direct import AnySession, Direct
from calapp.errors import Busy
from calapp.shutdown import stop_requested

BATCH = 100  # rows that one claim takes and one transaction stores
GATHER = 0.05  # seconds in which responses are gathered at most, and after which new work is looked for
LOOK = 0.01  # seconds of gathering after which new work is looked for when that costs little
FRESH = timedelta(seconds=1)  # longer than a transaction takes that lets something come due
SHARE = 4  # times as long as storing and claiming took, responses are gathered
LONGEST_REST = 10.0  # seconds after which an engine that nobody has woken looks for itself
STEPS_AT_ONCE = 10  # of one webhook's release, before others have their turn
LEASE_MARGIN = 15.0  # seconds beyond the deadline of a request
AWAY = (OperationalError, InterfaceError, Busy)  # the database is away or locked; nothing is wrong with a row
UNKNOWN = Sent(0, manual=False, probe=False)
ClaimNext = Callable[[AnySession, datetime], Claim | None]

log = logging.getLogger(__name__)


def deliver_due() -> None:
    """Deliver whatever comes due until this process is asked to stop: the RQ job. Raises RedisError."""
    with closing(broker.Wakes()) as wakes:
        process_engine().deliver(wakes)


def wake() -> None:
    """Have the engine of this process look for what is due, from any thread or signal handler."""
    if process_engine.cache_info().currsize:
        process_engine().sender.wake()


def patience(worked: float) -> float:
    """Return for how many seconds to gather responses after so many seconds of storing and claiming.

    A retry that comes due meanwhile waits so long, and what is new when Valkey is away; else a wake tells of
    it. So new work is looked for often, but where the database is slow or much is out, no oftener than can be
    afforded.
    """
    return min(GATHER, max(LOOK, SHARE * worked))


def continue_replays() -> None:
    """Put the next deliveries of every running replay on their way."""
    steps = replays.plan(db.session())
    db.session().rollback()  # ends the read
    for step in steps:
        with transaction() as session:
            replays.continue_replay(session, step)


def continue_releases() -> None:
    """Make due the next steps of what waits at webhooks whose receivers are back, or that were mended."""
    webhook_ids = store.releasing(db.session())
    db.session().rollback()  # ends the read
    for webhook_id in webhook_ids:
        for _ in range(STEPS_AT_ONCE):
            with transaction() as session:
                taken = store.release_step(session, webhook_id)
            if taken < store.RELEASE_STEP:
                break


def free_left_behind() -> None:
    """Make due what an event that was written while the earlier one ended has left behind."""
    left = maintenance.left_behind(db.session())
    db.session().rollback()  # ends the read
    if left:
        with transaction() as session:
            maintenance.free_left_behind(session)


@lru_cache(maxsize=1)
def process_engine() -> "Engine":
    """Return the engine of this process, which outlives a job, so that connections are kept."""
    return Engine(settings())


class Engine:
    """What one worker process keeps between claims: limits, what is in flight and what came back.

    A simulation gives its own transport, and asks one of several engines in a process to stop.
    """

    def __init__(
        self,
        chosen: Settings,
        transport: Transport | None = None,
        stopping: Callable[[], bool] = stop_requested,
    ) -> None:
        self.stopping = stopping
        self.schedule = chosen.webhook_retry_schedule
        self.lease = timedelta(seconds=chosen.webhook_timeout + LEASE_MARGIN)
        self.limits = ConcurrencyLimits(
            slots=chosen.webhook_concurrency, most=chosen.webhook_concurrency_per_endpoint
        )
        self.sender: Transport = transport or Sender(
            slots=chosen.webhook_concurrency,
            timeout=chosen.webhook_timeout,
            guard=AddressGuard(chosen.webhook_allowed_networks),
        )
        self.in_flight: dict[int, Sent] = {}  # until its response is stored
        self.returned: list[WebhookResponse] = []  # came back and is not stored yet
        self.database_away = False
        self.known: dict[int, Ready] = {}  # what had something due at the last look, and since
        self.pressed: list[int] = []  # deliveries that were sent manually, as the last look found them
        self.expired = 0  # deliveries that the last claim has found to have expired
        self.looked = 0.0
        self.look_at = 0.0  # when something comes due that was not at the last look, in monotonic seconds

    @cached_property
    def database(self) -> Direct:
        """The database of this process's app, without sessions."""
        return Direct(db.engine)

    def deliver(self, wakes: WakeSource | None = None) -> None:
        """Store what came back, claim what there is room for, send and wait, again and again.

        With wakes it rests while nothing is due, until this process is asked to stop; without, it ends then.
        Raises RedisError when the wakes fail, and what the database raises while nothing is in flight. What
        is in flight is not lost: the next call goes on with it.
        """
        self.sender.listen(wakes)
        try:
            while True:
                began = monotonic()
                if self.returned:  # one transaction stores them and claims what is next
                    claimed = self._store(self._claim_in if self._room() else _claim_nothing)
                    requests = self._signed(claimed)
                    if self._sends_meanwhile(requests):
                        continue
                    sent = self.sender.start(requests)
                else:
                    sent = self.sender.start(self.claim())
                if sent or self.busy():
                    self.wait(patience(monotonic() - began))
                elif self.stopping():
                    return
                elif self.expired:
                    continue  # what had expired took the places of others that are due
                elif wakes is None:
                    return
                else:
                    self.rest(wakes)
        finally:
            self.sender.listen(None)

    def busy(self) -> bool:
        """Return whether anything is in flight, or came back and is not stored yet."""
        return self.sender.busy() or bool(self.returned)

    def _overlapping(self) -> Sender | None:
        """Return the sender if it can send while the database works; SQLite works in this very thread."""
        return self.sender if isinstance(self.sender, Sender) and not self.database.sqlite else None

    def _sends_meanwhile(self, requests: Sequence[WebhookRequest]) -> bool:
        """Leave requests to be sent while the next batch is stored, if as many have come back as are out."""
        overlapping = self._overlapping()
        if not overlapping:
            return False
        self._note(overlapping.taken())
        if len(self.returned) < max(1, len(requests) + overlapping.recent(GATHER)):
            return False
        overlapping.queue(requests)
        return True

    def _note(self, responses: Sequence[WebhookResponse]) -> None:
        for response in responses:
            self._note_response(response)
        self.returned += responses

    def wait(self, seconds: float = GATHER) -> None:
        """Wait until a batch came back, the time is up, or all have come back that are likely to soon.

        What has been out for long is not waited for: one receiver that hangs would slow all others down. What
        a wake tells of goes out meanwhile: it does not wait until what came back is stored.
        """
        until = monotonic() + seconds
        full = len(self.returned) + BATCH
        came = False
        while self.sender.busy() and len(self.returned) < full and (left := until - monotonic()) > 0:
            responses = self.sender.responses(left)
            self._note(responses)
            came = came or bool(responses)
            if self.sender.was_woken():
                self.sender.start(self.claim())
            if came and not self.sender.expects(GATHER):
                break

    def rest(self, wakes: WakeSource) -> None:
        """Wait for a wake, or until something comes due by the last look; nothing is in flight."""
        until = min(self.look_at, monotonic() + LONGEST_REST)
        while not self.sender.was_woken() and (left := until - monotonic()) > 0:
            wakes.ask()
            self.sender.rest(min(left, broker.LISTENS))

    def claim(self) -> list[WebhookRequest]:
        """Claim what is due and has room; return the requests to be sent.

        While something is out, a database that is away only means that there is nothing new.
        """
        if not self._room():
            return []
        try:
            return self._signed(self._look_and_claim())
        except AWAY:
            if self.busy():
                return []
            raise

    def _room(self) -> int:
        return 0 if self.stopping() else min(self.limits.free(self.sender.in_flight()), BATCH)

    def _look_and_claim(self) -> Claim | None:
        """Look and claim; with a plain read first, which holds nobody up."""
        _at, quotas = self._quotas(self.database)
        if not quotas and not self.pressed:
            return None
        failing = any(self.known[webhook_id].failures for webhook_id in quotas)
        if not (self.database.sqlite or self.pressed or failing):
            claimed = claim_at_once(self.database, quotas, self.lease)
            if claimed is not None:
                return claimed  # what it left may be due all the same, and stays known
        with self.database.transaction() as writing:  # it may have waited since it looked
            return self._claim_quotas(writing, quotas, database_now(writing))

    def _claim_in(self, session: AnySession, at: datetime) -> Claim | None:
        """Look and claim in a transaction that is open, with what came back meanwhile in mind."""
        if overlapping := self._overlapping():
            self._note(overlapping.taken())
        at, quotas = self._quotas(session, at)
        return self._claim_quotas(session, quotas, at) if quotas or self.pressed else None

    def _claim_quotas(self, session: AnySession, quotas: Mapping[int, int], at: datetime) -> Claim:
        """Claim so many of each webhook's deliveries; note of which endpoints there was nothing more."""
        claimed = claim(session, quotas, self.lease, at, self.pressed)
        self.pressed, self.expired = [], claimed.expired
        for webhook_id in quotas.keys() - claimed.webhooks.keys():
            self.known.pop(webhook_id, None)
        return claimed

    def _quotas(self, session: AnySession, at: datetime | None = None) -> tuple[datetime, dict[int, int]]:
        """Return how many of each webhook's deliveries are to be claimed, and at what time it was looked.

        While something is in flight, all endpoints are looked through only now and then, since that costs the
        more the more they are; in between those that were found then, and those of which something came due.
        """
        moment, self.expired = monotonic(), 0
        if not self.sender.busy() or moment - self.looked >= GATHER:
            at, found, next_at = look(session, at)
            self.known = {one.webhook_id: one for one in found if one.pressed is None}
            self.pressed = [one.pressed for one in found if one.pressed is not None][:BATCH]
            self.look_at = moment + (next_at - at).total_seconds() if next_at else math.inf
            self.looked = moment
        else:
            at = at or database_now(session)
            for one in fresh(session, at - FRESH, at):
                self.known.setdefault(one.webhook_id, one)
        waiting = list(self.known.values())
        if unknown := self.limits.unknown(waiting):
            self.limits.learn(last_attempts(session, unknown))
        quotas = self.limits.quotas(waiting, self.sender.in_flight(), self._room()) if waiting else {}
        return at, quotas

    def _signed(self, claimed: Claim | None) -> list[WebhookRequest]:
        """Note what is in flight from now on; return its requests, signed.

        What is out already is not sent again, though a clock that was moved has ended its lease: its response
        counts under the new one.
        """
        if claimed is None:
            return []
        held: set[int] = set()
        if any(row.id in self.in_flight for row in claimed.rows):
            held = self.sender.held() | {response.request.delivery_id for response in self.returned}
        until = monotonic() + self.lease.total_seconds()
        for row in claimed.rows:
            if row.id in held:
                # Of another event it is a new one with the id of a deleted one: it goes when its lease ends.
                if self.in_flight[row.id].event_id == row.event_id:
                    renewed = self.in_flight[row.id]._replace(renewed=claimed.token, until=until)
                    self.in_flight[row.id] = renewed
                continue
            webhook, pressed = claimed.webhooks[row.webhook_id], row.pressed_at is not None
            self.in_flight[row.id] = Sent(
                row.attempts_on_schedule,
                bool(row.manual) or pressed,
                webhook.failures >= FAILURES_TO_ONE and not pressed,
                row.event_uid,
                row.trigger,
                row.subject,
                until=until,
                event_id=row.event_id,
                pressed=pressed,
                revision=webhook.revision,
            )
        return signed_requests(replace(claimed, rows=[row for row in claimed.rows if row.id not in held]))

    def _note_response(self, response: WebhookResponse) -> None:
        """Note how an endpoint does; what *Send now* sent says nothing of it when it fails."""
        webhook_id, seconds = response.request.webhook_id, response.timings.total / 1000
        success = response.failure is None
        if success or about(response.status, seconds) is About.ENDPOINT:
            if success or not self._sent(response).pressed:
                self.limits.seen(webhook_id, success=success, seconds=seconds)
            return
        self.limits.refused(webhook_id, seconds=seconds)

    def _store(self, claim_next: ClaimNext) -> Claim | None:
        """Store what came back and claim in the same transaction; when that fails, each by itself."""
        if not self.returned:
            return None
        claimed: Claim | None = None
        storing, self.returned = self.returned, []  # what comes back meanwhile is stored the next time
        try:
            try:
                claimed = self._write(storing, claim_next)
            except AWAY:
                raise
            except SQLAlchemyError:
                log.exception("%d responses could not be stored; trying them one by one", len(storing))
                self._store_one_by_one(storing)
        except BaseException as error:
            self.returned = storing + self.returned
            if not isinstance(error, AWAY):
                raise
            self._keep(error)
            self.look_at = 0.0
            return None
        for response in storing:
            self.in_flight.pop(response.request.delivery_id, None)
        self.database_away = False
        return claimed

    def _store_one_by_one(self, responses: Sequence[WebhookResponse]) -> None:
        for response in responses:
            try:
                self._write([response], _claim_nothing)
            except AWAY:
                raise
            except SQLAlchemyError:
                # Its lease ends by itself and it is sent again: a double for the receiver, never a loss.
                log.exception("The response of delivery %d could not be stored", response.request.delivery_id)

    def _keep(self, error: Exception) -> None:
        """Keep responses until the database is back; beyond its lease each is another process's to send."""
        if not self.database_away:
            log.warning("Responses cannot be stored, retrying: %s", str(error).partition("\n")[0])
        self.database_away = True
        now = monotonic()
        kept = [response for response in self.returned if self._sent(response).until > now]
        for response in self.returned:
            if response not in kept:
                self.in_flight.pop(response.request.delivery_id, None)
        self.returned = kept
        sleep(GATHER)

    def _write(self, responses: Sequence[WebhookResponse], claim_next: ClaimNext) -> Claim | None:
        overlapping = self._overlapping()
        meanwhile = overlapping.meanwhile if overlapping and overlapping.busy() else None
        with self.database.transaction(meanwhile) as session:
            at = database_now(session)
            outcomes = self._judged(session, responses, at)
            store.record(session, outcomes, self.schedule, at)
            claimed = claim_next(session, at)
        logs.say_each(log, "delivery", [_logged(outcome) for outcome in outcomes])
        if tracing.are_exported():
            for outcome in outcomes:
                _export(outcome, at)
        return claimed

    def _judged(
        self, session: AnySession, responses: Sequence[WebhookResponse], at: datetime
    ) -> list[Outcome]:
        """Judge responses; a failure counts only for the webhook as it still is."""
        failed = {response.request.webhook_id for response in responses if response.failure is not None}
        revisions = store.revisions(session, failed)
        outcomes = []
        for response in responses:
            sent, webhook_id = self._sent(response), response.request.webhook_id
            known = sent.revision is not None and webhook_id in revisions
            outdated = known and revisions[webhook_id] != sent.revision
            outcomes.append(judge(response, sent, self.schedule, at, outdated=outdated))
        return outcomes

    def _sent(self, response: WebhookResponse) -> Sent:
        return self.in_flight.get(response.request.delivery_id, UNKNOWN)


def _claim_nothing(_session: AnySession, _at: datetime) -> None:
    """Claim nothing in the transaction that stores what came back."""


def _logged(outcome: Outcome) -> dict[str, object]:
    """Return an attempt for the log: ids, numbers and the failure code; no address or text of others."""
    response, sent = outcome.response, outcome.sent
    trace = response.request.trace
    return {
        "trace_id": trace.trace_id if trace else None,
        "span_id": trace.span_id if trace else None,
        "delivery": response.request.delivery_id,
        "event": sent.event,
        "trigger": sent.trigger,
        "booking": logs.shortened(sent.subject),
        "webhook": response.request.webhook_id,
        "attempt": response.request.number,
        "state": outcome.state.value,
        "status": response.status,
        "failure": response.failure.code if response.failure else None,
        "ms": round(response.timings.total, 1),
    }


def _export(outcome: Outcome, at: datetime) -> None:
    """Export an attempt's span; like the log without an address or text of others."""
    response, sent = outcome.response, outcome.sent
    trace = response.request.trace
    if trace is None:
        return
    attributes: dict[str, str | int] = {
        "http.request.method": "POST",
        "calapp.event": sent.event,
        "calapp.trigger": sent.trigger,
        "calapp.delivery": response.request.delivery_id,
        "calapp.webhook": response.request.webhook_id,
        "calapp.attempt": response.request.number,
        "calapp.state": outcome.state.value,
    }
    if response.status:
        attributes["http.response.status_code"] = response.status
    if response.failure:
        attributes["error.type"] = response.failure.code
    tracing.export(
        f"deliver {sent.trigger}",
        trace,
        at,
        response.timings.total / 1000,
        client=True,
        failed=response.failure is not None,
        attributes=attributes,
    )
