"""What the worker does besides delivering: steps, each a short transaction."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from calapp.config import settings
from calapp.db import database_now
from calapp.deliveries import health
from calapp.deliveries.claims import ready
from calapp.deliveries.feed import kept_since
from calapp.deliveries.models import Attempt, Delivery, Event, Notice, Replay, State, in_state, waiting_at
from calapp.deliveries.notices import tell
from calapp.deliveries.outbox import ATTEMPTS_THAT_BLOCK
from calapp.deliveries.policy import FAILURES_BEFORE_BACKOFF
from calapp.statements import Plain
from calapp.webhooks.models import OffReason, Trigger, Webhook, WebhookChange
from calapp.webhooks.service import switch_off

STEP = 1000  # rows that one step changes
PRUNE_STEP = 100  # attempts, and bodies, that one step removes
KEEP_PARKED = timedelta(days=90)
GIVE_UP = timedelta(days=5)  # after which a webhook whose every attempt failed is switched off
ENOUGH_ATTEMPTS = 20
DELETED = "Discarded: its webhook was deleted."

# Whether `anything_due` may find something: one probe, when all that waits comes due later. PostgreSQL finds
# by an index what is compared with a clock that it asks once, by its SELECT.
DELIVERIES_DUE = Plain(
    "SELECT 1 FROM delivery WHERE state = 'waiting' AND due_at <= :now ORDER BY due_at LIMIT 1",
    """SELECT 1 FROM delivery WHERE state = 'waiting' AND due_at <= (SELECT clock_timestamp())
  ORDER BY due_at LIMIT 1""",
)

# Whether anything waits behind another delivery.
BEHIND = Plain(
    "SELECT 1 FROM delivery WHERE after_id IS NOT NULL AND state = 'waiting' ORDER BY after_id LIMIT 1"
)


def anything_due(session: Session) -> bool:
    """Return whether there is something to claim just now."""
    return bool(ready(session, database_now(session)))


def park_waiting(session: Session) -> int:
    """Park a step of what still waits for webhooks that are off; return how many."""
    some = exists().where(waiting_at(Webhook.id))
    off = session.scalars(
        select(Webhook.id).where(Webhook.active.is_(False), Webhook.deleted_at.is_(None), some)
    ).all()
    values: dict[str, object] = {"state": State.PARKED, "due_at": None, "after_id": None, "claim": None}
    values |= {"pressed_at": None, "parked_at": database_now(session)}
    values["reason"] = "The webhook was switched off before this could be delivered."
    count = 0
    for webhook_id in off:
        ids = _ids(session, waiting_at(webhook_id))
        _change(session, ids, values)
        count += len(ids)
    return count


def free_left_behind(session: Session) -> int:
    """Make due what waits behind a delivery that is final, gone, or has failed often enough."""
    ids = left_behind(session)
    _change(session, ids, {"due_at": database_now(session), "after_id": None})
    return len(ids)


def left_behind(session: Session) -> Sequence[int]:
    """Return a step of what waits behind a delivery that holds nothing up any more."""
    earlier = aliased(Delivery)
    waits = and_(earlier.state == State.WAITING, earlier.attempts_on_schedule < ATTEMPTS_THAT_BLOCK)
    undecided = and_(earlier.state == State.PARKED, Delivery.due_at.is_not(None))  # until then at the latest
    holding = exists().where(earlier.id == Delivery.after_id, or_(waits, undecided))
    return _ids(session, Delivery.after_id.is_not(None), Delivery.state == State.WAITING, ~holding)


def bring_forward(session: Session, by: timedelta) -> None:
    """Bring what is still to come forward by so much: retries, leases, and the pauses of webhooks."""
    at = database_now(session)
    for column, where in (
        (Delivery.due_at, Delivery.state == State.WAITING),
        (Webhook.backoff_until, Webhook.deleted_at.is_(None)),
        (Webhook.retry_after_until, Webhook.deleted_at.is_(None)),
        (Webhook.limited_until, Webhook.deleted_at.is_(None)),
    ):
        table, name = column.class_, column.key
        rows = session.execute(select(table.id, column).where(where, column > at)).all()
        values = [{"id": key, name: max(at, moment - by)} for key, moment in rows]
        if values:
            session.execute(update(table), values)


def discard_of_deleted(session: Session) -> int:
    """Discard a step of what waits or is parked for webhooks that were deleted; return how many."""
    parked = exists().where(Delivery.webhook_id == Webhook.id, in_state(State.PARKED))
    query = select(Webhook.id).where(
        Webhook.deleted_at.is_not(None), or_(exists().where(waiting_at(Webhook.id)), parked)
    )
    webhook_id = session.scalar(query.limit(1))
    if webhook_id is None:
        return 0
    parked_here = and_(Delivery.webhook_id == webhook_id, in_state(State.PARKED))
    ids = [*_ids(session, waiting_at(webhook_id)), *_ids(session, parked_here)][:STEP]
    values: dict[str, object] = {"state": State.EXPIRED, "due_at": None, "after_id": None, "claim": None}
    values |= {"pressed_at": None, "finished_at": database_now(session), "reason": DELETED}
    _change(session, ids, values)
    return len(ids)


def remove_deleted(session: Session) -> int:
    """Remove a step of the rows of webhooks deleted so long ago that their log is no longer kept.

    In the end the webhook itself goes. Returns how many.
    """
    query = select(Webhook.id).where(Webhook.deleted_at < kept_since(session))
    webhook_id = session.scalar(query.limit(1))
    if webhook_id is None:
        return 0
    ids = _ids(session, Delivery.webhook_id == webhook_id)
    if ids:
        session.execute(delete(Attempt).where(Attempt.delivery_id.in_(ids)))
        session.execute(delete(Delivery).where(Delivery.id.in_(ids)))
        return len(ids)
    for table in (Notice, Replay, WebhookChange):
        session.execute(delete(table).where(table.webhook_id == webhook_id))
    session.execute(delete(Webhook).where(Webhook.id == webhook_id))
    return 1


def expire_parked(session: Session) -> int:
    """Discard a step of what has been parked for 90 days, with a notice a day at most.

    Returns STEP while there may be more, of this webhook or another, and then 0.
    """
    at = database_now(session)
    old = (in_state(State.PARKED), Delivery.parked_at < at - KEEP_PARKED)
    webhook_id = session.scalar(select(Delivery.webhook_id).where(*old).limit(1))
    if webhook_id is None:
        return 0
    _tell_expired(session, session.get_one(Webhook, webhook_id), at, *old)
    ids = _ids(session, Delivery.webhook_id == webhook_id, *old)
    reason = "It was parked for 90 days while the webhook was off."
    _change(session, ids, {"state": State.EXPIRED, "reason": reason, "finished_at": at})
    return STEP


def _tell_expired(session: Session, webhook: Webhook, at: datetime, *old: ColumnElement[bool]) -> None:
    told = select(Notice.id).where(
        Notice.webhook_id == webhook.id, Notice.kind == "expired", Notice.created_at > at - timedelta(days=1)
    )
    if session.scalar(told.limit(1)) is None:
        query = select(func.count()).select_from(Delivery).where(Delivery.webhook_id == webhook.id, *old)
        count = session.scalar(query) or 0
        events = "1 event that was" if count == 1 else f"{count:,} events that were"
        tell(
            session,
            webhook,
            "expired",
            f"{events} parked for 90 days expired. More will expire while the webhook is off.",
        )


def watch_failing(session: Session) -> int:
    """Warn the owners of webhooks that keep failing, and switch off those that have for five days.

    Returns how many were told. One is switched off after at least 20 attempts; a warning may come before.
    """
    at = database_now(session)
    failing = health.locked(
        session,
        Webhook.active,
        Webhook.deleted_at.is_(None),
        Webhook.failures >= FAILURES_BEFORE_BACKOFF,
        Webhook.failing_since < at - GIVE_UP / 4,
    )
    return sum(_watch(session, webhook, at) for webhook in failing)


def _watch(session: Session, webhook: Webhook, at: datetime) -> bool:
    since = webhook.failing_since or at
    if at - since >= GIVE_UP and webhook.failures >= ENOUGH_ATTEMPTS:
        switch_off(webhook, OffReason.FAILING)
        text = "Every attempt has failed for five days, so this webhook was switched off."
        tell(session, webhook, "switched_off", text)
        health.announce(session, webhook, Trigger.WEBHOOK_DISABLED, text)
        return True
    quarters = min(3, int((at - since) / (GIVE_UP / 4)))
    lately = webhook.alerted_at is not None and webhook.alerted_at > at - health.EMAIL_PAUSE
    if quarters <= webhook.warnings or lately:
        return False
    webhook.warnings = quarters
    date = f"{max(at, since + GIVE_UP):%d %B %Y, %H:%M} UTC"
    begun = f"{since:%d %B %Y, %H:%M} UTC"
    text = f"Every attempt since {begun} has failed. Unless one succeeds, it will be switched off on {date}."
    tell(session, webhook, "warning", text, date)
    webhook.alerted_at = at
    return True


def tell_gone(session: Session) -> int:
    """Tell the owners of webhooks that were switched off by a 410; return how many were told."""
    told = exists().where(
        Notice.webhook_id == Webhook.id, Notice.kind == "switched_off", Notice.created_at >= Webhook.off_at
    )
    gone = health.locked(session, Webhook.off_reason == OffReason.GONE, Webhook.deleted_at.is_(None), ~told)
    for webhook in gone:
        text = "It responded with 410 Gone, which means that it wants no more events, so it was switched off."
        tell(session, webhook, "switched_off", text)
        health.announce(session, webhook, Trigger.WEBHOOK_DISABLED, text)
    return len(gone)


def prune(session: Session) -> int:
    """Remove a step of what is older than the settings keep: attempts, and bodies that nothing needs.

    A step is short, since nobody else writes to SQLite meanwhile. Returns STEP while there may be more.
    """
    before = kept_since(session)
    old = session.scalars(
        select(Attempt.id).where(*_old_attempts(before)).order_by(Attempt.at).limit(PRUNE_STEP)
    ).all()
    unneeded = select(Event.id).where(*_unneeded(before)).order_by(Event.created_at)
    events = session.scalars(unneeded.limit(PRUNE_STEP)).all()
    changed = select(WebhookChange.id).where(WebhookChange.at < before - KEEP_PARKED).limit(STEP)
    changes = session.scalars(changed).all()
    with_body = and_(Delivery.event_id.in_(events), Delivery.body.is_not(None))
    for ids, statement in (
        (old, delete(Attempt).where(Attempt.id.in_(old))),
        (events, update(Event).where(Event.id.in_(events)).values(body=None, trace_state=None)),
        (events, update(Delivery).where(with_body).values(body=None)),
        (changes, delete(WebhookChange).where(WebhookChange.id.in_(changes))),
    ):
        if ids:
            session.execute(statement, execution_options={"synchronize_session": False})
    return STEP if PRUNE_STEP in {len(old), len(events)} else len(old) + len(events)


def remove_finished(session: Session) -> int:
    """Remove a step of the deliveries that ended longer ago than they are kept, and of events without any.

    Of the oldest rows only, so that a table of years is never looked through.
    """
    before = _removed_before(session)
    if before is None:
        return 0
    oldest = select(Delivery.id).order_by(Delivery.id).limit(STEP)
    ended = and_(Delivery.created_at < before, Delivery.state.not_in((State.WAITING, State.PARKED)))
    ids = _ids(session, Delivery.id.in_(oldest), ended)
    session.execute(delete(Attempt).where(Attempt.delivery_id.in_(ids)))
    session.execute(delete(Delivery).where(Delivery.id.in_(ids)))
    first = select(Event.id).order_by(Event.id).limit(STEP)
    told = exists().where(Delivery.event_id == Event.id)
    old = select(Event.id).where(Event.id.in_(first), Event.created_at < before, ~told)
    events = session.scalars(old).all()
    session.execute(delete(Event).where(Event.id.in_(events)))
    return max(len(ids), len(events))


def _removed_before(session: Session) -> datetime | None:
    days = settings().delivery_retention_days
    kept = timedelta(days=max(days, settings().retention_days))
    return database_now(session) - kept if days else None


def count_removable(session: Session) -> tuple[int, int, int]:
    """Return how many attempts and bodies of events `prune` would remove, deliveries `remove_finished`."""
    before = kept_since(session)
    attempts = session.scalar(select(func.count(Attempt.id)).where(*_old_attempts(before)))
    events = session.scalar(select(func.count(Event.id)).where(*_unneeded(before)))
    deliveries = None
    if (over := _removed_before(session)) is not None:
        ended = Delivery.state.not_in((State.WAITING, State.PARKED))
        deliveries = session.scalar(select(func.count(Delivery.id)).where(Delivery.created_at < over, ended))
    return attempts or 0, events or 0, deliveries or 0


def _old_attempts(before: datetime) -> list[ColumnElement[bool]]:
    return [Attempt.at < before, _needed(Delivery.id == Attempt.delivery_id).is_(None)]


def _unneeded(before: datetime) -> list[ColumnElement[bool]]:
    needed = _needed(Delivery.event_id == Event.id)
    return [Event.created_at < before, Event.body.is_not(None), needed.is_(None)]


def _needed(these: ColumnElement[bool]) -> ColumnElement[int | None]:
    """Select one of these deliveries that has not ended, looked up for each row, the oldest first.

    For a NOT EXISTS PostgreSQL would look at all that is old, or at all deliveries, to take some hundred.
    """
    open_ones = select(Delivery.id).where(these, Delivery.state.in_((State.WAITING, State.PARKED)))
    return open_ones.limit(1).scalar_subquery()


def _ids(session: Session, *conditions: object) -> Sequence[int]:
    return session.scalars(select(Delivery.id).where(*conditions).limit(STEP)).all()  # type: ignore[arg-type]


def _change(session: Session, ids: Sequence[int], values: dict[str, object]) -> None:
    if ids:
        session.execute(
            update(Delivery)
            .where(Delivery.id.in_(ids))
            .values(**values)
            .execution_options(synchronize_session=False)
        )
