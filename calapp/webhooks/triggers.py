"""The events that a webhook can ask for: those of bookings, with Cal.com's names, and those of webhooks."""

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


def label_of(name: str) -> str:
    """Return a trigger's label, also of one that another version stored and this one does not offer."""
    found = name in Trigger.__members__
    return Trigger(name).label if found else f"{name.replace('_', ' ').title()} (no longer available)"
