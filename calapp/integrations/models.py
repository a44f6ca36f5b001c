"""What the built-in inspector got."""

import secrets
from datetime import datetime

from sqlalchemy import JSON, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from calapp.clock import now
from calapp.db import UTCDateTime, db


class Inspector(db.Model):
    """A host's built-in receiver and how it answers."""

    __tablename__ = "inspector"

    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), primary_key=True)
    token: Mapped[str] = mapped_column(String(43), unique=True, default=lambda: secrets.token_urlsafe(24))
    fail_next: Mapped[int] = mapped_column(default=0)  # how many requests are still answered with 500
    delay_seconds: Mapped[int] = mapped_column(default=0)


class InspectorRequest(db.Model):
    """A request that the inspector got."""

    __tablename__ = "inspector_request"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    received_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    headers: Mapped[list[list[str]]] = mapped_column(JSON)
    body: Mapped[str] = mapped_column(Text)
    trigger: Mapped[str | None] = mapped_column(String(40))
    signature: Mapped[str] = mapped_column(String(10))  # good, bad, none
    status: Mapped[int]  # what was answered
