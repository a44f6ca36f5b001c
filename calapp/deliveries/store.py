"""Batches: one statement for many rows, which costs a fraction of what a statement for each row costs.

They are given to the driver as they stand, without what SQLAlchemy does for each statement and each value.
"""

import json
import re
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import String, bindparam, select, text
from sqlalchemy.orm import Session

from calapp.db import UTCDateTime, database_now, is_sqlite
from calapp.deliveries.exchange import WebhookResponse
from calapp.deliveries.models import State
from calapp.deliveries.outbox import TRIES_THAT_HOLD
from calapp.deliveries.policy import (
    DENIED_BEFORE_HOLD,
    FAILURES_BEFORE_BACKOFF,
    FAILURES_TO_ONE,
    REFUSALS,
    REFUSED_BEFORE_HOLD,
    About,
    Ready,
    about,
    backoff_delay,
    next_delay,
)
from calapp.webhooks.models import OffReason, Webhook, opened, opened_headers

AMONG_SQLITE = "IN (SELECT value FROM json_each(:ids))"
AMONG_POSTGRESQL = "= ANY(CAST(:ids AS integer[]))"
NAME = re.compile(r":(\w+)")
COLUMN = re.compile(r"\br\.(\w+)")


def for_psycopg(statement: str) -> str:
    """Return a statement with its `:name`s as psycopg writes them."""
    return NAME.sub(r"%(\1)s", statement.replace("%", "%%"))


class Plain:
    """A statement in which `:name` stands for a value; PostgreSQL may have words of its own."""

    def __init__(self, sqlite: str, postgresql: str | None = None) -> None:
        self.sqlite = sqlite
        self.postgresql = for_psycopg(postgresql or sqlite)

    def run(self, session: Session, **values: Any) -> Any:
        """Execute it and return the result; instants are as the driver gives them, see `instant`."""
        if not is_sqlite(session):
            return session.connection().exec_driver_sql(self.postgresql, values)
        storable = {name: stored(value) for name, value in values.items()}
        return session.connection().exec_driver_sql(self.sqlite, storable)


class ByIds:
    """A statement for the rows whose id is one of some: `WHERE id {among}`.

    Its text is always the same, so the database need not read it anew, as with `IN (?, ?, …)`. `lock` is how
    PostgreSQL locks the rows; SQLite has one writer.
    """

    def __init__(self, statement: str, lock: str = "") -> None:
        sqlite, postgresql = (statement.format(among=among) for among in (AMONG_SQLITE, AMONG_POSTGRESQL))
        self.statement = Plain(sqlite, f"{postgresql} {lock}")

    def run(self, session: Session, ids: Collection[int], **values: Any) -> Any:
        """Execute it for these ids and return the result."""
        among = list(ids)
        return self.statement.run(session, ids=json.dumps(among) if is_sqlite(session) else among, **values)


class ByRows:
    """A statement for rows that are given: they stand `{from_rows}`, and `r.name` is a column of theirs.

    It takes PostgreSQL's types of the columns, whose names and values `{columns}` and `{values}` stand for.
    PostgreSQL takes all rows as one value, SQLite executes it for each. Instants are given as `writer` writes
    them.
    """

    def __init__(self, statement: str, **columns: str) -> None:
        self.names = tuple(columns)
        places = {name: f"?{place}" for place, name in enumerate(columns, 1)}
        given = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        parts = {"columns": ", ".join(columns), "values": ", ".join(f"r.{name}" for name in columns)}
        rows = f"FROM json_to_recordset(CAST(:rows AS json)) AS r({given})"
        self.sqlite = COLUMN.sub(lambda match: places[match[1]], statement.format(from_rows="", **parts))
        self.postgresql = for_psycopg(statement.format(from_rows=rows, **parts))

    def run(self, session: Session, rows: Sequence[tuple[Any, ...]]) -> int:
        """Execute it for these rows, with values in the order of the columns; return how many it changed."""
        if is_sqlite(session):
            return session.connection().exec_driver_sql(self.sqlite, list(rows)).rowcount
        given = json.dumps([dict(zip(self.names, row, strict=True)) for row in rows], ensure_ascii=False)
        return session.connection().exec_driver_sql(self.postgresql, {"rows": given}).rowcount


def written(at: datetime, *, sqlite: bool) -> str:
    """Return an instant, which must be in UTC, as the database reads it: SQLite keeps no zone."""
    text = at.isoformat(" ", "microseconds")
    return text[:26] if sqlite else text


def writer(session: Session) -> Callable[[datetime], str]:
    """Return how instants are written for the rows of a statement."""
    return partial(written, sqlite=is_sqlite(session))


def stored(value: Any) -> Any:
    """Return a value as SQLite's driver takes it."""
    return written(value, sqlite=True) if isinstance(value, datetime) else value


def instant(value: str | datetime) -> datetime:
    """Return an aware instant from what a driver gave: SQLite's gives text without a zone."""
    return datetime.fromisoformat(value).replace(tzinfo=UTC) if isinstance(value, str) else value


ON = "webhook.active AND webhook.deleted_at IS NULL"
RESTED = """(webhook.hold_until IS NULL OR webhook.hold_until <= :now)
  AND (webhook.asked_until IS NULL OR webhook.asked_until <= :now)"""
WILLING = f"{ON} AND {RESTED}"

# What its host has sent by Send now, whatever its webhook waits for. SQLite would rather walk what is due.
PRESSED = f"""SELECT delivery.webhook_id, 0, delivery.due_at, delivery.id FROM delivery{{by}}
JOIN webhook ON webhook.id = delivery.webhook_id
WHERE delivery.pressed_at IS NOT NULL AND delivery.state = 'waiting' AND delivery.due_at <= :now AND {ON}"""
PRESSED_SQLITE = PRESSED.format(by=" INDEXED BY ix_delivery_pressed")
PRESSED_POSTGRESQL = PRESSED.format(by="")

# One index probe for each endpoint that has something waiting, however long its backlog is; since when it
# could be sent: what a backoff or Retry-After held back has not waited for a worker meanwhile.
READY = Plain(
    f"""
WITH RECURSIVE endpoint(id) AS (
  SELECT min(webhook_id) FROM delivery WHERE state = 'waiting' AND due_at IS NOT NULL
  UNION ALL
  SELECT (SELECT min(webhook_id) FROM delivery
          WHERE state = 'waiting' AND due_at IS NOT NULL AND webhook_id > endpoint.id)
  FROM endpoint WHERE endpoint.id IS NOT NULL
), waiting AS MATERIALIZED (
  SELECT webhook.id, webhook.failures, hold_until, asked_until, released_at,
    (SELECT min(due_at) FROM delivery
     WHERE webhook_id = webhook.id AND state = 'waiting' AND due_at IS NOT NULL) AS first_due
  FROM endpoint JOIN webhook ON webhook.id = endpoint.id WHERE {WILLING}
)
SELECT id, failures, max(first_due, coalesce(hold_until, ''), coalesce(asked_until, ''),
  coalesce(released_at, '')), NULL FROM waiting WHERE first_due <= :now UNION ALL {PRESSED_SQLITE}""",
    f"""
WITH RECURSIVE endpoint(id, first_due) AS (
  (SELECT webhook_id, due_at FROM delivery WHERE state = 'waiting' AND due_at IS NOT NULL
   ORDER BY webhook_id, due_at LIMIT 1)
  UNION ALL
  SELECT later.webhook_id, later.due_at FROM endpoint CROSS JOIN LATERAL (
    SELECT webhook_id, due_at FROM delivery
    WHERE state = 'waiting' AND due_at IS NOT NULL AND webhook_id > endpoint.id
    ORDER BY webhook_id, due_at LIMIT 1
  ) AS later
)
SELECT webhook.id, webhook.failures, greatest(endpoint.first_due, hold_until, asked_until, released_at),
  CAST(NULL AS integer) FROM endpoint JOIN webhook ON webhook.id = endpoint.id
WHERE first_due <= :now AND {WILLING} UNION ALL {PRESSED_POSTGRESQL}""",
)

# What has come due last, whatever the number of endpoints; a bound, since it may be very much at once.
FRESH = Plain(f"""SELECT webhook.id, webhook.failures, min(fresh.due_at) FROM (
  SELECT webhook_id, due_at FROM delivery
  WHERE state = 'waiting' AND due_at IS NOT NULL AND due_at > :since AND due_at <= :now
  ORDER BY due_at DESC LIMIT 200
) AS fresh JOIN webhook ON webhook.id = fresh.webhook_id WHERE {WILLING}
GROUP BY webhook.id, webhook.failures""")

ROW = """d.id, d.webhook_id, d.attempts, d.tries, d.manual, d.body, d.content_type, d.expires_at,
  d.event_id, d.pressed_at, event.uid, event.body, event.trigger, event.subject"""

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
LAST_TRIES = ByIds("""SELECT id, (
  SELECT CASE WHEN failure IS NULL THEN 1 ELSE 0 END FROM attempt
  WHERE webhook_id = webhook.id ORDER BY at DESC LIMIT 1
) AS success FROM webhook WHERE id {among}""")

WEBHOOKS = ByIds(f"""SELECT id, subscriber_url, headers, secret, old_secret, old_secret_until, failures,
  revision, CASE WHEN {RESTED} THEN 1 ELSE 0 END FROM webhook WHERE id {{among}} AND {ON}""")

LEASE = ByIds("""UPDATE delivery SET due_at = :until, claim = :token, attempts = attempts + 1, after_id = NULL
WHERE id {among}""")

# Whose turn it is to be probed; another process that is at it has it.
TO_PROBE = ByIds(
    f"SELECT id, probes FROM webhook WHERE id {{among}} AND {RESTED} ORDER BY id",
    "FOR NO KEY UPDATE SKIP LOCKED",
)

# Keeps others from a webhook that is being probed; the answer sets its backoff anew.
PROBED = ByIds("UPDATE webhook SET hold_until = :until, probes = probes + 1 WHERE id {among}")


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
    rested: int  # 1: neither its backoff nor its Retry-After keeps it from being tried

    @property
    def secret(self) -> str | None:
        """What deliveries are signed with; raises KeyDoesNotFit."""
        return opened(self.sealed_secret)

    @property
    def old_secret(self) -> str | None:
        """The former secret; raises KeyDoesNotFit."""
        return opened(self.sealed_old_secret)

    @property
    def headers(self) -> list[list[str]]:
        """The custom headers; raises KeyDoesNotFit."""
        return opened_headers(self.sealed_headers)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one worker process has taken: rows, their webhooks by id, and the token that proves it."""

    token: str
    at: datetime
    rows: Sequence[Due]
    webhooks: Mapping[int, Target]


def ready(session: Session, at: datetime) -> list[Ready]:
    """Return the endpoints that have something due, and what was pressed, with a read that takes no lock."""
    return [Ready(row[0], row[1], instant(row[2]), row[3]) for row in READY.run(session, now=at)]


def fresh(session: Session, since: datetime, at: datetime) -> list[Ready]:
    """Return endpoints of which something has come due since an instant: of many only some."""
    return [Ready(row[0], row[1], instant(row[2])) for row in FRESH.run(session, since=since, now=at)]


def last_tries(session: Session, webhook_ids: Collection[int]) -> dict[int, bool | None]:
    """Say of each webhook whether its newest try succeeded; None: there is none."""
    found = LAST_TRIES.run(session, webhook_ids)
    return {row.id: None if row.success is None else bool(row.success) for row in found}


def claim(
    session: Session,
    quotas: Mapping[int, int],
    lease: timedelta,
    at: datetime,
    pressed: Collection[int] = (),
) -> Claim:
    """Take what is due at an instant, at most so many of each webhook id; it comes due again after the lease.

    `pressed` are the ids of deliveries that were sent by hand: they are taken whatever their webhook waits
    for. What is about a moment that has passed is marked expired instead, as is that whose body is gone.
    """
    token = secrets.token_hex(8)
    rows = _picked(session, quotas, at) if quotas else []
    if pressed:
        chosen = [_due(row) for row in CHOSEN.run(session, pressed, now=at)]
        known = {row.id for row in chosen}
        rows = [*chosen, *(row for row in rows if row.id not in known)]
    webhooks = _webhooks(session, {row.webhook_id for row in rows}, at)
    rows = [row for row in rows if _may_go(row, webhooks)]
    if any(webhooks[row.webhook_id].failures >= FAILURES_TO_ONE for row in rows):
        rows = _probes(session, rows, webhooks, at, at + lease)
    pointless = {row.id: reason for row in rows if (reason := _pointless(row, at))}
    taken = [row for row in rows if row.id not in pointless] if pointless else rows
    for reason in set(pointless.values()):
        _expire(session, [key for key, why in pointless.items() if why == reason], reason, at)
    if taken:
        LEASE.run(session, [row.id for row in taken], token=token, until=at + lease)
    return Claim(token, at, taken, webhooks)


def _may_go(row: Due, webhooks: Mapping[int, Target]) -> bool:
    """Return whether a webhook is on and may be tried: it may have changed since the look."""
    webhook = webhooks.get(row.webhook_id)
    return webhook is not None and (bool(webhook.rested) or row.pressed_at is not None)


def _probes(
    session: Session, rows: Sequence[Due], webhooks: Mapping[int, Target], at: datetime, until: datetime
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


def _pointless(row: Due, at: datetime) -> str | None:
    """Say why a delivery is not sent any more, or None."""
    if row.expires_at is not None and row.expires_at <= at:
        return "The moment that this is about had passed before it could be sent."
    if row.body is None and row.event_body is None:
        return "Its body is no longer kept."  # pruned in the moment in which it was sent again by hand
    return None


def _picked(session: Session, quotas: Mapping[int, int], at: datetime) -> list[Due]:
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


def _webhooks(session: Session, ids: set[int], at: datetime) -> dict[int, Target]:
    """Return those that are on; one may have been switched off since the look."""
    found = WEBHOOKS.run(session, ids, now=at) if ids else ()
    return {row[0]: _target(Target._make(row)) for row in found}


def _target(found: Target) -> Target:
    """Return a webhook with what SQLite's driver gives as text in the form that it has."""
    stored = found.sealed_headers
    headers = json.loads(stored) if isinstance(stored, str) else stored
    until = found.old_secret_until
    return found._replace(sealed_headers=headers, old_secret_until=instant(until) if until else None)


def _expire(session: Session, ids: Sequence[int], reason: str, at: datetime) -> None:
    session.execute(
        text("""UPDATE delivery SET state = :state, due_at = NULL, claim = NULL, finished_at = :at,
  reason = :reason WHERE id IN :ids""").bindparams(
            bindparam("ids", expanding=True),
            bindparam("at", type_=UTCDateTime),
            bindparam("state", type_=String),
        ),
        {"ids": list(ids), "at": at, "reason": reason, "state": State.EXPIRED.value},
    )
    session.execute(
        text(
            "UPDATE delivery SET due_at = :at, after_id = NULL WHERE after_id IN :ids AND state = 'waiting'"
        ).bindparams(bindparam("ids", expanding=True), bindparam("at", type_=UTCDateTime)),
        {"ids": list(ids), "at": at},
    )


RELEASE_STEP = 1000  # rows that one transaction makes due

# Oldest first, so each keeps its age; never later than now, whatever the clock was when it was made. One that
# was tried since then and has failed again keeps to its schedule, as does what waits behind another. With
# `most`, the receiver has come back by itself: what was refused, or has failed more often than the endpoint
# did in a row, failed between successes: that is its own fault.
NUMBERS = ", ".join(map(str, sorted(REFUSALS)))
RELEASE = text(f"""UPDATE delivery SET due_at = CASE WHEN created_at < :at THEN created_at ELSE :at END
WHERE id IN (
  SELECT id FROM delivery WHERE webhook_id = :webhook AND state = 'waiting' AND due_at > :at
  AND claim IS NULL AND after_id IS NULL
  AND (CAST(:most AS integer) IS NULL
    OR (tries <= :most AND coalesce(last_status, 0) NOT IN ({NUMBERS})))
  AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.delivery_id = delivery.id AND attempt.at > :since)
  ORDER BY due_at LIMIT :step)""").bindparams(
    bindparam("at", type_=UTCDateTime), bindparam("since", type_=UTCDateTime)
)

GOES_ON = text("UPDATE webhook SET releasing = :goes_on WHERE id = :webhook")


def release(
    session: Session, webhook_id: int, at: datetime, *, since: datetime, most: int | None = None
) -> int:
    """Make due a step of what waits at a webhook and was not tried since an instant; return how many.

    `most` is how often the endpoint had failed in a row; None releases what was refused, too.
    """
    values = {"webhook": webhook_id, "at": at, "since": since, "most": most, "step": RELEASE_STEP}
    return int(session.execute(RELEASE, values).rowcount)  # type: ignore[attr-defined]


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
        session.execute(GOES_ON, {"webhook": webhook_id, "goes_on": False})
    return count


GONE = 410


class Sent(NamedTuple):
    """What recording must know of a delivery that is out: its recorded tries, and how it was taken."""

    attempts_on_schedule: int
    manual: bool
    probe: bool  # its webhook was failing, and this is the one try in a while
    event: str = ""  # the event's uid, its trigger and what it is about: for the log
    trigger: str = ""
    subject: str = ""
    until: float = 0.0  # when its lease ends, in monotonic seconds
    renewed: str | None = None  # the claim that took the place of its request's
    event_id: int = 0
    pressed: bool = False  # sent by Send now: its failure says nothing of the webhook
    revision: int | None = None  # of the webhook with whose URL, headers and secrets it was sent


class Outcome(NamedTuple):
    """An answer, judged: the state that follows and when it is tried next."""

    answer: WebhookResponse
    sent: Sent
    state: State
    due_at: datetime | None
    reason: str | None
    counted: int = 1  # 0: it does not count in the delivery's schedule
    outdated: bool = False  # it failed with what its host has changed meanwhile

    @property
    def success(self) -> bool:
        """Whether the receiver took the event."""
        return self.answer.failure is None

    @property
    def about(self) -> About:
        """What its failure speaks about."""
        return about(self.answer.status, self.answer.timings.total / 1000)

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

# A late answer of a lease that was lost changes the state only when the receiver did take the event.
LATE = text("""UPDATE delivery SET state = 'delivered', due_at = NULL, claim = NULL, pressed_at = NULL,
  last_status = :status, reason = NULL, finished_at = :finished_at
WHERE id = :id AND state <> 'delivered'""").bindparams(bindparam("finished_at", type_=UTCDateTime))

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

RECOVERED = ByIds("""SELECT id, failures, refused_events, denied_events FROM webhook
WHERE id {among} AND (failures > 0 OR refused_events <> '')""")

# The backoff of a webhook ends with its first success; what it asked for by Retry-After stands.
HEALTHY = text("""UPDATE webhook SET failures = 0, refused_events = '', denied_events = '',
  failing_since = NULL, warnings = 0, hold_until = NULL, probes = 0,
  released_at = coalesce(:released_at, released_at), releasing_tries = :most
WHERE id = :id""").bindparams(bindparam("released_at", type_=UTCDateTime))

HEALTH = (
    text("""SELECT id, failures, refused_events, denied_events, failing_since, hold_until, revision
FROM webhook WHERE id IN :ids ORDER BY id""")
    .bindparams(bindparam("ids", expanding=True))
    .columns(failing_since=UTCDateTime, hold_until=UTCDateTime)
)
LOCK = text("SELECT id, revision FROM webhook WHERE id IN :ids ORDER BY id FOR NO KEY UPDATE").bindparams(
    bindparam("ids", expanding=True)
)

FAILING = text("""UPDATE webhook SET failures = :failures, refused_events = :refused_events,
  denied_events = :denied_events, failing_since = :failing_since, hold_until = :hold_until
WHERE id = :id""").bindparams(
    bindparam("failing_since", type_=UTCDateTime), bindparam("hold_until", type_=UTCDateTime)
)

ASKED = text("""UPDATE webhook SET asked_until = :until
WHERE id = :id AND (asked_until IS NULL OR asked_until < :until)""").bindparams(
    bindparam("until", type_=UTCDateTime)
)

OFF = text("""UPDATE webhook SET active = :no, off_reason = :reason, off_at = :at
WHERE id IN :ids AND active""").bindparams(
    bindparam("ids", expanding=True), bindparam("at", type_=UTCDateTime), bindparam("no", value=False)
)


def judge(
    answer: WebhookResponse, sent: Sent, schedule: Sequence[int], at: datetime, *, outdated: bool = False
) -> Outcome:
    """Say what follows from an answer: delivered, another try, failed for good, or parked by a 410.

    One that failed with what was changed meanwhile (`outdated`) is tried again at once. One that was sent by
    Send now keeps its place in the schedule.
    """
    failure = answer.failure
    if failure is None:
        return Outcome(answer, sent, State.DELIVERED, None, None)
    if outdated:
        return Outcome(answer, sent, State.WAITING, at, failure.words, counted=0, outdated=True)
    if answer.status == GONE:
        return Outcome(answer, sent, State.PARKED, None, failure.words)
    counted = 0 if sent.pressed and sent.attempts_on_schedule else 1
    delay = next_delay(schedule, sent.attempts_on_schedule + counted)
    if delay is None:
        return Outcome(answer, sent, State.FAILED, None, failure.words, counted)
    delay = max(delay, answer.retry_after or 0)
    return Outcome(answer, sent, State.WAITING, at + timedelta(seconds=delay), failure.words, counted)


def revisions(session: Session, webhook_ids: Collection[int]) -> dict[int, int]:
    """Return the revision of each webhook, and lock them until the transaction ends."""
    if not webhook_ids:
        return {}
    statement = HEALTH if is_sqlite(session) else LOCK
    return {row.id: row.revision for row in session.execute(statement, {"ids": list(webhook_ids)})}


def record(session: Session, outcomes: Sequence[Outcome], schedule: Sequence[int], at: datetime) -> None:
    """Write a batch of outcomes, and what they mean for the webhooks."""
    write = writer(session)
    ended_at = write(at)
    rows = sorted(_delivery_row(outcome, ended_at, write) for outcome in outcomes)
    matched = DELIVERY.run(session, rows)  # by their ids, so that two workers never wait for each other
    if matched != len(outcomes):
        _record_late(session, outcomes, at)
    ATTEMPTS.run(session, [_attempt_row(outcome, write) for outcome in outcomes])
    ended = [one.answer.request.delivery_id for one in outcomes if _frees_next(one)]
    if ended:
        UNBLOCK.run(session, ended, at=at)
    gone = {one.answer.request.webhook_id for one in outcomes if one.state is State.PARKED}
    if gone:
        session.execute(OFF, {"ids": list(gone), "reason": OffReason.GONE.value, "at": at})
    _record_successes(session, outcomes, at)
    if runs := _trailing_failures(outcomes):
        _record_failures(session, runs, schedule, at)
    _leave_alone(session, outcomes, at)


Write = Callable[[datetime], str]  # as the database reads an instant


def _delivery_row(outcome: Outcome, at: str, write: Write) -> tuple[Any, ...]:
    """Return the values of DELIVERY's columns; the id stands first."""
    state, request = outcome.state, outcome.answer.request
    return (
        request.delivery_id,
        outcome.sent.renewed or request.claim,
        state.value,
        write(outcome.due_at) if outcome.due_at else None,
        outcome.answer.status,
        outcome.reason,
        at if state is State.DELIVERED or state is State.FAILED else None,
        at if state is State.PARKED else None,
        outcome.counted,
    )


def _record_late(session: Session, outcomes: Sequence[Outcome], at: datetime) -> None:
    late = [
        {"id": one.answer.request.delivery_id, "status": one.answer.status, "finished_at": at}
        for one in outcomes
        if one.success
    ]
    if late:
        session.execute(LATE, late)


def _attempt_row(outcome: Outcome, write: Write) -> tuple[Any, ...]:
    """Return the values of the columns of ATTEMPTS."""
    answer = outcome.answer
    request, failure, times = answer.request, answer.failure, answer.timings
    return (
        request.delivery_id,
        request.webhook_id,
        request.number,
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
    """Return whether what waits behind this delivery may go: it is final, or has failed often enough."""
    return (
        outcome.state is not State.WAITING
        or outcome.sent.attempts_on_schedule + outcome.counted >= TRIES_THAT_HOLD
    )


def _record_successes(session: Session, outcomes: Sequence[Outcome], at: datetime) -> None:
    """End the backoff of the webhooks that answer again, and release what waits there."""
    succeeded = {one.answer.request.webhook_id for one in outcomes if one.success}
    found = RECOVERED.run(session, succeeded).all() if succeeded else ()
    for webhook_id, failures, refused, denied in sorted(found):  # in one order, as above
        everything = len(_ids(refused)) >= REFUSED_BEFORE_HOLD or len(_ids(denied)) >= DENIED_BEFORE_HOLD
        most = None if everything else failures
        released_at = at if failures else None
        session.execute(HEALTHY, {"id": webhook_id, "released_at": released_at, "most": most})
        if failures and release(session, webhook_id, at, since=at, most=most) == RELEASE_STEP:
            session.execute(GOES_ON, {"webhook": webhook_id, "goes_on": True})


@dataclass(slots=True)
class Run:
    """The failures of a webhook in a batch since its last success in it."""

    endpoint: int = 0  # how many speak about the endpoint
    refused: list[int] = field(default_factory=list)  # the events of those that speak about the event
    denied: list[int] = field(default_factory=list)  # of these those with 401, 403, 404, 405
    probed: bool = False


def _trailing_failures(outcomes: Sequence[Outcome]) -> dict[int, Run]:
    runs: dict[int, Run] = {}
    for outcome in outcomes:
        webhook_id = outcome.answer.request.webhook_id
        if outcome.success:
            runs.pop(webhook_id, None)
        elif not outcome.says_nothing:
            run = runs.setdefault(webhook_id, Run())
            run.probed = run.probed or outcome.sent.probe
            if outcome.about is About.ENDPOINT:
                run.endpoint += 1
                continue
            run.refused.append(outcome.sent.event_id)
            if outcome.about is About.DENIED:
                run.denied.append(outcome.sent.event_id)
    return runs


def _record_failures(
    session: Session, runs: Mapping[int, Run], schedule: Sequence[int], at: datetime
) -> None:
    """Count what speaks about the endpoints, which `revisions` has locked; back those off that keep failing.

    A backoff that stands is not lengthened but by its own probe. A probe whose event was refused has found a
    receiver that is there: the next one follows soon.
    """
    for row in session.execute(HEALTH, {"ids": list(runs)}).all():
        run = runs[row.id]
        refused = _together(row.refused_events, run.refused, REFUSED_BEFORE_HOLD)
        denied = _together(row.denied_events, run.denied, DENIED_BEFORE_HOLD)
        failures = row.failures + run.endpoint
        if run.refused and len(refused) >= REFUSED_BEFORE_HOLD:
            failures = max(failures + len(run.refused), REFUSED_BEFORE_HOLD)
        elif run.denied and len(denied) >= DENIED_BEFORE_HOLD:
            failures = max(failures + len(run.denied), DENIED_BEFORE_HOLD)
        counted = failures > row.failures
        failing_since = (row.failing_since or at) if counted else row.failing_since
        hold_until = row.hold_until
        standing = hold_until is not None and hold_until > at and not run.probed
        if failures >= FAILURES_BEFORE_BACKOFF and not standing and (counted or run.probed):
            failing_for = (at - failing_since).total_seconds() if counted and failing_since else 0
            hold_until = at + timedelta(seconds=backoff_delay(schedule, failing_for))
        values = {"failures": failures, "failing_since": failing_since, "hold_until": hold_until}
        events = {"refused_events": _joined(refused), "denied_events": _joined(denied)}
        session.execute(FAILING, {"id": row.id, **values, **events})


def _ids(text: str) -> list[int]:
    return [int(one) for one in text.split(",") if one]


def _joined(ids: Sequence[int]) -> str:
    return ",".join(map(str, ids))


def _together(before: str, more: Sequence[int], most: int) -> list[int]:
    """Return the different ids of both, at most so many: a retry of an event is no other event."""
    return list(dict.fromkeys((*_ids(before), *filter(None, more))))[:most]


def _leave_alone(session: Session, outcomes: Sequence[Outcome], at: datetime) -> None:
    """Leave webhooks alone for as long as one of their answers asked for, whatever the others were."""
    for outcome in outcomes:
        asked = outcome.answer.retry_after
        if asked and not outcome.outdated:
            until = at + timedelta(seconds=asked)
            session.execute(ASKED, {"id": outcome.answer.request.webhook_id, "until": until})
