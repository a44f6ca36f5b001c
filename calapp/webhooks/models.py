"""Who asked to be told, and how their endpoint is doing."""

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from calapp.clock import now
from calapp.db import UTCDateTime, db
from calapp.event_types.models import EventType


class OffReason(StrEnum):
    """Why a webhook is off."""

    HOST = "host"  # switched off by hand
    GONE = "gone"  # it answered 410
    FAILING = "failing"  # every try failed for five days


class Settling(StrEnum):
    """What becomes of a webhook's parked events, in steps."""

    SEND = "send"  # in the order in which they happened
    DROP = "drop"


class Webhook(db.Model):
    """A subscriber URL and the triggers it wants; of the host, or of one event type."""

    __tablename__ = "webhook"
    # One URL once per host and scope; two partial indexes, since NULL never equals NULL.
    __table_args__ = (
        Index(
            "uq_webhook_url_host",
            "user_id",
            "subscriber_url",
            unique=True,
            sqlite_where=text("deleted_at IS NULL AND event_type_id IS NULL"),
            postgresql_where=text("deleted_at IS NULL AND event_type_id IS NULL"),
        ),
        Index(
            "uq_webhook_url_event_type",
            "event_type_id",
            "subscriber_url",
            unique=True,
            sqlite_where=text("deleted_at IS NULL AND event_type_id IS NOT NULL"),
            postgresql_where=text("deleted_at IS NULL AND event_type_id IS NOT NULL"),
        ),
        Index(
            "ix_webhook_settling",
            "id",
            sqlite_where=text("settling IS NOT NULL"),
            postgresql_where=text("settling IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(
        String(36), unique=True, default=lambda: str(uuid.uuid4())
    )  # the API's id
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    event_type_id: Mapped[int | None] = mapped_column(ForeignKey("event_type.id"))
    api_key_id: Mapped[int | None] = mapped_column(
        ForeignKey("api_key.id")
    )  # the key that made it, if one did
    subscriber_url: Mapped[str] = mapped_column(String(2000))
    triggers: Mapped[list[str]] = mapped_column(JSON)
    active: Mapped[bool] = mapped_column(default=True)
    off_reason: Mapped[OffReason | None] = mapped_column(String(10))
    off_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    settling: Mapped[Settling | None] = mapped_column(
        String(10)
    )  # while its parked events are sent or dropped
    settling_to: Mapped[int | None]  # the last delivery that was parked when this was decided
    payload_template: Mapped[str | None] = mapped_column(Text)
    headers: Mapped[list[list[str]]] = mapped_column(JSON, default=list)  # [[name, value], ...]
    secret: Mapped[str | None] = mapped_column(String(500))
    old_secret: Mapped[str | None] = mapped_column(String(500))
    old_secret_until: Mapped[datetime | None] = mapped_column(UTCDateTime)

    # The endpoint's health, written by the delivery engine.
    failures: Mapped[int] = mapped_column(default=0)  # in a row
    failing_since: Mapped[datetime | None] = mapped_column(UTCDateTime)
    hold_until: Mapped[datetime | None] = mapped_column(UTCDateTime)  # since it keeps failing
    asked_until: Mapped[datetime | None] = mapped_column(UTCDateTime)  # by its Retry-After
    warnings: Mapped[int] = mapped_column(
        default=0
    )  # 0 to 3: how many of the quarters were told to the owner

    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now, onupdate=now)
    deleted_at: Mapped[datetime | None] = mapped_column(UTCDateTime)

    event_type: Mapped[EventType | None] = relationship()
