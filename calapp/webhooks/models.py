"""The table of webhooks, and the events that each may ask for."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import JSON, ForeignKey, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from calapp.clock import now
from calapp.db import SealedText, UTCDateTime, db, partial_index
from calapp.encryption import open_sealed, seal
from calapp.errors import KeyDoesNotFit
from calapp.event_types.models import EventType

# Cal.com's triggers of what does not happen here. A subscription may name them, so that a client that asks
# for all gets those that there are.
NEVER_SENT = (
    "BOOKING_PAID",
    "BOOKING_PAYMENT_INITIATED",
    "BOOKING_REOPENED",
    "PAYMENT_INITIATED",
    "FORM_SUBMITTED",
    "FORM_SUBMITTED_NO_EVENT",
    "ROUTING_FORM_FALLBACK_HIT",
    "RECORDING_READY",
    "RECORDING_TRANSCRIPTION_GENERATED",
    "INSTANT_MEETING",
    "INSTANT_MEETING_ACCEPTED",
    "OOO_CREATED",
    "AFTER_HOSTS_CAL_VIDEO_NO_SHOW",
    "AFTER_GUESTS_CAL_VIDEO_NO_SHOW",
    "CALENDAR_ENTRY_REJECTED",
    "WRONG_ASSIGNMENT_REPORT",
    "DELEGATION_CREDENTIAL_ERROR",
    "DELEGATION_CREDENTIAL_SECRET_ROTATED",
    "DELEGATION_CREDENTIAL_SECRET_ROTATION_FAILED",
    "DELEGATION_CREDENTIAL_ROTATION_REQUIRED",
)
HIDDEN = "••••"  # shown in place of a value that is saved
SECRET_OVERLAP = timedelta(hours=24)  # for which a changed secret stays valid beside the new one


class Trigger(StrEnum):
    """What happened; the value is the name on the wire."""

    BOOKING_CREATED = "BOOKING_CREATED"
    BOOKING_RESCHEDULED = "BOOKING_RESCHEDULED"
    BOOKING_CANCELLED = "BOOKING_CANCELLED"
    BOOKING_REQUESTED = "BOOKING_REQUESTED"
    BOOKING_REJECTED = "BOOKING_REJECTED"
    BOOKING_UPDATED = "BOOKING_UPDATED"
    BOOKING_NO_SHOW_UPDATED = "BOOKING_NO_SHOW_UPDATED"
    BOOKING_REMINDER = "BOOKING_REMINDER"
    MEETING_STARTED = "MEETING_STARTED"
    MEETING_ENDED = "MEETING_ENDED"
    WEBHOOK_FAILING = "WEBHOOK_FAILING"
    WEBHOOK_RECOVERED = "WEBHOOK_RECOVERED"
    WEBHOOK_DISABLED = "WEBHOOK_DISABLED"
    DAILY_SUMMARY = "DAILY_SUMMARY"
    PING = "PING"

    @property
    def label(self) -> str:
        """The name that people read: Booking Created."""
        return self.value.replace("_", " ").title().replace("No Show", "No-Show")


# PING is sent by the Ping test alone; nobody subscribes to it.
SUBSCRIBABLE = tuple(trigger for trigger in Trigger if trigger is not Trigger.PING)
# About a webhook, and sent to the others of its host; or about a day. No summary counts them.
OPERATIONAL = (
    Trigger.WEBHOOK_FAILING,
    Trigger.WEBHOOK_RECOVERED,
    Trigger.WEBHOOK_DISABLED,
    Trigger.DAILY_SUMMARY,
)
OF_BOOKINGS = tuple(trigger for trigger in SUBSCRIBABLE if trigger not in OPERATIONAL)
DEFAULT = (Trigger.BOOKING_CREATED, Trigger.BOOKING_RESCHEDULED, Trigger.BOOKING_CANCELLED)


def label_of(name: str) -> str:
    """Return a trigger's label, also of one that is never sent, or that only another version offers."""
    if name in Trigger.__members__:
        return Trigger(name).label
    why = "never sent by this server" if name in NEVER_SENT else "no longer available"
    return f"{name.replace('_', ' ').title()} ({why})"


def never_sent(names: Iterable[str]) -> list[str]:
    """Return those triggers of a subscription that bring nothing."""
    return [name for name in names if name not in SUBSCRIBABLE]


class OffReason(StrEnum):
    """Why a webhook is off."""

    HOST = "host"  # switched off manually
    GONE = "gone"  # the receiver responded 410
    SUSPENDED = "suspended"  # by the operator, together with the account
    FAILING = "failing"  # every attempt failed for five days


class ParkedDecision(StrEnum):
    """What becomes of a webhook's parked events, in steps."""

    RELEASE = "send"  # in the order in which they happened
    DISCARD = "drop"


class Webhook(db.Model):
    """A subscriber URL and the triggers it wants; of the host, or of one event type."""

    __tablename__ = "webhook"
    # One URL once per host and scope; two partial indexes, since NULL never equals NULL.
    __table_args__ = (
        partial_index(
            "uq_webhook_url_host",
            "user_id",
            "subscriber_url",
            unique=True,
            where="deleted_at IS NULL AND event_type_id IS NULL",
        ),
        partial_index(
            "uq_webhook_url_event_type",
            "event_type_id",
            "subscriber_url",
            unique=True,
            where="deleted_at IS NULL AND event_type_id IS NOT NULL",
        ),
        partial_index("ix_webhook_settling", "id", where="settling IS NOT NULL"),
        partial_index("ix_webhook_releasing", "id", where="releasing"),
        # Of a host whose webhooks work, nothing is in these.
        partial_index("ix_webhook_first_failed", "user_id", where="first_failed_at IS NOT NULL"),
        partial_index("ix_webhook_switched_off", "user_id", where="off_reason = 'failing'"),
        partial_index("ix_webhook_recovered", "user_id", where="recovered_at IS NOT NULL"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    # The API's id.
    uid: Mapped[str] = mapped_column(String(36), unique=True, default=lambda: str(uuid.uuid4()))
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    event_type_id: Mapped[int | None] = mapped_column(ForeignKey("event_type.id"))
    api_key_id: Mapped[int | None] = mapped_column(ForeignKey("api_key.id"))  # the key that made it
    name: Mapped[str | None] = mapped_column(String(100))  # what its host calls it
    subscriber_url: Mapped[str] = mapped_column(String(2000))
    triggers: Mapped[list[str]] = mapped_column(JSON)
    active: Mapped[bool] = mapped_column(default=True)
    off_reason: Mapped[OffReason | None] = mapped_column(String(10))
    off_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    # While its parked events are released or discarded.
    parked_decision: Mapped[ParkedDecision | None] = mapped_column("settling", String(10))
    decided_up_to: Mapped[int | None] = mapped_column(
        "settling_to"
    )  # the last delivery that was parked when this was decided
    payload_template: Mapped[str | None] = mapped_column(Text)
    max_per_second: Mapped[int | None]  # requests that its receiver takes; None: as many as it responds to
    # When the next request is within that limit; whoever claims moves it on.
    limited_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    # As they are stored, see calapp/encryption.py: loading a webhook opens nothing, so that a key which does
    # not fit fails no booking.
    sealed_headers: Mapped[list[list[str]]] = mapped_column("headers", JSON, default=list)
    sealed_secret: Mapped[str | None] = mapped_column("secret", SealedText(500))
    sealed_old_secret: Mapped[str | None] = mapped_column("old_secret", SealedText(500))
    old_secret_until: Mapped[datetime | None] = mapped_column(UTCDateTime)

    on_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # when it was last switched on again
    # Grows with each change that attempts under way could not know: their failures count no more.
    revision: Mapped[int] = mapped_column(default=0, server_default="0")

    # The endpoint's health, written by the delivery engine.
    failures: Mapped[int] = mapped_column(default=0)  # of the endpoint, since its last 2xx
    # Ids of different events, with commas, whose refusal speaks about the event; since the last 2xx.
    refused_events: Mapped[str] = mapped_column(Text, default="", server_default="")
    denied_events: Mapped[str] = mapped_column(Text, default="", server_default="")  # those with 401, 403 …
    failing_since: Mapped[datetime | None] = mapped_column(UTCDateTime)
    backoff_until: Mapped[datetime | None] = mapped_column("hold_until", UTCDateTime)
    probes: Mapped[int] = mapped_column(default=0, server_default="0")  # made in this backoff
    retry_after_until: Mapped[datetime | None] = mapped_column("asked_until", UTCDateTime)
    # Its waiting retries come due immediately, in steps: since when, and which (None: all).
    releasing: Mapped[bool] = mapped_column(default=False, server_default=false())
    released_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    releasing_tries: Mapped[int | None]
    warnings: Mapped[int] = mapped_column(default=0)  # 0 to 3: of how many quarters the owner was warned

    # Whether it is failing, see calapp/deliveries/health.py. Since its last 2xx, written by the engine: when
    # an attempt failed first, ids of different events whose attempts did, and whether one is about a booking.
    first_failed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    failed_events: Mapped[str] = mapped_column(Text, default="", server_default="")
    failed_bookings: Mapped[bool] = mapped_column(default=False, server_default=false())
    recovered_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # its first 2xx after it was failing
    # Written by maintenance: since when it is failing, whether other webhooks were told, and the emails.
    unhealthy_since: Mapped[datetime | None] = mapped_column(UTCDateTime)
    failing_announced: Mapped[bool] = mapped_column(default=False, server_default=false())
    alerted_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    alert_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # when the next email is due

    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now, onupdate=now)
    deleted_at: Mapped[datetime | None] = mapped_column(UTCDateTime)

    event_type: Mapped[EventType | None] = relationship()

    @property
    def label(self) -> str:
        """What people know it by: its name, or its URL."""
        return self.name or self.subscriber_url

    @property
    def failing(self) -> bool:
        """Whether it is on and keeps failing; over with its first 2xx, or when its host has changed it."""
        known = self.unhealthy_since is not None and self.recovered_at is None
        return self.active and known and self.first_failed_at is not None

    @property
    def has_secret(self) -> bool:
        """Whether deliveries are signed."""
        return bool(self.sealed_secret)

    @property
    def header_names(self) -> list[str]:
        """The names of the custom headers."""
        return [name for name, _ in self.sealed_headers]

    @property
    def secret(self) -> str | None:
        """What deliveries are signed with; raises KeyDoesNotFit."""
        return opened(self.sealed_secret)

    @secret.setter
    def secret(self, value: str | None) -> None:
        self.sealed_secret = sealed(value)

    @property
    def old_secret(self) -> str | None:
        """The previous secret; raises KeyDoesNotFit."""
        return opened(self.sealed_old_secret)

    @old_secret.setter
    def old_secret(self, value: str | None) -> None:
        self.sealed_old_secret = sealed(value)

    @property
    def headers(self) -> list[list[str]]:
        """The custom headers, [[name, value], ...]; raises KeyDoesNotFit."""
        return opened_headers(self.sealed_headers)

    @headers.setter
    def headers(self, pairs: Sequence[Sequence[str]]) -> None:
        self.sealed_headers = [[name, seal(value)] for name, value in pairs]


class WebhookChange(db.Model):
    """A change of how a webhook is sent to, kept as long as the log, which says what is different since."""

    __tablename__ = "webhook_change"

    id: Mapped[int] = mapped_column(primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhook.id"), index=True)
    at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    old_url: Mapped[str | None] = mapped_column(String(2000))  # None: it is the same
    secret: Mapped[bool] = mapped_column(default=False)  # whether what signs is another
    headers: Mapped[bool] = mapped_column(default=False)


def opened(stored: str | None) -> str | None:
    """Return a secret that may be absent; raise KeyDoesNotFit."""
    return None if stored is None else open_sealed(stored)


def sealed(value: str | None) -> str | None:
    """Return a secret that may be absent as it is stored."""
    return None if value is None else seal(value)


def opened_headers(stored: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return custom headers with their values; raise KeyDoesNotFit."""
    return [[name, open_sealed(value)] for name, value in stored]


def is_saved_secret(webhook: Webhook, secret: str) -> bool:
    """Return whether a secret is the one that is saved; an empty one means none."""
    return secret == (readable(webhook.sealed_secret) or "")


def overlap_until(webhook: Webhook) -> datetime | None:
    """Return until when the old secret signs beside the new one, or None when it does not any more."""
    until = webhook.old_secret_until
    return until if until is not None and until > now() else None


def readable(stored: str | None) -> str | None:
    """Return a saved secret, or None when there is none or it cannot be read: then it is only replaced."""
    try:
        return None if stored is None else open_sealed(stored)
    except KeyDoesNotFit:
        return None
