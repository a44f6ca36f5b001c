"""Claiming: which deliveries are sent next, taken under a lease in one short transaction."""

import json
import secrets
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from calapp import tracing
from calapp.clock import now
from calapp.db import is_sqlite
from calapp.deliveries.models import State
from calapp.deliveries.outbox import free_next
from calapp.deliveries.policy import FAILURES_TO_ONE, Ready, limit_begins, requests_allowed
from calapp.direct import AnySession, unasked
from calapp.statements import ByIds, Plain, instant
from calapp.tracing import Trace
from calapp.webhooks.models import opened, opened_headers

ON = "webhook.active AND webhook.deleted_at IS NULL"
RESTED = """(webhook.hold_until IS NULL OR webhook.hold_until <= :now)
  AND (webhook.asked_until IS NULL OR webhook.asked_until <= :now)
  AND (webhook.limited_until IS NULL OR webhook.limited_until <= :now)"""
WILLING = f"{ON} AND {RESTED}"

# What its host has sent by Send now, whatever its webhook waits for. SQLite would rather walk what is due.
PRESSED = f"""SELECT delivery.webhook_id, 0, delivery.due_at, delivery.id, NULL FROM delivery{{by}}
JOIN webhook ON webhook.id = delivery.webhook_id
WHERE delivery.pressed_at IS NOT NULL AND delivery.state = 'waiting' AND delivery.due_at <= {{now}}
  AND {ON}"""
PRESSED_SQLITE = PRESSED.format(by=" INDEXED BY ix_delivery_pressed", now=":now")
PRESSED_POSTGRESQL = PRESSED.format(by="", now="(SELECT now FROM clock)")

# One index probe for each endpoint that has something waiting, however long its backlog is: what is due, and
# since when it could be sent (what a backoff or Retry-After held back has not waited for a worker meanwhile);
# in a row without an endpoint, when the next of the others comes due, and what time it was.
LOOK = Plain(
    f"""
WITH RECURSIVE endpoint(id) AS (
  SELECT min(webhook_id) FROM delivery WHERE state = 'waiting' AND due_at IS NOT NULL
  UNION ALL
  SELECT (SELECT min(webhook_id) FROM delivery
          WHERE state = 'waiting' AND due_at IS NOT NULL AND webhook_id > endpoint.id)
  FROM endpoint WHERE endpoint.id IS NOT NULL
), waiting AS MATERIALIZED (
  SELECT webhook.id, webhook.failures, coalesce(released_at, '') AS released, max(
    coalesce(hold_until, ''), coalesce(asked_until, ''), coalesce(limited_until, ''),
    (SELECT min(due_at) FROM delivery
     WHERE webhook_id = webhook.id AND state = 'waiting' AND due_at IS NOT NULL)) AS first_due
  FROM endpoint JOIN webhook ON webhook.id = endpoint.id WHERE {ON}
)
SELECT id, failures, max(first_due, released), NULL, NULL FROM waiting WHERE first_due <= :now
UNION ALL SELECT NULL, 0, min(first_due), NULL, :now FROM waiting WHERE first_due > :now
UNION ALL {PRESSED_SQLITE}""",
    f"""
WITH RECURSIVE clock(now) AS MATERIALIZED (
  SELECT coalesce(CAST(:now AS timestamptz), clock_timestamp())
), endpoint(id, first_due) AS (
  (SELECT webhook_id, due_at FROM delivery WHERE state = 'waiting' AND due_at IS NOT NULL
   ORDER BY webhook_id, due_at LIMIT 1)
  UNION ALL
  SELECT later.webhook_id, later.due_at FROM endpoint CROSS JOIN LATERAL (
    SELECT webhook_id, due_at FROM delivery
    WHERE state = 'waiting' AND due_at IS NOT NULL AND webhook_id > endpoint.id
    ORDER BY webhook_id, due_at LIMIT 1
  ) AS later
), waiting AS MATERIALIZED (
  SELECT webhook.id, webhook.failures, released_at,
    greatest(endpoint.first_due, hold_until, asked_until, limited_until) AS first_due
  FROM endpoint JOIN webhook ON webhook.id = endpoint.id WHERE {ON}
)
SELECT id, failures, greatest(first_due, released_at), CAST(NULL AS integer), NULL
FROM waiting WHERE first_due <= (SELECT now FROM clock)
UNION ALL SELECT NULL, 0, min(first_due), NULL, (SELECT now FROM clock)
FROM waiting WHERE first_due > (SELECT now FROM clock)
UNION ALL {PRESSED_POSTGRESQL}""",
)

# What has come due last, whatever the number of endpoints; a bound, since it may be very much at once.
FRESH = Plain(f"""SELECT webhook.id, webhook.failures, min(fresh.due_at) FROM (
  SELECT webhook_id, due_at FROM delivery
  WHERE state = 'waiting' AND due_at IS NOT NULL AND due_at > :since AND due_at <= :now
  ORDER BY due_at DESC LIMIT 200
) AS fresh JOIN webhook ON webhook.id = fresh.webhook_id WHERE {WILLING}
GROUP BY webhook.id, webhook.failures""")

ROW = """d.id, d.webhook_id, d.attempts, d.tries, d.manual, d.body, d.content_type, d.expires_at,
  d.event_id, d.pressed_at, event.uid, event.body, event.trigger, event.subject,
  event.trace, event.trace_state"""
TARGET = """subscriber_url, headers, secret, old_secret, old_secret_until, failures, revision,
  max_per_second"""

# SQLite has no LATERAL, and its LIMIT may not name a column: so once for all endpoints of the same quota.
PICK_SQLITE = Plain(f"""SELECT {ROW} FROM json_each(:webhooks) AS endpoint
CROSS JOIN delivery AS d ON d.id IN (SELECT id FROM delivery WHERE webhook_id = endpoint.value
  AND state = 'waiting' AND due_at <= :now ORDER BY due_at, id LIMIT :quota)
CROSS JOIN event ON event.id = d.event_id""")

# LIMIT 1 has each event looked up by its key; as a plain join, PostgreSQL may go through all of them.
PICK_POSTGRESQL = Plain(f"""
SELECT {ROW} FROM unnest(CAST(:webhooks AS integer[]), CAST(:quotas AS integer[])) AS endpoint(id, quota)
CROSS JOIN LATERAL (
  SELECT * FROM delivery WHERE webhook_id = endpoint.id AND state = 'waiting' AND due_at <= :now
  ORDER BY due_at, id LIMIT endpoint.quota FOR UPDATE SKIP LOCKED
) AS d CROSS JOIN LATERAL (SELECT * FROM event WHERE event.id = d.event_id LIMIT 1) AS event
""")

LEASED = "claim = :token, attempts = delivery.attempts + 1, after_id = NULL"

# Most claims, in one statement that is a transaction by itself: what can be sent, of webhooks that neither
# fail nor have a limit of their own.
CLAIM_AT_ONCE = Plain(
    "SELECT 1 WHERE 1 = 0",  # SQLite needs no round trips
    f"""WITH clock(now) AS MATERIALIZED (SELECT clock_timestamp()),
picked AS MATERIALIZED (
  SELECT d.* FROM unnest(CAST(:webhooks AS integer[]), CAST(:quotas AS integer[])) AS endpoint(id, quota)
  CROSS JOIN LATERAL (
    SELECT * FROM delivery
    WHERE webhook_id = endpoint.id AND state = 'waiting' AND due_at <= (SELECT now FROM clock)
    ORDER BY due_at, id LIMIT endpoint.quota FOR UPDATE SKIP LOCKED
  ) AS d
), simple AS MATERIALIZED (
  SELECT {ROW}, {TARGET}, 1, clock.now FROM picked AS d CROSS JOIN clock
  CROSS JOIN LATERAL (SELECT * FROM event WHERE event.id = d.event_id LIMIT 1) AS event
  JOIN webhook ON webhook.id = d.webhook_id
  WHERE {WILLING.replace(":now", "clock.now")}
    AND webhook.failures < {FAILURES_TO_ONE} AND webhook.max_per_second IS NULL
    AND (d.expires_at IS NULL OR d.expires_at > clock.now) AND coalesce(d.body, event.body) IS NOT NULL
), leased AS (
  UPDATE delivery SET due_at = simple.now + :lease, {LEASED} FROM simple WHERE delivery.id = simple.id
)
SELECT * FROM simple""",
)

OF_DELIVERY = "FOR UPDATE OF d SKIP LOCKED"
CHOSEN = ByIds(
    f"""SELECT {ROW} FROM delivery AS d JOIN event ON event.id = d.event_id
WHERE d.id {{among}} AND d.pressed_at IS NOT NULL AND d.state = 'waiting' AND d.due_at <= :now""",
    OF_DELIVERY,
)

# A backoff tries by turns the oldest and this: what is old may be refused where what is new is taken.
NEWEST = f"""SELECT {ROW} FROM delivery AS d JOIN event ON event.id = d.event_id
WHERE d.webhook_id = :webhook AND d.state = 'waiting' AND d.due_at <= :now AND d.tries = 0
  AND d.pressed_at IS NULL ORDER BY d.due_at DESC, d.id DESC LIMIT 1"""
NEWEST_UNTRIED = Plain(NEWEST, f"{NEWEST} {OF_DELIVERY}")

# One index probe for each; a number, because databases differ in what a comparison returns.
LAST_ATTEMPTS = ByIds("""SELECT id, (
  SELECT CASE WHEN failure IS NULL THEN 1 ELSE 0 END FROM attempt
  WHERE webhook_id = webhook.id ORDER BY at DESC LIMIT 1
) AS success FROM webhook WHERE id {among}""")

WEBHOOKS = ByIds(
    f"SELECT id, {TARGET}, CASE WHEN {RESTED} THEN 1 ELSE 0 END FROM webhook WHERE id {{among}} AND {ON}"
)

LEASE = ByIds(f"UPDATE delivery SET due_at = :until, {LEASED} WHERE id {{among}}")

EXPIRE = ByIds(f"""UPDATE delivery SET state = '{State.EXPIRED}', due_at = NULL, claim = NULL,
  finished_at = :at, reason = :reason WHERE id {{among}}""")

# Whose turn it is to be probed; another process that is at it has it.
TO_PROBE = ByIds(
    f"SELECT id, probes FROM webhook WHERE id {{among}} AND {RESTED} ORDER BY id",
    "FOR NO KEY UPDATE SKIP LOCKED",
)

# Keeps others from a webhook that is being probed; the response sets its backoff again.
PROBED = ByIds("UPDATE webhook SET hold_until = :until, probes = probes + 1 WHERE id {among}")

# Who claims from a webhook with a limit counts what it claims on the row: the limit is that of all processes.
LIMITED = ByIds(
    "SELECT id, limited_until FROM webhook WHERE id {among} ORDER BY id", "FOR NO KEY UPDATE SKIP LOCKED"
)
COUNTED = Plain("UPDATE webhook SET limited_until = :until WHERE id = :id")


class Due(NamedTuple):
    """A delivery that is due, with what of its event is needed to send it and to tell of it."""

    id: int
    webhook_id: int
    attempts: int
    attempts_on_schedule: int
    manual: bool
    body: str | None
    content_type: str | None
    expires_at: datetime | None
    event_id: int
    pressed_at: datetime | str | None
    event_uid: str
    event_body: str | None
    trigger: str
    subject: str
    event_trace: str | None = None
    event_trace_state: str | None = None

    @property
    def trace(self) -> Trace:
        """The trace of the attempt that is next, with a span of its own."""
        trace = tracing.of_event(self.event_uid, self.event_trace, self.event_trace_state)
        return trace.child(tracing.attempt_span(trace.trace_id, self.id, self.attempts + 1))


class Target(NamedTuple):
    """A webhook as its deliveries are sent now; its secrets and header values as they are stored."""

    id: int
    subscriber_url: str
    sealed_headers: Sequence[Sequence[str]]
    sealed_secret: str | None
    sealed_old_secret: str | None
    old_secret_until: datetime | None
    failures: int
    revision: int
    max_per_second: int | None
    rested: int  # 1: neither its backoff, its Retry-After nor its limit keeps it from being tried

    @property
    def secret(self) -> str | None:
        """What deliveries are signed with; raises KeyDoesNotFit."""
        return opened(self.sealed_secret)

    @property
    def old_secret(self) -> str | None:
        """The previous secret; raises KeyDoesNotFit."""
        return opened(self.sealed_old_secret)

    @property
    def headers(self) -> list[list[str]]:
        """The custom headers; raises KeyDoesNotFit."""
        return opened_headers(self.sealed_headers)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one worker process has claimed: rows, their webhooks by id, and the token that proves it.

    `expired` is how many it has found that are not sent any more.
    """

    token: str
    at: datetime
    rows: Sequence[Due]
    webhooks: Mapping[int, Target]
    expired: int = 0


class Look(NamedTuple):
    """What a look has found: what is due, what was pressed, and when the next comes due, if anything does."""

    at: datetime
    ready: list[Ready]
    next_at: datetime | None


def look(session: AnySession, at: datetime | None = None) -> Look:
    """Look for what is due, at an instant or now, by the clock that all processes share; takes no lock."""
    if at is None and is_sqlite(session):
        at = now()
    found, next_at = [], None
    for webhook_id, failures, first_due, pressed, moment in LOOK.run(session, now=at):
        if webhook_id is None:
            next_at = instant(first_due) if first_due else None
            at = at or moment
        else:
            found.append(Ready(webhook_id, failures, instant(first_due), pressed))
    assert at is not None  # the row without an endpoint is always there
    return Look(at, found, next_at)


def ready(session: AnySession, at: datetime) -> list[Ready]:
    """Return the endpoints that have something due and what was pressed, with a plain read."""
    return look(session, at).ready


def fresh(session: AnySession, since: datetime, at: datetime) -> list[Ready]:
    """Return endpoints of which something has come due since an instant: of many only some."""
    return [Ready(row[0], row[1], instant(row[2])) for row in FRESH.run(session, since=since, now=at)]


def last_attempts(session: AnySession, webhook_ids: Collection[int]) -> dict[int, bool | None]:
    """Return for each webhook whether its latest attempt succeeded; None: there is none."""
    found = LAST_ATTEMPTS.run(session, webhook_ids)
    return {key: None if success is None else bool(success) for key, success in found}


def claim(
    session: AnySession,
    quotas: Mapping[int, int],
    lease: timedelta,
    at: datetime,
    pressed: Collection[int] = (),
) -> Claim:
    """Claim what is due, up to a number for each webhook id; it comes due again after the lease.

    `pressed` are the ids of deliveries that were sent manually: they are claimed whatever their webhook waits
    for. What is about a moment that has passed is marked expired instead, as is that whose body is gone.
    """
    token = secrets.token_hex(8)
    rows = _picked(session, quotas, at) if quotas else []
    if pressed:
        chosen = [_due(row) for row in CHOSEN.run(session, pressed, now=at)]
        known = {row.id for row in chosen}
        rows = [*chosen, *(row for row in rows if row.id not in known)]
    # Those that are on and may be tried: one may have changed since the look.
    found = WEBHOOKS.run(session, {row.webhook_id for row in rows}, now=at) if rows else ()
    webhooks = {row[0]: _target(Target._make(row)) for row in found}
    rows = [row for row in rows if row.webhook_id in webhooks]
    rows = [row for row in rows if webhooks[row.webhook_id].rested or row.pressed_at is not None]
    if any(webhooks[row.webhook_id].failures >= FAILURES_TO_ONE for row in rows):
        rows = _probes(session, rows, webhooks, at, at + lease)
    pointless = {row.id: reason for row in rows if (reason := _pointless(row, at))}
    claimed = [row for row in rows if row.id not in pointless] if pointless else rows
    for reason in set(pointless.values()):
        _expire(session, [key for key, why in pointless.items() if why == reason], reason, at)
    if any(webhooks[row.webhook_id].max_per_second for row in claimed):
        claimed = _within_limits(session, claimed, webhooks, at)
    if claimed:
        with unasked(session):
            LEASE.run(session, [row.id for row in claimed], token=token, until=at + lease)
    return Claim(token, at, claimed, webhooks, len(pointless))


def claim_at_once(session: AnySession, quotas: Mapping[int, int], lease: timedelta) -> Claim | None:
    """Claim on PostgreSQL in one round trip, outside of a transaction, what needs no more than that.

    None when there is nothing of that kind: then `claim` has to look.
    """
    token = secrets.token_hex(8)
    values = {"webhooks": list(quotas), "quotas": list(quotas.values()), "lease": lease, "token": token}
    found = CLAIM_AT_ONCE.run(session, **values).all()
    if not found:
        return None
    width = len(Due._fields)
    webhooks = {row[1]: _target(Target(row[1], *row[width:-1])) for row in found}
    return Claim(token, found[0][-1], [_due(row[:width]) for row in found], webhooks)


def _probes(
    session: AnySession, rows: Sequence[Due], webhooks: Mapping[int, Target], at: datetime, until: datetime
) -> list[Due]:
    """Leave of each webhook in backoff one row, by turns its oldest and its newest not yet tried."""
    kept: list[Due] = []
    candidates: dict[int, Due] = {}
    for row in rows:
        if row.pressed_at is not None or webhooks[row.webhook_id].failures < FAILURES_TO_ONE:
            kept.append(row)
        else:
            candidates.setdefault(row.webhook_id, row)
    turns = TO_PROBE.run(session, candidates, now=at).all()
    for webhook_id, probes in turns:
        newest = NEWEST_UNTRIED.run(session, webhook=webhook_id, now=at).first() if probes % 2 else None
        kept.append(_due(newest) if newest else candidates[webhook_id])
    if turns:
        PROBED.run(session, [row[0] for row in turns], until=until)
    return kept


def _within_limits(
    session: AnySession, rows: Sequence[Due], webhooks: Mapping[int, Target], at: datetime
) -> list[Due]:
    """Leave of each webhook as many rows as its limit allows now, and count them.

    What was pressed always goes. A webhook that another process is claiming from is left to the next look.
    """
    limited = {row.webhook_id for row in rows if webhooks[row.webhook_id].max_per_second}
    left: dict[int, int] = dict.fromkeys(limited, 0)
    begun: dict[int, datetime] = {}
    for webhook_id, until in LIMITED.run(session, limited).all():
        limit = webhooks[webhook_id].max_per_second or 0
        begun[webhook_id] = limit_begins(instant(until) if until else None, at)
        left[webhook_id] = requests_allowed(begun[webhook_id], limit, at)
    kept: list[Due] = []
    counts: Counter[int] = Counter()
    for row in rows:
        key = row.webhook_id
        if key in limited and row.pressed_at is None and counts[key] >= left[key]:
            continue
        kept.append(row)
        counts[key] += 1
    for key, begins in begun.items():
        if counts[key]:
            seconds = counts[key] / (webhooks[key].max_per_second or 1)
            COUNTED.run(session, id=key, until=begins + timedelta(seconds=seconds))
    return kept


def _pointless(row: Due, at: datetime) -> str | None:
    """Return why a delivery is not sent any more, or None."""
    if row.expires_at is not None and row.expires_at <= at:
        return "It expired before it could be sent."
    if row.body is None and row.event_body is None:
        return "Its body is no longer stored."  # pruned in the moment in which it was resent manually
    return None


def _picked(session: AnySession, quotas: Mapping[int, int], at: datetime) -> list[Due]:
    if not is_sqlite(session):
        values = {"webhooks": list(quotas), "quotas": list(quotas.values()), "now": at}
        return [_due(row) for row in PICK_POSTGRESQL.run(session, **values)]
    alike: dict[int, list[int]] = {}
    for webhook_id, quota in quotas.items():
        alike.setdefault(quota, []).append(webhook_id)
    picked = (
        PICK_SQLITE.run(session, webhooks=json.dumps(ids), quota=quota, now=at)
        for quota, ids in alike.items()
    )
    return [_due(row) for rows in picked for row in rows]


def _due(row: Any) -> Due:
    due = Due._make(row)
    return due if due.expires_at is None else due._replace(expires_at=instant(due.expires_at))


def _target(found: Target) -> Target:
    """Return a webhook with what SQLite's driver gives as text in the form that it has."""
    stored = found.sealed_headers
    headers = json.loads(stored) if isinstance(stored, str) else stored
    until = found.old_secret_until
    return found._replace(sealed_headers=headers, old_secret_until=instant(until) if until else None)


def _expire(session: AnySession, ids: Sequence[int], reason: str, at: datetime) -> None:
    EXPIRE.run(session, ids, at=at, reason=reason)
    free_next(session, ids, at)
