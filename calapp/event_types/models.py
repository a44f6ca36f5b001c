"""What can be booked."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from calapp.accounts.models import User
from calapp.clock import now
from calapp.db import UTCDateTime, db, partial_index

BY_PHONE = "By phone"
MAX_DAYS = 60  # how far ahead can be booked, unless the host says so
UID = "{uid}"  # in a link: the uid of the booking, so that each has a link of its own


class LocationKind(StrEnum):
    """Where a meeting takes place."""

    NONE = "none"
    LINK = "link"
    PHONE = "phone"
    IN_PERSON = "in_person"


# Types of questions with options, and those of them that may have several answers.
SEVERAL = ("checkboxes", "multiselect")
WITH_OPTIONS = ("select", "radio", *SEVERAL)


class EventType(db.Model):
    """A kind of meeting that a host offers; times are in minutes, the horizon in days."""

    __tablename__ = "event_type"
    # A deleted event type stays for its bookings and frees its slug.
    __table_args__ = (
        partial_index("uq_event_type_slug", "user_id", "slug", unique=True, where="deleted_at IS NULL"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    title: Mapped[str] = mapped_column(String(100))
    slug: Mapped[str] = mapped_column(String(60))
    description: Mapped[str] = mapped_column(Text, default="")
    length: Mapped[int]
    step: Mapped[int | None]  # None: as long as the meeting
    buffer_before: Mapped[int] = mapped_column(default=0)
    buffer_after: Mapped[int] = mapped_column(default=0)
    notice: Mapped[int] = mapped_column(default=120)
    max_days: Mapped[int] = mapped_column(default=MAX_DAYS)
    max_per_day: Mapped[int | None]
    requires_confirmation: Mapped[bool] = mapped_column(default=False)
    hidden: Mapped[bool] = mapped_column(default=False)
    require_signed_metadata: Mapped[bool] = mapped_column(default=False, server_default=false())
    redirect_url: Mapped[str | None] = mapped_column(String(2000))
    location_kind: Mapped[LocationKind] = mapped_column(String(20), default=LocationKind.NONE)
    location: Mapped[str] = mapped_column(String(500), default="")
    # In the form's order: [{"name", "label", "type", "required", "options"}]; the types are those of
    # schemas.QUESTION_TYPES, where Cal.com's boolean is a checkbox and its checkbox is checkboxes.
    questions: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    schedule_id: Mapped[int | None] = mapped_column(
        ForeignKey("schedule.id"), index=True
    )  # None: the default one
    # Minutes before the start, at most three, the earliest reminder first.
    reminders: Mapped[list[int]] = mapped_column(JSON, default=list)
    # Minutes that a visitor may choose from, `length` among them; empty when there is only that.
    lengths: Mapped[list[int]] = mapped_column(JSON, default=list)
    asks_notes: Mapped[bool] = mapped_column(default=True)
    asks_guests: Mapped[bool] = mapped_column(default=True)
    position: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    deleted_at: Mapped[datetime | None] = mapped_column(UTCDateTime)

    user: Mapped[User] = relationship()

    @property
    def offered_lengths(self) -> list[int]:
        """How long a booking of it may be, in minutes; the visitor chooses where there are several."""
        return self.lengths or [self.length]

    @property
    def asks_phone(self) -> bool:
        """Whether the host calls the visitor, whose number is then needed."""
        return self.location_kind == LocationKind.PHONE and not self.location

    @property
    def place(self) -> str:
        """Where a booking of it takes place, as people read it; nothing when the host has not said."""
        return self.location or (BY_PHONE if self.location_kind == LocationKind.PHONE else "")

    @property
    def makes_links(self) -> bool:
        """Whether each booking has a meeting link of its own."""
        return self.location_kind == LocationKind.LINK and UID in self.location

    def place_of(self, uid: str) -> str:
        """Return where the booking with this uid takes place."""
        return self.location.replace(UID, uid) if self.makes_links else self.place
