"""The RQ job that is the engine's whole loop."""

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from sqlalchemy.exc import SQLAlchemyError

from calapp import logs
from calapp.addresses import AddressGuard
from calapp.config import Settings, settings
from calapp.db import database_now, db, transaction
from calapp.deliveries import record as recording
from calapp.deliveries import replays
from calapp.deliveries.claim import Claim, claim, ready
from calapp.deliveries.fairness import FAILURES_TO_ONE, Windows
from calapp.deliveries.parcels import parcels
from calapp.deliveries.record import Outcome, Sent, judge
from calapp.deliveries.sender import Answer, Parcel, Sender
from calapp.errors import Busy
from calapp.stopping import stop_requested

BATCH = 100  # rows that one claim takes and one recording writes
GATHER = 0.05  # seconds in which answers are gathered, and after which new work is looked for
LEASE_MARGIN = 15.0  # seconds beyond the deadline of a request

log = logging.getLogger(__name__)


def deliver_due() -> None:
    """Deliver everything that is due, then stop."""
    engine = process_engine()
    while engine.sender.start(engine.claim()) or engine.sender.busy():
        engine.record(engine.answers())


def continue_replays() -> None:
    """Put the next deliveries of every running replay on their way."""
    if not replays.any_running(db.session()):
        return
    db.session().rollback()  # ends the read
    with transaction() as session:
        replays.continue_replays(session)


@lru_cache(maxsize=1)
def process_engine() -> "Engine":
    """Return the engine of this process, which outlives a job, so that connections are kept."""
    return Engine(settings())


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

    def claim(self) -> list[Parcel]:
        """Claim what is due and has room, and make it ready to send."""
        free = min(self.sender.free(), BATCH)
        if not free or stop_requested():
            return []
        session = db.session()
        waiting = ready(session)
        session.rollback()  # ends the read
        if not waiting:
            return []
        quotas = self.windows.quotas(waiting, self.sender.in_flight(), free)
        if not quotas:
            return []
        with transaction() as session:
            taken = claim(session, quotas, self.lease)
        self._note(taken)
        return parcels(taken)

    def _note(self, taken: Claim) -> None:
        for row in taken.rows:
            probe = taken.webhooks[row.webhook_id].failures >= FAILURES_TO_ONE
            names = (row.event_uid, row.trigger, row.subject)
            self.out[row.id] = Sent(row.tries, row.manual, probe, *names)

    def answers(self) -> list[Answer]:
        """Gather answers until a batch is full, its time is up, or nothing is in flight."""
        until = time.monotonic() + GATHER
        gathered: list[Answer] = []
        while self.sender.busy() and len(gathered) < BATCH and (left := until - time.monotonic()) > 0:
            gathered.extend(self.sender.answers(left))
        return gathered

    def record(self, answers: Sequence[Answer]) -> None:
        """Write down what came; a batch that fails is redone row by row."""
        if not answers:
            return
        for answer in answers:
            seconds = answer.timings.total / 1000
            self.windows.seen(answer.parcel.webhook_id, success=answer.failure is None, seconds=seconds)
        try:
            self._write(answers)
        except (SQLAlchemyError, Busy):
            log.exception("A batch of %d answers could not be recorded; trying each by itself", len(answers))
            for answer in answers:
                self._write_one(answer)
        for answer in answers:
            self.out.pop(answer.parcel.delivery_id, None)

    def _write_one(self, answer: Answer) -> None:
        try:
            self._write([answer])
        except (SQLAlchemyError, Busy):
            # Its lease ends by itself and it is tried again: a double for the receiver, never a loss.
            log.exception("The answer of delivery %d could not be recorded", answer.parcel.delivery_id)

    def _write(self, answers: Sequence[Answer]) -> None:
        with transaction() as session:
            at = database_now(session)
            outcomes = [self._outcome(answer, at) for answer in answers]
            recovered = recording.record(session, outcomes, self.schedule, at)
            for webhook_id, failures in recovered.items():
                recording.release_retries(session, webhook_id, failures, at)
        for outcome in outcomes:
            _say(outcome)

    def _outcome(self, answer: Answer, at: datetime) -> Outcome:
        sent = self.out.get(answer.parcel.delivery_id, Sent(0, manual=False, probe=False))
        return judge(answer, sent, self.schedule, at)


def _say(outcome: Outcome) -> None:
    """Log a try: ids, numbers and the failure's code; never an address, a body or a receiver's words."""
    answer, sent = outcome.answer, outcome.sent
    logs.say(
        log,
        "delivery",
        delivery=answer.parcel.delivery_id,
        event=sent.event,
        trigger=sent.trigger,
        booking=logs.shortened(sent.subject),
        webhook=answer.parcel.webhook_id,
        attempt=answer.parcel.number,
        state=outcome.state.value,
        status=answer.status,
        failure=answer.failure.code if answer.failure else None,
        ms=round(answer.timings.total, 1),
    )
