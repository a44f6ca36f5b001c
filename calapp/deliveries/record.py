"""Recording: what the answers of a batch mean for deliveries, attempts and webhooks, in plain statements."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session

from calapp.db import UTCDateTime
from calapp.deliveries.batches import ByIds, ByRows, writer
from calapp.deliveries.models import State
from calapp.deliveries.outbox import TRIES_THAT_HOLD
from calapp.deliveries.retries import FAILURES_BEFORE_HOLD, hold_delay, next_delay
from calapp.deliveries.sender import Answer
from calapp.webhooks.models import OffReason

GONE = 410
RELEASE_STEP = 1000  # rows that one transaction makes due


class Sent(NamedTuple):
    """What recording must know of a delivery that is out: its recorded tries, and how it was taken."""

    tries: int
    manual: bool
    probe: bool  # its webhook was failing, and this is the one try in a while
    event: str = ""  # the event's uid, its trigger and what it is about: for the log
    trigger: str = ""
    subject: str = ""
    until: float = 0.0  # when its lease ends, in monotonic seconds
    renewed: str | None = None  # the claim that took the place of its parcel's


class Outcome(NamedTuple):
    """An answer, judged: the state that follows and when it is tried next."""

    answer: Answer
    sent: Sent
    state: State
    due_at: datetime | None
    reason: str | None

    @property
    def success(self) -> bool:
        """Whether the receiver took the event."""
        return self.answer.failure is None


DELIVERY = ByRows(
    """UPDATE delivery SET state = r.state, due_at = r.due_at, claim = NULL, tries = delivery.tries + 1,
  last_status = r.status, reason = r.reason, finished_at = r.finished_at,
  parked_at = coalesce(r.parked_at, delivery.parked_at)
{from_rows} WHERE delivery.id = r.id AND delivery.claim = r.claim AND delivery.state = 'waiting'""",
    id="integer",
    claim="text",
    state="text",
    due_at="timestamptz",
    status="integer",
    reason="text",
    finished_at="timestamptz",
    parked_at="timestamptz",
)

# A late answer of a lease that was lost changes the state only when the receiver did take the event.
LATE = text("""UPDATE delivery SET state = 'delivered', due_at = NULL, claim = NULL, last_status = :status,
  reason = NULL, finished_at = :finished_at WHERE id = :id AND state <> 'delivered'""").bindparams(
    bindparam("finished_at", type_=UTCDateTime)
)

# Attempts of deliveries that were deleted meanwhile fall away. Not by EXISTS, for which PostgreSQL goes
# through all deliveries when its statistics are old.
ATTEMPTS = ByRows(
    """INSERT INTO attempt ({columns}) SELECT {values} {from_rows}
WHERE (SELECT 1 FROM delivery WHERE delivery.id = r.delivery_id) = 1""",
    delivery_id="integer",
    webhook_id="integer",
    number="integer",
    at="timestamptz",
    manual="boolean",
    status="integer",
    failure_code="text",
    failure="text",
    name_ms="float",
    connect_ms="float",
    tls_ms="float",
    first_byte_ms="float",
    total_ms="float",
    response_headers="text",
    response_body="text",
)

UNBLOCK = ByIds(
    "UPDATE delivery SET due_at = :at, after_id = NULL WHERE after_id {among} AND state = 'waiting'"
)

RECOVERED = ByIds("SELECT id, failures FROM webhook WHERE id {among} AND failures > 0")

# The pause of a webhook that keeps failing ends with its first success; one that it asked for stands.
HEALTHY = text("""UPDATE webhook SET failures = 0, failing_since = NULL, warnings = 0, hold_until = NULL
WHERE id IN :ids AND failures > 0""").bindparams(bindparam("ids", expanding=True))

FAILING = text("""UPDATE webhook SET failures = failures + :count,
  failing_since = coalesce(failing_since, :at) WHERE id = :id""").bindparams(
    bindparam("at", type_=UTCDateTime)
)

HEALTH = (
    text("SELECT id, failures, failing_since, hold_until FROM webhook WHERE id IN :ids")
    .bindparams(bindparam("ids", expanding=True))
    .columns(failing_since=UTCDateTime, hold_until=UTCDateTime)
)

HOLD = text("UPDATE webhook SET hold_until = :until WHERE id = :id").bindparams(
    bindparam("until", type_=UTCDateTime)
)

ASKED = text("""UPDATE webhook SET asked_until = :until
WHERE id = :id AND (asked_until IS NULL OR asked_until < :until)""").bindparams(
    bindparam("until", type_=UTCDateTime)
)

OFF = text("""UPDATE webhook SET active = :no, off_reason = :reason, off_at = :at
WHERE id IN :ids AND active""").bindparams(
    bindparam("ids", expanding=True), bindparam("at", type_=UTCDateTime), bindparam("no", value=False)
)

# Oldest first, so each keeps its age; never later than now, whatever the clock was when it was made. One that
# has failed more often than its webhook did in a row failed between successes: that is its own fault.
RELEASE = text("""UPDATE delivery SET due_at = CASE WHEN created_at < :at THEN created_at ELSE :at END
WHERE id IN (
  SELECT id FROM delivery WHERE webhook_id = :webhook AND state = 'waiting' AND due_at > :at AND claim IS NULL
  AND tries <= :failures ORDER BY due_at LIMIT :step)""").bindparams(bindparam("at", type_=UTCDateTime))


def judge(answer: Answer, sent: Sent, schedule: Sequence[int], at: datetime) -> Outcome:
    """Say what follows from an answer: delivered, another try, failed for good, or parked by a 410."""
    failure = answer.failure
    if failure is None:
        return Outcome(answer, sent, State.DELIVERED, None, None)
    if answer.status == GONE:
        return Outcome(answer, sent, State.PARKED, None, failure.words)
    delay = next_delay(schedule, sent.tries + 1)
    if delay is None:
        return Outcome(answer, sent, State.FAILED, None, failure.words)
    delay = max(delay, answer.retry_after or 0)
    return Outcome(answer, sent, State.WAITING, at + timedelta(seconds=delay), failure.words)


def record(
    session: Session, outcomes: Sequence[Outcome], schedule: Sequence[int], at: datetime
) -> dict[int, int]:
    """Write a batch of outcomes; return the webhooks that have just come back, and how often they failed."""
    write = writer(session)
    ended_at = write(at)
    rows = sorted(_delivery_row(outcome, ended_at, write) for outcome in outcomes)
    matched = DELIVERY.run(session, rows)  # by their ids, so that two workers never wait for each other
    if matched != len(outcomes):
        _record_late(session, outcomes, at)
    ATTEMPTS.run(session, [_attempt_row(outcome, write) for outcome in outcomes])
    ended = [one.answer.parcel.delivery_id for one in outcomes if _frees_next(one)]
    if ended:
        UNBLOCK.run(session, ended, at=at)
    gone = {one.answer.parcel.webhook_id for one in outcomes if one.answer.status == GONE}
    if gone:
        session.execute(OFF, {"ids": list(gone), "reason": OffReason.GONE.value, "at": at})
    return _record_health(session, outcomes, schedule, at)


def release_retries(session: Session, webhook_id: int, failures: int, at: datetime) -> int:
    """Make due a step of the retries of a webhook that had failed so often in a row; return how many."""
    values = {"webhook": webhook_id, "failures": failures, "at": at, "step": RELEASE_STEP}
    return int(session.execute(RELEASE, values).rowcount)  # type: ignore[attr-defined]


Write = Callable[[datetime], str]  # as the database reads an instant


def _delivery_row(outcome: Outcome, at: str, write: Write) -> tuple[Any, ...]:
    """Return the values of DELIVERY's columns; the id stands first."""
    state, parcel = outcome.state, outcome.answer.parcel
    return (
        parcel.delivery_id,
        outcome.sent.renewed or parcel.claim,
        state.value,
        write(outcome.due_at) if outcome.due_at else None,
        outcome.answer.status,
        outcome.reason,
        at if state is State.DELIVERED or state is State.FAILED else None,
        at if state is State.PARKED else None,
    )


def _record_late(session: Session, outcomes: Sequence[Outcome], at: datetime) -> None:
    late = [
        {"id": one.answer.parcel.delivery_id, "status": one.answer.status, "finished_at": at}
        for one in outcomes
        if one.success
    ]
    if late:
        session.execute(LATE, late)


def _attempt_row(outcome: Outcome, write: Write) -> tuple[Any, ...]:
    """Return the values of the columns of ATTEMPTS."""
    answer = outcome.answer
    parcel, failure, times = answer.parcel, answer.failure, answer.timings
    return (
        parcel.delivery_id,
        parcel.webhook_id,
        parcel.number,
        write(answer.at),
        outcome.sent.manual,
        answer.status,
        failure.code if failure else None,
        failure.words if failure else None,
        times.name,
        times.connect,
        times.tls,
        times.first_byte,
        times.total,
        answer.headers,
        answer.body,
    )


def _frees_next(outcome: Outcome) -> bool:
    """Say whether what waits behind this delivery may go: it is final, or has failed often enough."""
    return outcome.state is not State.WAITING or outcome.sent.tries + 1 >= TRIES_THAT_HOLD


def _record_health(
    session: Session, outcomes: Sequence[Outcome], schedule: Sequence[int], at: datetime
) -> dict[int, int]:
    succeeded = list({one.answer.parcel.webhook_id for one in outcomes if one.success})
    recovered: dict[int, int] = {}
    if succeeded:
        recovered = {row.id: row.failures for row in RECOVERED.run(session, succeeded)}
    if recovered:
        session.execute(HEALTHY, {"ids": list(recovered)})
    failed = _trailing_failures(outcomes)
    for webhook_id, count in sorted(failed.items()):  # in one order, as above
        session.execute(FAILING, {"id": webhook_id, "count": count, "at": at})
    if failed:
        _hold_failing(session, outcomes, failed, schedule, at)
    _leave_alone(session, outcomes, at)
    return recovered


def _trailing_failures(outcomes: Sequence[Outcome]) -> dict[int, int]:
    """Count each webhook's failures since its last success in the batch."""
    counts: dict[int, int] = {}
    for outcome in outcomes:
        webhook_id = outcome.answer.parcel.webhook_id
        if outcome.success:
            counts.pop(webhook_id, None)
            continue
        counts[webhook_id] = counts.get(webhook_id, 0) + 1
    return counts


def _hold_failing(
    session: Session,
    outcomes: Sequence[Outcome],
    failed: Mapping[int, int],
    schedule: Sequence[int],
    at: datetime,
) -> None:
    """Give webhooks that keep failing a pause, unless one stands that this is not the end of."""
    probed = {one.answer.parcel.webhook_id for one in outcomes if one.sent.probe}
    for row in session.execute(HEALTH, {"ids": list(failed)}).all():
        standing = row.hold_until is not None and row.hold_until > at and row.id not in probed
        if row.failures >= FAILURES_BEFORE_HOLD and not standing:
            failing_for = (at - (row.failing_since or at)).total_seconds()
            until = at + timedelta(seconds=hold_delay(schedule, failing_for))
            session.execute(HOLD, {"id": row.id, "until": until})


def _leave_alone(session: Session, outcomes: Sequence[Outcome], at: datetime) -> None:
    """Leave webhooks alone for as long as one of their answers asked for, whatever the others were."""
    for outcome in outcomes:
        asked = outcome.answer.retry_after
        if asked:
            until = at + timedelta(seconds=asked)
            session.execute(ASKED, {"id": outcome.answer.parcel.webhook_id, "until": until})
