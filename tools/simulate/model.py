"""The model: which event each action gives, or that it is refused; nothing is read from the database."""

from dataclasses import dataclass
from datetime import datetime, timedelta

LENGTH = timedelta(minutes=15)
REFUSED = None


@dataclass
class Meeting:
    """What the model knows of a booking."""

    asks: bool  # its event type requires confirmation
    starts_at: datetime
    status: str
    moved: bool = False
    absent: bool = False
    began: bool = False
    ended: bool = False

    def confirm(self, now: datetime) -> str | None:
        if self.status != "pending" or self.starts_at <= now:
            return REFUSED
        self.status = "accepted"
        return "BOOKING_RESCHEDULED" if self.moved else "BOOKING_CREATED"

    def reject(self, now: datetime) -> str | None:
        if self.status != "pending" or self.starts_at <= now:
            return REFUSED
        self.status = "rejected"
        return "BOOKING_REJECTED"

    def cancel(self, now: datetime) -> str | None:
        over = self.starts_at if self.status == "pending" else self.starts_at + LENGTH
        if self.status not in {"pending", "accepted"} or over <= now:
            return REFUSED
        self.status = "cancelled"
        return "BOOKING_CANCELLED"

    def move(self, starts_at: datetime, now: datetime) -> "tuple[str, Meeting] | None":
        if self.status not in {"pending", "accepted"} or self.starts_at <= now:
            return REFUSED
        asks = self.asks or self.status == "pending"
        moved = Meeting(self.asks, starts_at, "pending" if asks else "accepted", moved=True)
        self.status = "moved"
        return "BOOKING_REQUESTED" if asks else "BOOKING_RESCHEDULED", moved

    def mark_absent(self, *, absent: bool, now: datetime) -> str | None:
        if self.status != "accepted" or self.starts_at > now or self.absent == absent:
            return REFUSED
        self.absent = absent
        return "BOOKING_NO_SHOW_UPDATED"

    def come_due(self, now: datetime) -> list[str]:
        """Return what the clock brings."""
        found = []
        if self.status == "pending" and self.starts_at <= now:
            self.status = "rejected"
            found.append("BOOKING_REJECTED")
        if self.status == "accepted" and self.starts_at <= now and not self.began:
            self.began = True
            found.append("MEETING_STARTED")
        if self.status == "accepted" and self.starts_at + LENGTH <= now and not self.ended:
            self.ended = True
            found.append("MEETING_ENDED")
        return found


def book(starts_at: datetime, *, asks: bool) -> tuple[str, Meeting]:
    """Return what a new booking gives."""
    meeting = Meeting(asks, starts_at, "pending" if asks else "accepted")
    return "BOOKING_REQUESTED" if asks else "BOOKING_CREATED", meeting
