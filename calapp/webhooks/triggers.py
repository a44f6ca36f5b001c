"""The events that a webhook can ask for: those of bookings, with Cal.com's names, and those of webhooks."""

from collections.abc import Iterable
from enum import StrEnum


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


def label_of(name: str) -> str:
    """Return a trigger's label, also of one that is never sent, or that only another version offers."""
    if name in Trigger.__members__:
        return Trigger(name).label
    why = "never sent by this server" if name in NEVER_SENT else "no longer available"
    return f"{name.replace('_', ' ').title()} ({why})"


def never_sent(names: Iterable[str]) -> list[str]:
    """Return those triggers of a subscription that bring nothing."""
    return [name for name in names if name not in SUBSCRIBABLE]
