"""Bookings, their attendees, and the cells of time that they hold."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    ForeignKey,
    Index,
    Select,
    String,
    Text,
    and_,
    false,
    literal,
    select,
    text,
)
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from calapp.accounts.models import User
from calapp.clock import now
from calapp.db import UTCDateTime, db, partial_index
from calapp.event_types.models import BY_PHONE, EventType

UNANSWERED = "Not answered in time."  # the reason of a rejection by the clock


class Status(StrEnum):
    """What has become of a booking."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


# What the host's tab of cancelled bookings shows.
CANCELLED = "status IN ('cancelled', 'rejected') AND rescheduled_to_uid IS NULL AND unanswered_at IS NULL"


class Booking(db.Model):
    """A meeting that a visitor has booked or asked for."""

    __tablename__ = "booking"
    __table_args__ = (
        Index("ix_booking_host_start", "host_id", "starts_at"),
        # What maintenance looks through once a second: meetings whose start or end has not been recorded yet.
        partial_index("ix_booking_to_start", "starts_at", where="status = 'accepted' AND started_at IS NULL"),
        partial_index("ix_booking_to_end", "ends_at", where="status = 'accepted' AND ended_at IS NULL"),
        partial_index(
            "ix_booking_to_remind", "reminder_at", where="status = 'accepted' AND reminder_at IS NOT NULL"
        ),
        partial_index("ix_booking_to_answer", "starts_at", where="status = 'pending'"),
        # What one visitor has with a host, while it is to come.
        partial_index("ix_booking_of_address", "host_id", "address_key", where="address_key IS NOT NULL"),
        partial_index("ix_booking_of_email", "host_id", "email_key", where="email_key IS NOT NULL"),
        partial_index("ix_booking_with_key", "ends_at", where="email_key IS NOT NULL"),
        partial_index("ix_booking_to_forget", "ends_at", where="erased_at IS NULL"),
        partial_index("ix_booking_cancelled", "host_id", "starts_at", where=CANCELLED),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(String(40), unique=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    event_type_id: Mapped[int] = mapped_column(ForeignKey("event_type.id"), index=True)
    status: Mapped[Status] = mapped_column(String(12))
    title: Mapped[str] = mapped_column(String(300))
    starts_at: Mapped[datetime] = mapped_column(UTCDateTime)
    ends_at: Mapped[datetime] = mapped_column(UTCDateTime)
    time_zone: Mapped[str] = mapped_column(String(64))  # the visitor's
    location: Mapped[str] = mapped_column(String(500), default="")
    notes: Mapped[str] = mapped_column(Text, default="")
    answers: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)  # to questions, by name
    link_metadata: Mapped[dict[str, str]] = mapped_column("metadata", JSON, default=dict)
    metadata_left_out: Mapped[list[str]] = mapped_column(JSON, default=list)  # reasons
    # Whether the link was signed with a link key of the host, so that nobody has changed its metadata.
    metadata_verified: Mapped[bool] = mapped_column(default=False, server_default=false())
    # The utm_… parameters of the link, by name.
    tracking: Mapped[dict[str, str]] = mapped_column(JSON, default=dict, server_default=text("'{}'"))
    search: Mapped[str] = mapped_column(Text, default="")  # lower-case text that the host's search looks in
    # Of the form's token and its content.
    idempotency_key: Mapped[str | None] = mapped_column("attempt", String(64), unique=True)

    # Keyed hashes of where the visitor came from and of the mailbox, until the booking is over (visitors.py).
    address_key: Mapped[str | None] = mapped_column(String(32))
    email_key: Mapped[str | None] = mapped_column(String(32))

    # The chain of reschedules: the first uid, counted events, and neighbours.
    chain: Mapped[str] = mapped_column(String(40), index=True)
    sequence: Mapped[int] = mapped_column(default=0)  # of the chain's last event; kept on its newest booking
    ical_sequence: Mapped[int] = mapped_column(default=0)
    rescheduled_from_id: Mapped[int | None] = mapped_column(ForeignKey("booking.id"))
    rescheduled_to_uid: Mapped[str | None] = mapped_column(String(40))
    rescheduled_by: Mapped[str | None] = mapped_column(String(254))
    rescheduling_reason: Mapped[str | None] = mapped_column(Text)

    cancellation_reason: Mapped[str | None] = mapped_column(Text)
    cancelled_by: Mapped[str | None] = mapped_column(String(254))
    rejection_reason: Mapped[str | None] = mapped_column(Text)
    # When the clock rejected it, since its start had passed without the host's answer.
    unanswered_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    reminder_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # when the next reminder is due
    started_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # when MEETING_STARTED was written
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    erased_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # when its people were forgotten
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now, onupdate=now)

    host: Mapped[User] = relationship()
    event_type: Mapped[EventType] = relationship()
    rescheduled_from: Mapped["Booking | None"] = relationship(remote_side="Booking.id")
    attendees: Mapped[list["Attendee"]] = relationship(
        order_by="Attendee.position", cascade="all, delete-orphan", lazy="selectin"
    )

    @property
    def chain_uids(self) -> Select[str]:
        """The query for its uid and those of all bookings that it was moved from or to."""
        return select(Booking.uid).where(Booking.chain == self.chain)

    @property
    def minutes(self) -> int:
        """How long it is."""
        return int((self.ends_at - self.starts_at).total_seconds() // 60)

    @property
    def visitor(self) -> "Attendee":
        """The attendee who booked; the others are guests."""
        return self.attendees[0]

    @property
    def meeting_url(self) -> str | None:
        """The link to the meeting, where it takes place at one."""
        return self.location if self.location.startswith(("https://", "http://")) else None

    @property
    def public_title(self) -> str:
        """The title without a word that the visitor typed."""
        return f"{self.event_type.title} with {self.host.name}"

    @property
    def public_location(self) -> str:
        """Where it takes place, without the visitor's phone number."""
        return BY_PHONE if self.location and self.location == self.visitor.phone else self.location

    @property
    def unanswered(self) -> bool:
        """Whether its start passed without the host's answer, also before the worker has recorded it."""
        return self.unanswered_at is not None or (self.status == Status.PENDING and self.starts_at <= now())

    @property
    def current_status(self) -> Status:
        """The status by the clock: what was not answered in time is rejected, recorded or not."""
        return Status.REJECTED if self.unanswered else Status(self.status)

    def next_reminder(self) -> datetime | None:
        """Return when the next reminder of a confirmed booking is due, or None.

        A reminder whose time has already passed is not caught up on: who books an hour ahead gets none for
        the day before.
        """
        if self.status != Status.ACCEPTED:
            return None
        moments = (self.starts_at - timedelta(minutes=before) for before in self.event_type.reminders)
        return min((moment for moment in moments if moment > now()), default=None)


def cancelled() -> ColumnElement[bool]:
    """Return the condition of ix_booking_cancelled, written out, so that SQLite finds the index."""
    ended = [literal(str(one), literal_execute=True) for one in (Status.CANCELLED, Status.REJECTED)]
    return and_(
        Booking.status.in_(ended), Booking.rescheduled_to_uid.is_(None), Booking.unanswered_at.is_(None)
    )


def find(session: Session, uid: str) -> Booking | None:
    """Return the booking with this uid."""
    return session.scalar(select(Booking).where(Booking.uid == uid))


class Attendee(db.Model):
    """A person at a booking; position 0 is the visitor, then the guests."""

    __tablename__ = "attendee"

    id: Mapped[int] = mapped_column(primary_key=True)
    booking_id: Mapped[int] = mapped_column(ForeignKey("booking.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    name: Mapped[str] = mapped_column(String(200))
    email: Mapped[str] = mapped_column(String(254), index=True)
    time_zone: Mapped[str] = mapped_column(String(64))
    phone: Mapped[str] = mapped_column(String(40), default="")  # such as +49 30 901820; only the visitor's
    no_show: Mapped[bool] = mapped_column(default=False)
    # The clock of the page on which the booking was made; None: the usual one where the time zone is.
    twelve_hours: Mapped[bool | None]


class Notification(db.Model):
    """What happened to a booking, of which the emails are still to be written; removed when they are."""

    __tablename__ = "notification"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))  # the host
    about: Mapped[str] = mapped_column(String(40), index=True)  # the booking's uid
    event_id: Mapped[int] = mapped_column(ForeignKey("event.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(20))  # of the emails
    # Guests who are invited no more, as in facts.Participant.
    removed: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)


class VisitorAct(db.Model):
    """Something that a visitor did and that sent emails, kept for a day to be counted."""

    __tablename__ = "visitor_act"
    __table_args__ = (
        Index("ix_visitor_act_address", "address_key", "at"),
        Index("ix_visitor_act_host", "host_id", "at"),
        Index("ix_visitor_act_chain", "chain", "at"),
        Index("ix_visitor_act_at", "at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    address_key: Mapped[str | None] = mapped_column(String(32))  # None: erased
    chain: Mapped[str] = mapped_column(String(40))  # of the booking's reschedules
    moved: Mapped[bool]  # whether it was a reschedule
    recipients: Mapped[int]  # the visitor and the guests
    parked: Mapped[bool]  # whether the emails wait for the host
    at: Mapped[datetime] = mapped_column(UTCDateTime)


class BusySlot(db.Model):
    """A five-minute cell of a host's time; the primary key is what makes two bookings of it impossible."""

    __tablename__ = "busy_slot"

    host_id: Mapped[int] = mapped_column(ForeignKey("user.id"), primary_key=True)
    at: Mapped[datetime] = mapped_column(UTCDateTime, primary_key=True)
    booking_id: Mapped[int] = mapped_column(ForeignKey("booking.id", ondelete="CASCADE"), index=True)


class SlotReservation(db.Model):
    """A time that a client of the API holds for a few minutes before it books."""

    __tablename__ = "slot_reservation"

    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(String(36), unique=True)  # a UUID; whoever knows it may change it
    host_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    event_type_id: Mapped[int] = mapped_column(ForeignKey("event_type.id", ondelete="CASCADE"), index=True)
    holder: Mapped[str] = mapped_column(String(40))  # the id of an API key, or a keyed hash of an address
    starts_at: Mapped[datetime] = mapped_column(UTCDateTime)
    ends_at: Mapped[datetime] = mapped_column(UTCDateTime)
    minutes: Mapped[int]  # for how long it is held
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)

    event_type: Mapped[EventType] = relationship()


class ReservedSlot(db.Model):
    """A five-minute cell of a host's time that is held; as with bookings, the key forbids two of it."""

    __tablename__ = "reserved_slot"

    host_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    at: Mapped[datetime] = mapped_column(UTCDateTime, primary_key=True)
    reservation_id: Mapped[int] = mapped_column(
        ForeignKey("slot_reservation.id", ondelete="CASCADE"), index=True
    )
