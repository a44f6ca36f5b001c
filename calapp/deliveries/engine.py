"""The RQ job that is the engine's whole loop."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from calapp import broker, logs
from calapp.addresses import AddressGuard
from calapp.config import Settings, settings
from calapp.db import database_now, db, is_sqlite, transaction
from calapp.deliveries import maintenance, resend, store
from calapp.deliveries import store as recording
from calapp.deliveries.client import Sender
from calapp.deliveries.exchange import WebhookRequest, WebhookResponse
from calapp.deliveries.policy import FAILURES_TO_ONE, About, Ready, Windows, about
from calapp.deliveries.signing import signed_requests
from calapp.deliveries.store import Claim, Due, Outcome, Sent, claim, fresh, judge, last_tries, ready
from calapp.errors import Busy
from calapp.shutdown import stop_requested

BATCH = 100  # rows that one claim takes and one recording writes
GATHER = 0.05  # seconds in which answers are gathered at most, and after which new work is looked for
LOOK = 0.01  # seconds of gathering after which new work is looked for when that costs little
FRESH = timedelta(seconds=1)  # longer than a transaction takes that lets something come due
SHARE = 4  # times as long as recording and claiming took, answers are gathered
STEPS_AT_ONCE = 10  # of one webhook's release, before others have their turn
LEASE_MARGIN = 15.0  # seconds beyond the deadline of a request
AWAY = (OperationalError, InterfaceError, Busy)  # the database is away or locked; nothing is wrong with a row
UNKNOWN = Sent(0, manual=False, probe=False)

log = logging.getLogger(__name__)


def deliver_due() -> None:
    """Deliver everything that is due, then stop."""
    engine = process_engine()
    answers: list[WebhookResponse] = []
    began = time.monotonic()
    while engine.turn(answers) or engine.busy():
        answers = engine.answers(patience(time.monotonic() - began))
        began = time.monotonic()


def patience(worked: float) -> float:
    """Return for how many seconds to gather answers after so many seconds of recording and claiming.

    A retry that comes due meanwhile waits so long, and what is new when Valkey is away; else a wake tells of
    it. So new work is looked for often, but where the database is slow or much is out, no oftener than can be
    afforded.
    """
    return min(GATHER, max(LOOK, SHARE * worked))


def continue_replays() -> None:
    """Put the next deliveries of every running replay on their way."""
    steps = resend.plan(db.session())
    db.session().rollback()  # ends the read
    for step in steps:
        with transaction() as session:
            resend.take(session, step)


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
    engine = Engine(settings())
    broker.on_wake(engine.sender.wake)
    return engine


class Engine:
    """What one worker process keeps between claims: the sender, the windows, and what is out."""

    def __init__(self, chosen: Settings) -> None:
        self.schedule = chosen.webhook_retry_schedule
        self.lease = timedelta(seconds=chosen.webhook_timeout + LEASE_MARGIN)
        self.windows = Windows(slots=chosen.webhook_concurrency, most=chosen.webhook_concurrency_per_endpoint)
        self.sender = Sender(
            slots=chosen.webhook_concurrency,
            timeout=chosen.webhook_timeout,
            guard=AddressGuard(chosen.webhook_allowed_networks),
        )
        self.out: dict[int, Sent] = {}
        self.gathered: list[WebhookResponse] = []  # what came since the last recording
        self.unwritten: list[WebhookResponse] = []  # what could not be recorded yet
        self.known: dict[int, Ready] = {}  # what had something due at the last look, and since
        self.pressed: list[int] = []  # deliveries that were sent by hand, as the last look found them
        self.looked = 0.0

    def busy(self) -> bool:
        """Return whether anything is out, or answered and not yet written down."""
        return self.sender.busy() or bool(self.gathered or self.unwritten)

    def turn(self, answers: Sequence[WebhookResponse]) -> bool:
        """Write down what came, claim what has room, and send it; return whether anything was sent."""
        if not (answers or self.unwritten):
            return self.sender.start(self.claim())
        return self.sender.start(self.record(answers, more=True))

    def claim(self) -> list[WebhookRequest]:
        """Claim what is due and has room, and make it ready to send.

        While something is out, a database that is away only means that there is nothing new.
        """
        if not self._room():
            return []
        try:
            return self._claim()
        except AWAY:
            if self.busy():
                return []
            raise

    def _room(self) -> int:
        return 0 if stop_requested() else min(self.windows.free(self.sender.in_flight()), BATCH)

    def _claim(self) -> list[WebhookRequest]:
        """Look and claim; on SQLite with a plain read first, which does not hold its one writer up."""
        session = db.session()
        quotas: dict[int, int] | None = None
        if is_sqlite(session):
            quotas = self._quotas(session, database_now(session))
            session.rollback()  # ends the read
            if not quotas and not self.pressed:
                return []
        with transaction() as writing:
            taken = self._take(writing, quotas, database_now(writing))
        return self._made(taken)

    def _made(self, taken: Claim | None) -> list[WebhookRequest]:
        return signed_requests(replace(taken, rows=self._note(taken))) if taken else []

    def _quotas(self, session: Session, at: datetime) -> dict[int, int]:
        """Say how many of which webhook's deliveries are to be claimed."""
        waiting = self._waiting(session, at)
        if unknown := self.windows.unknown(waiting):
            self.windows.learn(last_tries(session, unknown))
        return self.windows.quotas(waiting, self.sender.in_flight(), self._room()) if waiting else {}

    def _waiting(self, session: Session, at: datetime) -> list[Ready]:
        """Return the endpoints that have something due.

        While something is out, all of them are looked through only now and then, since that costs the more
        the more they are; in between those that were found then, and those of which something came due.
        """
        moment = time.monotonic()
        if not self.busy() or moment - self.looked >= GATHER:
            found = ready(session, at)
            self.known = {one.webhook_id: one for one in found if one.pressed is None}
            self.pressed = [one.pressed for one in found if one.pressed is not None][:BATCH]
            self.looked = moment
        else:
            for one in fresh(session, at - FRESH, at):
                self.known.setdefault(one.webhook_id, one)
        return list(self.known.values())

    def _take(self, session: Session, quotas: Mapping[int, int] | None, at: datetime) -> Claim | None:
        """Claim so much (None: as a look says), and note of which endpoints there was nothing more."""
        quotas = self._quotas(session, at) if quotas is None else quotas
        if not quotas and not self.pressed:
            return None
        taken = claim(session, quotas, self.lease, at, self.pressed)
        self.pressed = []
        for webhook_id in quotas.keys() - taken.webhooks.keys():
            self.known.pop(webhook_id, None)
        return taken

    def _note(self, taken: Claim) -> list[Due]:
        """Note what is out from now on; return the rows to be sent.

        What is out already is not sent again, though a clock that was moved has ended its lease: its answer
        counts under the new one.
        """
        held = self._held() if any(row.id in self.out for row in taken.rows) else set()
        until = time.monotonic() + self.lease.total_seconds()
        for row in taken.rows:
            if row.id in held:
                self.out[row.id] = self.out[row.id]._replace(renewed=taken.token, until=until)
                continue
            webhook, pressed = taken.webhooks[row.webhook_id], row.pressed_at is not None
            probe = webhook.failures >= FAILURES_TO_ONE and not pressed
            self.out[row.id] = Sent(
                row.attempts_on_schedule,
                bool(row.manual) or pressed,
                probe,
                row.event_uid,
                row.trigger,
                row.subject,
                until=until,
                event_id=row.event_id,
                pressed=pressed,
                revision=webhook.revision,
            )
        return [row for row in taken.rows if row.id not in held] if held else list(taken.rows)

    def _held(self) -> set[int]:
        answered = (*self.gathered, *self.unwritten)
        return self.sender.held() | {answer.request.delivery_id for answer in answered}

    def answers(self, seconds: float = GATHER) -> list[WebhookResponse]:
        """Gather answers until a batch is full, the time is up, or all have come that are likely to soon.

        What has been out for long is not waited for: one receiver that hangs would slow all others down. What
        a wake tells of goes out meanwhile: it does not wait until what came is written down.
        """
        until = time.monotonic() + seconds
        gathered: list[WebhookResponse] = []
        self.gathered = gathered
        while self.sender.busy() and len(gathered) < BATCH and (left := until - time.monotonic()) > 0:
            gathered.extend(self.sender.answers(left))
            if self.sender.was_woken():
                self.sender.start(self.claim())
            if gathered and not self.sender.expects(GATHER):
                break
        return gathered

    def record(self, answers: Sequence[WebhookResponse], *, more: bool = False) -> list[WebhookRequest]:
        """Write down what came; while the database is away, keep it for as long as its lease lasts.

        With `more` the next deliveries are claimed in the same transaction, and returned ready to send.
        """
        for answer in answers:
            self._see(answer)
        batch = [*self.unwritten, *answers]
        self.gathered = []
        if not batch:
            return []
        try:
            taken = self._write_all(batch, more=more)
        except AWAY as error:
            self._keep(batch, error)
            return []
        self.unwritten.clear()
        for answer in batch:
            self.out.pop(answer.request.delivery_id, None)
        return self._made(taken)

    def _see(self, answer: WebhookResponse) -> None:
        """Note how an endpoint does; what was sent by hand says nothing of it when it fails."""
        webhook_id, seconds = answer.request.webhook_id, answer.timings.total / 1000
        success = answer.failure is None
        if success or about(answer.status, seconds) is About.ENDPOINT:
            if success or not self._sent(answer).pressed:
                self.windows.seen(webhook_id, success=success, seconds=seconds)
            return
        self.windows.refused(webhook_id, seconds=seconds)

    def _keep(self, answers: Sequence[WebhookResponse], error: Exception) -> None:
        """Keep answers until the database is back; beyond its lease each is another process's to send."""
        if not self.unwritten:
            log.warning("Answers cannot be recorded, trying again: %s", str(error).partition("\n")[0])
        now = time.monotonic()
        self.unwritten = [one for one in answers if self._sent(one).until > now]
        for answer in answers:
            if self._sent(answer).until <= now:
                self.out.pop(answer.request.delivery_id, None)
        time.sleep(GATHER)

    def _write_all(self, answers: Sequence[WebhookResponse], *, more: bool) -> Claim | None:
        """Write a batch; when one of it cannot be written, each by itself. Raises what AWAY names."""
        try:
            return self._write(answers, more=more)
        except AWAY:
            raise
        except SQLAlchemyError:
            log.exception("A batch of %d answers could not be recorded; trying each by itself", len(answers))
            for answer in answers:
                self._write_one(answer)
        return None

    def _write_one(self, answer: WebhookResponse) -> None:
        try:
            self._write([answer])
        except AWAY:
            raise
        except SQLAlchemyError:
            # Its lease ends by itself and it is tried again: a double for the receiver, never a loss.
            log.exception("The answer of delivery %d could not be recorded", answer.request.delivery_id)

    def _write(self, answers: Sequence[WebhookResponse], *, more: bool = False) -> Claim | None:
        with transaction() as session:
            at = database_now(session)
            outcomes = self._judged(session, answers, at)
            recording.record(session, outcomes, self.schedule, at)
            taken = self._take(session, None, at) if more and self._room() else None
        logs.say_each(log, "delivery", [_told(outcome) for outcome in outcomes])
        return taken

    def _judged(self, session: Session, answers: Sequence[WebhookResponse], at: datetime) -> list[Outcome]:
        """Judge answers; a failure counts only for the webhook as it still is."""
        failed = {answer.request.webhook_id for answer in answers if answer.failure is not None}
        revisions = recording.revisions(session, failed)
        outcomes = []
        for answer in answers:
            sent = self._sent(answer)
            known = sent.revision is not None and answer.request.webhook_id in revisions
            outdated = known and revisions[answer.request.webhook_id] != sent.revision
            outcomes.append(judge(answer, sent, self.schedule, at, outdated=outdated))
        return outcomes

    def _sent(self, answer: WebhookResponse) -> Sent:
        return self.out.get(answer.request.delivery_id, UNKNOWN)


def _told(outcome: Outcome) -> dict[str, object]:
    """Tell a try: ids, numbers and the failure's code; never an address, a body or a receiver's words."""
    answer, sent = outcome.answer, outcome.sent
    return {
        "delivery": answer.request.delivery_id,
        "event": sent.event,
        "trigger": sent.trigger,
        "booking": logs.shortened(sent.subject),
        "webhook": answer.request.webhook_id,
        "attempt": answer.request.number,
        "state": outcome.state.value,
        "status": answer.status,
        "failure": answer.failure.code if answer.failure else None,
        "ms": round(answer.timings.total, 1),
    }
