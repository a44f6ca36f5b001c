"""Events, their deliveries to webhooks, and every attempt."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    and_,
    false,
    literal,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from calapp.clock import now
from calapp.db import UTCDateTime, db, partial_index
from calapp.webhooks.models import Webhook


class State(StrEnum):
    """The state of a delivery; `delivered` is final for good, the other ends can be resent."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
    PARKED = "parked"  # its webhook is off
    EXPIRED = "expired"  # about a moment that has passed


class ReplayState(StrEnum):
    """The state of a replay."""

    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"


WAITING_WITH_TIME = text("state = 'waiting' AND due_at IS NOT NULL")


class Event(db.Model):
    """Something that happened, with the exact body that tells it; written in the transaction of the fact."""

    __tablename__ = "event"
    __table_args__ = (
        UniqueConstraint("user_id", "number"),
        UniqueConstraint("chain", "sequence"),
        partial_index("ix_event_to_prune", "created_at", where="body IS NOT NULL"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(String(40), unique=True)  # evt_…: the receiver's key against doubles
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    number: Mapped[int]  # of the host, from 1, without gaps: the feed's cursor
    trigger: Mapped[str] = mapped_column(String(40))
    event_type_id: Mapped[int | None]  # None: of no event type, or written by a version before this column
    chain: Mapped[str] = mapped_column(String(40))  # what the event is about: its first uid
    sequence: Mapped[int]  # within the chain, from 1
    subject: Mapped[str] = mapped_column(String(40), index=True)  # the uid that the event names
    search: Mapped[str] = mapped_column(Text, default="")  # lower-case text that the log's filter looks in
    body: Mapped[str | None] = mapped_column(Text)  # None once pruned
    trace: Mapped[str | None] = mapped_column(String(55))  # the traceparent that it was caused with
    trace_state: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    expires_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class Delivery(db.Model):
    """One event on its way to one webhook."""

    __tablename__ = "delivery"
    # Only what is waiting is indexed by time: an index over everything would walk the finished rows.
    __table_args__ = (
        partial_index("ix_delivery_due", "webhook_id", "due_at", "id", where=WAITING_WITH_TIME),
        partial_index("ix_delivery_next", "due_at", where=WAITING_WITH_TIME),
        partial_index("ix_delivery_after", "after_id", where="after_id IS NOT NULL"),
        partial_index("ix_delivery_open_chain", "webhook_id", "chain", "id", where="state = 'waiting'"),
        partial_index("ix_delivery_parked", "webhook_id", "id", where="state = 'parked'"),
        # What ended badly, for the log.
        partial_index("ix_delivery_failed", "webhook_id", "id", where="state = 'failed'"),
        partial_index("ix_delivery_expired", "webhook_id", "id", where="state = 'expired'"),
        partial_index("ix_delivery_parked_chain", "webhook_id", "chain", where="state = 'parked'"),
        # What ended badly, for /metrics to count.
        partial_index("ix_delivery_ended", "state", where="state IN ('failed', 'expired')"),
        Index("ix_delivery_log", "webhook_id", "id"),
        Index(
            "ix_delivery_template_failed",
            "webhook_id",
            sqlite_where=text("template_failed = 1"),
            postgresql_where=text("template_failed"),
        ),
        partial_index("ix_delivery_pressed", "id", where="pressed_at IS NOT NULL"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[int] = mapped_column(ForeignKey("event.id"), index=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhook.id"))
    chain: Mapped[str] = mapped_column(String(40))
    state: Mapped[State] = mapped_column(String(12), default=State.WAITING)
    # When it is next tried; while it is in flight, when its lease ends. None: behind another, or final.
    due_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    after_id: Mapped[int | None]  # the earlier delivery of its chain that it waits behind
    claim: Mapped[str | None] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0)  # claims: what X-Calapp-Attempt says
    attempts_on_schedule: Mapped[int] = mapped_column(
        "tries", default=0
    )  # stored attempts of the current schedule
    manual: Mapped[bool] = mapped_column(default=False)  # resent or replayed manually
    # When Send now was pressed: the next attempt asks neither the backoff nor Retry-After.
    pressed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    body: Mapped[str | None] = mapped_column(Text)  # only when a template made it differ from the event's
    content_type: Mapped[str | None] = mapped_column(String(60))  # likewise
    # Its template could not be rendered, so it has no body to be sent until it is rendered again.
    template_failed: Mapped[bool] = mapped_column(default=False, server_default=false())
    last_status: Mapped[int | None]
    reason: Mapped[str | None] = mapped_column(Text)  # why it failed, was parked or expired, in words
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    finished_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    parked_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # last, if ever
    expires_at: Mapped[datetime | None] = mapped_column(UTCDateTime)

    event: Mapped[Event] = relationship()
    webhook: Mapped[Webhook] = relationship()


def in_state(state: State) -> ColumnElement[bool]:
    """Compare a delivery's state with one that is written out, so that SQLite finds the partial index."""
    return Delivery.state == literal(state.value, literal_execute=True)


def waiting_at(webhook_id: Any) -> ColumnElement[bool]:
    """Return what waits at a webhook; the chain, which is always above nothing, leads SQLite to the index."""
    return and_(Delivery.webhook_id == webhook_id, in_state(State.WAITING), Delivery.chain > "")


def in_flight(row: Any, at: datetime) -> bool:
    """Return whether a delivery is being sent: it waits, and its lease has not ended."""
    leased = row.claim is not None and row.due_at is not None and row.due_at > at
    return bool(row.state == State.WAITING and leased)


class Attempt(db.Model):
    """One attempt of a delivery and its result; times in milliseconds, each phase by itself."""

    __tablename__ = "attempt"
    __table_args__ = (Index("ix_attempt_health", "webhook_id", "at"), Index("ix_attempt_at", "at"))

    id: Mapped[int] = mapped_column(primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("delivery.id", ondelete="CASCADE"), index=True)
    webhook_id: Mapped[int]
    number: Mapped[int]
    at: Mapped[datetime] = mapped_column(UTCDateTime)
    manual: Mapped[bool] = mapped_column(default=False)
    status: Mapped[int | None]
    failure_code: Mapped[str | None] = mapped_column(String(40))
    failure: Mapped[str | None] = mapped_column(Text)
    name_ms: Mapped[float | None]
    connect_ms: Mapped[float | None]
    tls_ms: Mapped[float | None]
    first_byte_ms: Mapped[float | None]
    total_ms: Mapped[float | None]
    response_headers: Mapped[str] = mapped_column(Text, default="")
    response_body: Mapped[str] = mapped_column(Text, default="")


class Replay(db.Model):
    """A time range of events that is being resent; maintenance continues it from `cursor`."""

    __tablename__ = "replay"

    id: Mapped[int] = mapped_column(primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhook.id"), index=True)
    from_at: Mapped[datetime] = mapped_column(UTCDateTime)
    to_at: Mapped[datetime] = mapped_column(UTCDateTime)
    only_failed: Mapped[bool]
    state: Mapped[ReplayState] = mapped_column(String(10), default=ReplayState.RUNNING)
    cursor: Mapped[int] = mapped_column(default=0)  # the last delivery's id that was looked at
    total: Mapped[int]
    done: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    finished_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class Notice(db.Model):
    """Something the owner of a webhook is told: warnings before it is switched off, and the end of it."""

    __tablename__ = "notice"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhook.id"))
    kind: Mapped[str] = mapped_column(String(20))  # warning, switched_off, expired, template
    text: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    mailed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    dismissed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
