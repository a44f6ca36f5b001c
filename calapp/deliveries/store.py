"""Storing what came back: attempts, states, what comes due at once, and how each webhook is doing."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from calapp import counters
from calapp.db import after_commit, database_now
from calapp.deliveries.exchange import WebhookResponse
from calapp.deliveries.models import State
from calapp.deliveries.outbox import ATTEMPTS_THAT_BLOCK, free_next
from calapp.deliveries.policy import (
    DENIED_BEFORE_BACKOFF,
    DIFFERENT_BEFORE_FAILING,
    FAILURES_BEFORE_BACKOFF,
    REFUSALS,
    REFUSED_BEFORE_BACKOFF,
    About,
    about,
    backoff_delay,
    next_delay,
)
from calapp.direct import AnySession, unasked
from calapp.statements import ByIds, ByRows, Plain, instant, writer
from calapp.webhooks.models import OPERATIONAL, OffReason, Webhook

RELEASE_STEP = 1000  # rows that one transaction makes due

# Oldest first, so each keeps its age; never later than now, whatever the clock was when it was made. One that
# was tried since then and has failed again keeps to its schedule, as does what waits behind another. With
# `most`, the receiver has come back by itself: what was refused, or has failed more often than the endpoint
# did in a row, failed between successes: that is its own fault.
NUMBERS = ", ".join(map(str, sorted(REFUSALS)))
RELEASE = Plain(f"""UPDATE delivery SET due_at = CASE WHEN created_at < :at THEN created_at ELSE :at END
WHERE id IN (
  SELECT id FROM delivery WHERE webhook_id = :webhook AND state = 'waiting' AND due_at > :at
  AND claim IS NULL AND after_id IS NULL
  AND (CAST(:most AS integer) IS NULL
    OR (tries <= :most AND coalesce(last_status, 0) NOT IN ({NUMBERS})))
  AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.delivery_id = delivery.id AND attempt.at > :since)
  ORDER BY due_at LIMIT :step)""")

GOES_ON = Plain("UPDATE webhook SET releasing = :goes_on WHERE id = :webhook")


def release(
    session: AnySession, webhook_id: int, at: datetime, *, since: datetime, most: int | None = None
) -> int:
    """Make due a step of what waits at a webhook and was not tried since an instant; return how many.

    `most` is how often the endpoint had failed in a row; None releases what was refused, too.
    """
    found = RELEASE.run(session, webhook=webhook_id, at=at, since=since, most=most, step=RELEASE_STEP)
    return int(found.rowcount)


RELEASES_RUN = Plain("SELECT 1 FROM webhook WHERE releasing LIMIT 1")


def releasing(session: Session) -> Sequence[int]:
    """Return the webhooks of which more is to come due at once; a plain read."""
    return session.scalars(select(Webhook.id).where(text("releasing")).order_by(Webhook.id)).all()


def release_step(session: Session, webhook_id: int) -> int:
    """Make due the next step of a webhook that is being released; return how many deliveries it was."""
    query = select(Webhook.released_at, Webhook.releasing_tries).where(
        Webhook.id == webhook_id, text("releasing")
    )
    found = session.execute(query.with_for_update(key_share=True)).one_or_none()
    if found is None:
        return 0
    at = database_now(session)
    count = release(session, webhook_id, at, since=found.released_at or at, most=found.releasing_tries)
    if count < RELEASE_STEP:
        GOES_ON.run(session, webhook=webhook_id, goes_on=False)
    return count


GONE = 410


class Sent(NamedTuple):
    """What recording must know of a delivery that is out: its recorded attempts, and how it was claimed."""

    attempts_on_schedule: int
    manual: bool
    probe: bool  # its webhook was failing, and this is the one attempt in a while
    event: str = ""  # the event's uid, its trigger and what it is about: for the log
    trigger: str = ""
    subject: str = ""
    until: float = 0.0  # when its lease ends, in monotonic seconds
    renewed: str | None = None  # the claim that took the place of its request's
    event_id: int = 0
    pressed: bool = False  # sent by Send now: its failure says nothing of the webhook
    revision: int | None = None  # of the webhook with whose URL, headers and secrets it was sent


class Outcome(NamedTuple):
    """A response, judged: the state that follows and when the next attempt is due."""

    response: WebhookResponse
    sent: Sent
    state: State
    due_at: datetime | None
    reason: str | None
    counted: int = 1  # 0: it does not count in the delivery's schedule
    outdated: bool = False  # it failed with what its host has changed meanwhile

    @property
    def success(self) -> bool:
        """Whether the receiver took the event."""
        return self.response.failure is None

    @property
    def about(self) -> About:
        """What its failure speaks about."""
        return about(self.response.status, self.response.timings.total / 1000)

    @property
    def says_nothing(self) -> bool:
        """Whether it is a failure that does not count against the webhook."""
        return not self.success and (self.outdated or self.sent.pressed)


DELIVERY = ByRows(
    """UPDATE delivery SET state = r.state, due_at = r.due_at, claim = NULL, pressed_at = NULL,
  tries = delivery.tries + r.counted, last_status = r.status, reason = r.reason, finished_at = r.finished_at,
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
    counted="integer",
)

# A late response of a lease that was lost changes the state only when the receiver did take the event. SQLite
# gives the id of a delivery that was deleted meanwhile, with its webhook, to another one.
LATE = Plain("""UPDATE delivery SET state = 'delivered', due_at = NULL, claim = NULL, pressed_at = NULL,
  last_status = :status, reason = NULL, finished_at = :finished_at
WHERE id = :id AND webhook_id = :webhook_id AND event_id = :event_id AND state <> 'delivered'""")

# Attempts of deliveries that were deleted meanwhile fall away. Not by EXISTS, for which PostgreSQL goes
# through all deliveries when its statistics are old.
ATTEMPTS = ByRows(
    """INSERT INTO attempt ({columns}) SELECT {values} {from_rows}
WHERE (SELECT 1 FROM delivery WHERE delivery.id = r.delivery_id
  AND delivery.webhook_id = r.webhook_id) = 1""",
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

# Of deliveries that hold nothing up by their outcomes those of which it is stored: a late failure is not.
ENDED = ByIds("SELECT id FROM delivery WHERE id {among} AND (state <> 'waiting' OR tries >= :block)")

RECOVERED = ByIds("""SELECT id, failures, refused_events, denied_events FROM webhook
WHERE id {among} AND (failures > 0 OR refused_events <> '' OR first_failed_at IS NOT NULL
  OR (unhealthy_since IS NOT NULL AND recovered_at IS NULL))""")

# The backoff of a webhook ends with its first success; what it asked for by Retry-After stands.
HEALTHY = Plain("""UPDATE webhook SET failures = 0, refused_events = '', denied_events = '',
  failing_since = NULL, warnings = 0, hold_until = NULL, probes = 0,
  first_failed_at = NULL, failed_events = '', failed_bookings = (1 = 0),
  recovered_at = CASE WHEN unhealthy_since IS NULL THEN NULL ELSE coalesce(recovered_at, :at) END,
  released_at = coalesce(:released_at, released_at), releasing_tries = :most
WHERE id = :id""")

HEALTH = ByIds("""SELECT id, failures, refused_events, denied_events, failing_since, hold_until,
  first_failed_at, failed_events, failed_bookings FROM webhook WHERE id {among} ORDER BY id""")

REVISIONS = ByIds("SELECT id, revision FROM webhook WHERE id {among} ORDER BY id", "FOR NO KEY UPDATE")

FAILING = Plain("""UPDATE webhook SET failures = :failures, refused_events = :refused_events,
  denied_events = :denied_events, failing_since = :failing_since, hold_until = :hold_until,
  first_failed_at = :first_failed_at, failed_events = :failed_events, failed_bookings = :failed_bookings
WHERE id = :id""")

ASKED = Plain("""UPDATE webhook SET asked_until = :until
WHERE id = :id AND (asked_until IS NULL OR asked_until < :until)""")

OFF = ByIds("""UPDATE webhook SET active = (1 = 0), off_reason = :reason, off_at = :at
WHERE id {among} AND active""")


def judge(
    response: WebhookResponse, sent: Sent, schedule: Sequence[int], at: datetime, *, outdated: bool = False
) -> Outcome:
    """Return what follows from a response: delivered, another attempt, failed for good, or parked by a 410.

    One that failed with what was changed meanwhile (`outdated`) is due again immediately. One that was sent
    by Send now keeps its place in the schedule.
    """
    failure = response.failure
    if failure is None:
        return Outcome(response, sent, State.DELIVERED, None, None)
    if outdated:
        return Outcome(response, sent, State.WAITING, at, failure.words, counted=0, outdated=True)
    if response.status == GONE:
        return Outcome(response, sent, State.PARKED, None, failure.words)
    counted = 0 if sent.pressed and sent.attempts_on_schedule else 1
    delay = next_delay(schedule, sent.attempts_on_schedule + counted)
    if delay is None:
        return Outcome(response, sent, State.FAILED, None, failure.words, counted)
    delay = max(delay, response.retry_after or 0)
    return Outcome(response, sent, State.WAITING, at + timedelta(seconds=delay), failure.words, counted)


def revisions(session: AnySession, webhook_ids: Collection[int]) -> dict[int, int]:
    """Return the revision of each webhook, and lock them until the transaction ends."""
    return dict(map(tuple, REVISIONS.run(session, webhook_ids))) if webhook_ids else {}


def record(session: AnySession, outcomes: Sequence[Outcome], schedule: Sequence[int], at: datetime) -> None:
    """Write a batch of outcomes, and what they mean for the webhooks."""
    write = writer(session)
    ended_at = write(at)
    rows = sorted(_delivery_row(outcome, ended_at, write) for outcome in outcomes)
    matched = DELIVERY.run(session, rows)  # by their ids, so that two workers never wait for each other
    if matched != len(outcomes):
        _record_late(session, outcomes, at)
    with unasked(session):
        ATTEMPTS.run(session, [_attempt_row(outcome, write) for outcome in outcomes])
    gone = {one.response.request.webhook_id for one in outcomes if one.state is State.PARKED}
    if gone:
        OFF.run(session, gone, reason=OffReason.GONE.value, at=at)
    ended = [  # final, or failed often enough: what waits behind them may go
        one.response.request.delivery_id
        for one in outcomes
        if one.state is not State.WAITING
        or one.sent.attempts_on_schedule + one.counted >= ATTEMPTS_THAT_BLOCK
    ]
    if matched != len(outcomes) and ended:
        ended = [key for (key,) in ENDED.run(session, ended, block=ATTEMPTS_THAT_BLOCK)]
    if ended:
        with unasked(session):
            free_next(session, ended, at)
    _record_successes(session, outcomes, at)
    if runs := _trailing_failures(outcomes):
        _record_failures(session, runs, schedule, at)
    for one in outcomes:
        asked = one.response.retry_after
        if asked and not one.outdated:  # the whole webhook waits for it, whatever its other responses were
            ASKED.run(session, id=one.response.request.webhook_id, until=at + timedelta(seconds=asked))
    after_commit(session, "count attempts", partial(_count, outcomes))


def _count(outcomes: Sequence[Outcome]) -> None:
    counters.count_attempts(
        counters.CountedAttempt(
            outcome.sent.trigger,
            outcome.response.timings.total / 1000,
            outcome.response.status,
            outcome.response.failure.code if outcome.response.failure else None,
            outcome.state if outcome.state is State.DELIVERED or outcome.state is State.FAILED else None,
        )
        for outcome in outcomes
    )


Write = Callable[[datetime], str]  # as the database reads an instant


def _delivery_row(outcome: Outcome, at: str, write: Write) -> tuple[Any, ...]:
    """Return the values of DELIVERY's columns; the id stands first."""
    state, request = outcome.state, outcome.response.request
    return (
        request.delivery_id,
        outcome.sent.renewed or request.claim,
        state.value,
        write(outcome.due_at) if outcome.due_at else None,
        outcome.response.status,
        outcome.reason,
        at if state is State.DELIVERED or state is State.FAILED else None,
        at if state is State.PARKED else None,
        outcome.counted,
    )


def _record_late(session: AnySession, outcomes: Sequence[Outcome], at: datetime) -> None:
    for one in outcomes:
        request = one.response.request
        if one.success:
            LATE.run(
                session,
                id=request.delivery_id,
                webhook_id=request.webhook_id,
                event_id=one.sent.event_id,
                status=one.response.status,
                finished_at=at,
            )


def _attempt_row(outcome: Outcome, write: Write) -> tuple[Any, ...]:
    """Return the values of the columns of ATTEMPTS."""
    response = outcome.response
    request, failure, times = response.request, response.failure, response.timings
    return (
        request.delivery_id,
        request.webhook_id,
        request.number,
        write(response.at),
        outcome.sent.manual,
        response.status,
        failure.code if failure else None,
        failure.words if failure else None,
        times.name,
        times.connect,
        times.tls,
        times.first_byte,
        times.total,
        response.headers,
        response.body,
    )


def _record_successes(session: AnySession, outcomes: Sequence[Outcome], at: datetime) -> None:
    """End the backoff of the webhooks that respond again, and release what waits there."""
    succeeded = {one.response.request.webhook_id for one in outcomes if one.success}
    found = RECOVERED.run(session, succeeded).all() if succeeded else ()
    for webhook_id, failures, refused, denied in sorted(map(tuple, found)):  # in one order, as above
        everything = (
            len(_ids(refused)) >= REFUSED_BEFORE_BACKOFF or len(_ids(denied)) >= DENIED_BEFORE_BACKOFF
        )
        most = None if everything else failures
        released_at = at if failures else None
        HEALTHY.run(session, id=webhook_id, at=at, released_at=released_at, most=most)
        if failures and release(session, webhook_id, at, since=at, most=most) == RELEASE_STEP:
            GOES_ON.run(session, webhook=webhook_id, goes_on=True)


@dataclass(slots=True)
class Run:
    """The failures of a webhook in a batch since its last success in it."""

    began: datetime  # the first of them
    events: list[int] = field(default_factory=list)  # of all of them
    bookings: bool = False  # whether one of those is about a booking
    endpoint: int = 0  # how many speak about the endpoint
    refused: list[int] = field(default_factory=list)  # the events of those that speak about the event
    denied: list[int] = field(default_factory=list)  # of these those with 401, 403, 404, 405
    probed: bool = False


def _trailing_failures(outcomes: Sequence[Outcome]) -> dict[int, Run]:
    runs: dict[int, Run] = {}
    for outcome in outcomes:
        webhook_id = outcome.response.request.webhook_id
        if outcome.success:
            runs.pop(webhook_id, None)
        elif not outcome.says_nothing:
            run = runs.setdefault(webhook_id, Run(outcome.response.at))
            run.events.append(outcome.sent.event_id)
            run.bookings = run.bookings or outcome.sent.trigger not in OPERATIONAL
            run.probed = run.probed or outcome.sent.probe
            if outcome.about is About.ENDPOINT:
                run.endpoint += 1
                continue
            run.refused.append(outcome.sent.event_id)
            if outcome.about is About.DENIED:
                run.denied.append(outcome.sent.event_id)
    return runs


class WebhookRow(NamedTuple):
    """How a webhook has been doing, as it is stored; instants as the driver gives them."""

    id: int
    failures: int
    refused_events: str
    denied_events: str
    failing_since: datetime | str | None
    hold_until: datetime | str | None
    first_failed_at: datetime | str | None
    failed_events: str
    failed_bookings: bool


def _record_failures(
    session: AnySession, runs: Mapping[int, Run], schedule: Sequence[int], at: datetime
) -> None:
    """Count what speaks about the endpoints, which `revisions` has locked; back those off that keep failing.

    A backoff that stands is not lengthened but by its own probe. A probe whose event was refused has found a
    receiver that is there: the next one follows soon.
    """
    for found in HEALTH.run(session, runs).all():
        row = WebhookRow._make(found)
        run = runs[row.id]
        refused = _together(row.refused_events, run.refused, REFUSED_BEFORE_BACKOFF)
        denied = _together(row.denied_events, run.denied, DENIED_BEFORE_BACKOFF)
        failures = row.failures + run.endpoint
        if run.refused and len(refused) >= REFUSED_BEFORE_BACKOFF:
            failures = max(failures + len(run.refused), REFUSED_BEFORE_BACKOFF)
        elif run.denied and len(denied) >= DENIED_BEFORE_BACKOFF:
            failures = max(failures + len(run.denied), DENIED_BEFORE_BACKOFF)
        counted = failures > row.failures
        began = instant(row.failing_since) if row.failing_since else None
        failing_since = (began or at) if counted else began
        hold_until = instant(row.hold_until) if row.hold_until else None
        standing = hold_until is not None and hold_until > at and not run.probed
        if failures >= FAILURES_BEFORE_BACKOFF and not standing and (counted or run.probed):
            failing_for = (at - failing_since).total_seconds() if counted and failing_since else 0
            hold_until = at + timedelta(seconds=backoff_delay(schedule, failing_for))
        failed = _together(row.failed_events, run.events, DIFFERENT_BEFORE_FAILING)
        FAILING.run(
            session,
            id=row.id,
            failures=failures,
            failing_since=failing_since,
            hold_until=hold_until,
            refused_events=",".join(map(str, refused)),
            denied_events=",".join(map(str, denied)),
            failed_events=",".join(map(str, failed)),
            first_failed_at=row.first_failed_at or run.began,
            failed_bookings=bool(row.failed_bookings) or run.bookings,
        )


def _ids(text: str) -> list[int]:
    return [int(one) for one in text.split(",") if one]


def _together(before: str, more: Sequence[int], most: int) -> list[int]:
    """Return the different ids of both, up to `most`: a retry of an event is no other event."""
    return list(dict.fromkeys((*_ids(before), *filter(None, more))))[:most]
