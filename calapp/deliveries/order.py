"""The order within a chain: of the deliveries that are made to wait, which stands behind which."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.broker import nudge
from calapp.db import after_commit, database_now
from calapp.deliveries.batches import ByRows, writer
from calapp.deliveries.models import Delivery, State, stands
from calapp.deliveries.outbox import TRIES_THAT_HOLD

PLACES = {"id": "integer", "after_id": "integer", "due_at": "timestamptz"}

WAIT = ByRows(
    """UPDATE delivery SET state = 'waiting', after_id = r.after_id, due_at = r.due_at, claim = NULL,
  tries = 0, reason = NULL {from_rows} WHERE delivery.id = r.id""",
    **PLACES,
)

# Sent by hand: it does not expire.
WAIT_AGAIN = ByRows(
    """UPDATE delivery SET state = 'waiting', after_id = r.after_id, due_at = r.due_at, claim = NULL,
  tries = 0, reason = NULL, manual = true, finished_at = NULL, expires_at = NULL
{from_rows} WHERE delivery.id = r.id""",
    **PLACES,
)

# What is out already cannot be called back; what was tried keeps its place in the schedule.
STAND_BEHIND = ByRows(
    """UPDATE delivery SET after_id = r.after_id, due_at = NULL {from_rows} WHERE delivery.id = r.id
  AND delivery.attempts = 0 AND (delivery.after_id IS NULL OR delivery.after_id <= r.after_id)""",
    id="integer",
    after_id="integer",
)


def queue_up(session: Session, webhook_id: int, rows: Sequence[tuple[int, str]], statement: ByRows) -> None:
    """Make deliveries (id, chain; oldest first) wait, the k-th of a chain behind the (k-1)-th; and nudge.

    `statement` is WAIT or WAIT_AGAIN.
    """
    if not rows:
        return
    at = writer(session)(database_now(session))
    waiting = _waiting(session, webhook_id, dict(rows))
    last: dict[str, int] = {}
    places: list[tuple[int, int | None, str | None]] = []
    for delivery_id, chain in rows:
        earlier = [one for one in waiting.get(chain, ()) if one < delivery_id]
        before = last.get(chain) or max(earlier, default=None)
        places.append((delivery_id, before, None if before else at))
        last[chain] = delivery_id
    statement.run(session, places)
    later = {chain: [one for one in waiting.get(chain, ()) if one > tail] for chain, tail in last.items()}
    behind = [(min(ids), last[chain]) for chain, ids in later.items() if ids]
    if behind:
        STAND_BEHIND.run(session, behind)
    after_commit(session, "nudge", nudge)


def _waiting(session: Session, webhook_id: int, rows: dict[int, str]) -> dict[str, list[int]]:
    """Return, for each chain of these rows, the ids of what else waits and holds later ones up."""
    found: dict[str, list[int]] = {}
    query = select(Delivery.chain, Delivery.id).where(
        Delivery.webhook_id == webhook_id,
        stands(State.WAITING),
        Delivery.tries < TRIES_THAT_HOLD,
        Delivery.chain.in_(set(rows.values())),
    )
    for chain, delivery_id in session.execute(query):
        if delivery_id not in rows:
            found.setdefault(chain, []).append(delivery_id)
    return found
