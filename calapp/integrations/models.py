"""The built-in inspector, and what it has received."""

import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import JSON, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from calapp.clock import now
from calapp.db import UTCDateTime, db
from calapp.encryption import open_sealed, seal
from calapp.errors import KeyDoesNotFit

FORGOTTEN_SECRETS = "secrets_forgotten"  # the kind of a notice by `flask forget-secrets`
UNREADABLE = "(cannot be read: SECRET_KEY has changed)"
# What Calapp and the proxies before it send by themselves; any other header may carry a secret.
PLAIN = frozenset((
    "accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent",
    "webhook-id", "webhook-signature", "webhook-timestamp", "x-cal-signature-256", "x-cal-webhook-version",
    "x-calapp-attempt", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id",
))  # fmt: skip


class Inspector(db.Model):
    """A host's built-in receiver and how it responds."""

    __tablename__ = "inspector"

    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), primary_key=True)
    token: Mapped[str] = mapped_column(String(43), unique=True, default=lambda: secrets.token_urlsafe(24))
    fail_next: Mapped[int] = mapped_column(default=0)  # how many more requests get what follows
    status: Mapped[int] = mapped_column(default=500, server_default="500")
    body: Mapped[str] = mapped_column(Text, default="", server_default="")
    retry_after: Mapped[int | None]  # seconds
    delay_seconds: Mapped[int] = mapped_column(default=0)  # before any response


class InspectorRequest(db.Model):
    """A request that the inspector has received."""

    __tablename__ = "inspector_request"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    received_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    sealed_headers: Mapped[list[list[str]]] = mapped_column("headers", JSON)
    body: Mapped[str] = mapped_column(Text)  # its first INSPECTED_BODY_BYTES
    size: Mapped[int | None]  # bytes of the whole body; None where an earlier version has kept all of it
    trigger: Mapped[str | None] = mapped_column(String(40))
    signature: Mapped[str] = mapped_column(String(10))  # good, bad, none
    status: Mapped[int]  # of the response

    @property
    def full_size(self) -> int:
        """The bytes of the body as it was received."""
        return self.size if self.size is not None else len(self.body.encode())

    @property
    def headers(self) -> list[list[str]]:
        """The headers that were received, [[name, value], ...]."""
        shown = []
        for name, value in self.sealed_headers:
            try:
                shown.append([name, open_sealed(value)])
            except KeyDoesNotFit:
                shown.append([name, UNREADABLE])
        return shown

    @headers.setter
    def headers(self, pairs: Sequence[Sequence[str]]) -> None:
        self.sealed_headers = [
            [name, value if name.lower() in PLAIN else seal(value)] for name, value in pairs
        ]
