"""Suspending an account, and removing one with everything in it, in steps."""

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, delete, exists, or_, select
from sqlalchemy.orm import Session

from calapp.accounts.models import Removal, User
from calapp.accounts.service import close_account
from calapp.bookings.models import Booking, Notification
from calapp.bookings.service import cancel
from calapp.bookings.times import ACTIVE
from calapp.db import Model, database_now
from calapp.deliveries.models import Delivery, State
from calapp.mail import Email
from calapp.webhooks.models import OffReason, Webhook
from calapp.webhooks.service import switch_off

STEP = 200  # rows that one transaction removes
CANCELS = 10  # bookings that one transaction cancels, with an event and emails each
LAST_WORDS = timedelta(hours=24)  # for the last emails and deliveries to go out before everything is removed
REASON = "The account of the host was deleted."


def suspend(session: Session, user: User) -> int:
    """Close an account and switch its webhooks off; return how many these were."""
    close_account(session, user)
    active = session.scalars(select(Webhook).where(Webhook.user_id == user.id, Webhook.active)).all()
    for webhook in active:
        switch_off(webhook, OffReason.SUSPENDED)
    return len(active)


def remove_accounts(session: Session) -> int:
    """Do one step of removing the accounts that are to be removed; return STEP while more is to be done.

    First the upcoming bookings are cancelled, if the host wished so; then what they caused is sent, for a day
    at most; then all goes, the rows that refer to others first.
    """
    closed = select(User).where(User.removal.is_not(None)).order_by(User.id)
    for user in session.scalars(closed.with_for_update(skip_locked=True)).all():
        if user.removal == Removal.CANCEL:
            upcoming = select(Booking).where(Booking.host_id == user.id, Booking.status.in_(ACTIVE))
            upcoming = upcoming.where(Booking.starts_at > database_now(session)).order_by(Booking.id)
            bookings = session.scalars(upcoming.limit(CANCELS)).all()
            for booking in bookings:
                cancel(session, booking, by=user.email, reason=REASON)
            if bookings:
                return STEP
        if not _has_last_words(session, user) and _remove_step(session, user):
            return STEP
    return 0


def _has_last_words(session: Session, user: User) -> bool:
    at = database_now(session)
    if user.closed_at is None or user.closed_at < at - LAST_WORDS:
        return False
    emails = exists().where(Email.user_id == user.id, Email.due_at.is_not(None))
    waiting = select(Delivery.id).join(Webhook, Webhook.id == Delivery.webhook_id)
    waiting = waiting.where(Webhook.user_id == user.id, Webhook.active, Delivery.state == State.WAITING)
    unwritten = exists().where(Notification.user_id == user.id)
    return bool(session.scalar(select(or_(emails, unwritten, waiting.exists()))))


def _remove_step(session: Session, user: User) -> bool:
    """Remove some rows of the first table that has any, at last the user; return whether there were any."""
    for table in reversed(Model.metadata.sorted_tables):
        owned = _owned(table, user.id)
        if owned is None:
            continue
        # The newest first: rows of one table refer to older ones.
        keys = list(table.primary_key.columns)
        rows = session.execute(select(*keys).where(owned).order_by(*(key.desc() for key in keys)).limit(STEP))
        found = rows.all()
        for row in found:
            session.execute(
                delete(table).where(*(key == value for key, value in zip(keys, row, strict=True)))
            )
        if found:
            return True
    return False


def _owned(table: Table, user_id: int) -> ColumnElement[bool] | None:
    """Return the condition of the rows of a table that lead to a user; None where none do."""
    if table is User.__table__:
        condition: ColumnElement[bool] = table.c.id == user_id
        return condition
    conditions: list[ColumnElement[bool]] = []
    for key in table.foreign_keys:
        parent = key.column.table
        if parent is table:
            continue
        if parent is User.__table__:
            conditions.append(key.parent == user_id)
        elif (owned := _owned(parent, user_id)) is not None:
            parents: Select[Any] = select(key.column).where(owned)
            conditions.append(key.parent.in_(parents))
    return or_(*conditions) if conditions else None
