"""Claiming: which deliveries are sent next, taken under a lease in one short transaction."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, String, bindparam, text
from sqlalchemy.orm import Session

from calapp.db import UTCDateTime, database_now, is_sqlite
from calapp.deliveries.batches import ByIds
from calapp.deliveries.fairness import FAILURES_TO_ONE, Ready
from calapp.deliveries.models import State
from calapp.webhooks.models import Webhook

# One index probe for each endpoint that has something waiting, however long its backlog is.
READY = (
    text("""
WITH RECURSIVE endpoint(id) AS (
  SELECT min(webhook_id) FROM delivery WHERE state = 'waiting' AND due_at IS NOT NULL
  UNION ALL
  SELECT (SELECT min(webhook_id) FROM delivery
          WHERE state = 'waiting' AND due_at IS NOT NULL AND webhook_id > endpoint.id)
  FROM endpoint WHERE endpoint.id IS NOT NULL
), waiting AS (
  SELECT webhook.id, webhook.failures,
    (SELECT min(due_at) FROM delivery
     WHERE webhook_id = webhook.id AND state = 'waiting' AND due_at IS NOT NULL) AS first_due
  FROM endpoint JOIN webhook ON webhook.id = endpoint.id
  WHERE webhook.active AND webhook.deleted_at IS NULL
    AND (webhook.hold_until IS NULL OR webhook.hold_until <= :now)
    AND (webhook.asked_until IS NULL OR webhook.asked_until <= :now)
)
SELECT id, failures, first_due FROM waiting WHERE first_due <= :now
""")
    .bindparams(bindparam("now", type_=UTCDateTime))
    .columns(first_due=UTCDateTime)
)

ROW = """d.id, d.webhook_id, d.attempts, d.tries, d.manual, d.body, d.content_type, d.expires_at,
  event.uid AS event_uid, event.body AS event_body,
  event.trigger, event.subject"""
TYPES: dict[str, Any] = {"expires_at": UTCDateTime}

PICK_SQLITE = """SELECT * FROM (SELECT * FROM delivery WHERE webhook_id = {webhook:d} AND state = 'waiting'
  AND due_at <= :now ORDER BY due_at, id LIMIT {quota:d})"""

PICK_POSTGRESQL = (
    text(f"""
SELECT {ROW} FROM unnest(CAST(:webhooks AS integer[]), CAST(:quotas AS integer[])) AS endpoint(id, quota)
CROSS JOIN LATERAL (
  SELECT * FROM delivery WHERE webhook_id = endpoint.id AND state = 'waiting' AND due_at <= :now
  ORDER BY due_at, id LIMIT endpoint.quota FOR UPDATE SKIP LOCKED
) AS d JOIN event ON event.id = d.event_id
""")
    .bindparams(bindparam("now", type_=UTCDateTime))
    .columns(**TYPES)
)

# One index probe for each; a number, because databases differ in what a comparison returns.
LAST_TRIES = ByIds("""SELECT id, (
  SELECT CASE WHEN failure IS NULL THEN 1 ELSE 0 END FROM attempt
  WHERE webhook_id = webhook.id ORDER BY at DESC LIMIT 1
) AS success FROM webhook WHERE id {among}""")

WEBHOOKS = ByIds(
    """SELECT id, subscriber_url, headers, secret, old_secret, old_secret_until, failures
FROM webhook WHERE id {among} AND active AND deleted_at IS NULL""",
    old_secret_until=UTCDateTime,
    headers=Webhook.__table__.c.headers.type,
)

LEASE = ByIds(
    "UPDATE delivery SET due_at = :until, claim = :token, attempts = attempts + 1 WHERE id {among}",
    bindparam("until", type_=UTCDateTime),
)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one worker process has taken: rows, their webhooks by id, and the token that proves it."""

    token: str
    at: datetime
    rows: Sequence[Row[Any]]
    webhooks: Mapping[int, Row[Any]]


def ready(session: Session) -> list[Ready]:
    """Return the endpoints that have something due, with a plain read that takes no lock."""
    found = session.execute(READY, {"now": database_now(session)})
    return [Ready(row.id, row.failures, row.first_due) for row in found]


def last_tries(session: Session, webhook_ids: Collection[int]) -> dict[int, bool | None]:
    """Say of each webhook whether its newest try succeeded; None: there is none."""
    found = LAST_TRIES.run(session, webhook_ids)
    return {row.id: None if row.success is None else bool(row.success) for row in found}


def claim(session: Session, quotas: Mapping[int, int], lease: timedelta) -> Claim:
    """Take due deliveries, at most so many for each webhook id; they come due again when the lease ends.

    Those about a moment that has passed are marked expired instead, as are those whose body is gone.
    """
    at = database_now(session)
    token = secrets.token_hex(8)
    rows = _picked(session, quotas, at)
    webhooks = _webhooks(session, {row.webhook_id for row in rows})
    pointless = {row.id: reason for row in rows if (reason := _pointless(row, at))}
    taken = [row for row in rows if row.id not in pointless and row.webhook_id in webhooks]
    for reason in set(pointless.values()):
        _expire(session, [key for key, why in pointless.items() if why == reason], reason, at)
    if taken:
        LEASE.run(session, [row.id for row in taken], token=token, until=at + lease)
        _hold_failing(session, {row.webhook_id: webhooks[row.webhook_id] for row in taken}, at + lease)
    return Claim(token, at, taken, webhooks)


def _pointless(row: Row[Any], at: datetime) -> str | None:
    """Say why a delivery is not sent any more, or None."""
    if row.expires_at is not None and row.expires_at <= at:
        return "The moment that this is about had passed before it could be sent."
    if row.body is None and row.event_body is None:
        return "Its body is no longer kept."  # pruned in the moment in which it was sent again by hand
    return None


def _picked(session: Session, quotas: Mapping[int, int], at: datetime) -> Sequence[Row[Any]]:
    if not is_sqlite(session):
        values = {"webhooks": list(quotas), "quotas": list(quotas.values()), "now": at}
        return session.execute(PICK_POSTGRESQL, values).all()
    parts = (PICK_SQLITE.format(webhook=webhook, quota=quota) for webhook, quota in quotas.items())
    picked = " UNION ALL ".join(parts)
    query = text(f"SELECT {ROW} FROM ({picked}) AS d JOIN event ON event.id = d.event_id")
    typed = query.bindparams(bindparam("now", type_=UTCDateTime)).columns(**TYPES)
    return session.execute(typed, {"now": at}).all()


def _webhooks(session: Session, ids: set[int]) -> dict[int, Row[Any]]:
    if not ids:
        return {}
    return {row.id: row for row in WEBHOOKS.run(session, ids)}


def _hold_failing(session: Session, webhooks: Mapping[int, Row[Any]], until: datetime) -> None:
    """Keep other processes from a webhook that is being probed; the answer sets its hold anew."""
    failing = [key for key, row in webhooks.items() if row.failures >= FAILURES_TO_ONE]
    if failing:
        session.execute(
            text("UPDATE webhook SET hold_until = :until WHERE id IN :ids").bindparams(
                bindparam("ids", expanding=True), bindparam("until", type_=UTCDateTime)
            ),
            {"ids": failing, "until": until},
        )


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
