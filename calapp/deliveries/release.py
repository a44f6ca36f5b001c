"""What waits at a webhook comes due at once, in steps: its receiver is back, or its host has mended it."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, select, text
from sqlalchemy.orm import Session

from calapp.db import UTCDateTime, database_now
from calapp.deliveries.retries import REFUSALS
from calapp.webhooks.models import Webhook

STEP = 1000  # rows that one transaction makes due

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
  ORDER BY due_at LIMIT :step)""").bindparams(  # noqa: S608 (our own numbers)
    bindparam("at", type_=UTCDateTime), bindparam("since", type_=UTCDateTime)
)

GOES_ON = text("UPDATE webhook SET releasing = :goes_on WHERE id = :webhook")


def release(
    session: Session, webhook_id: int, at: datetime, *, since: datetime, most: int | None = None
) -> int:
    """Make due a step of what waits at a webhook and was not tried since an instant; return how many.

    `most` is how often the endpoint had failed in a row; None releases what was refused, too.
    """
    values = {"webhook": webhook_id, "at": at, "since": since, "most": most, "step": STEP}
    return int(session.execute(RELEASE, values).rowcount)  # type: ignore[attr-defined]


def releasing(session: Session) -> Sequence[int]:
    """Return the webhooks of which more is to come due at once; a plain read."""
    return session.scalars(select(Webhook.id).where(text("releasing")).order_by(Webhook.id)).all()


def take_step(session: Session, webhook_id: int) -> int:
    """Make due the next step of a webhook that is being released; return how many deliveries it was."""
    query = select(Webhook.released_at, Webhook.releasing_tries).where(
        Webhook.id == webhook_id, text("releasing")
    )
    found = session.execute(query.with_for_update(key_share=True)).one_or_none()
    if found is None:
        return 0
    at = database_now(session)
    count = release(session, webhook_id, at, since=found.released_at or at, most=found.releasing_tries)
    if count < STEP:
        session.execute(GOES_ON, {"webhook": webhook_id, "goes_on": False})
    return count
