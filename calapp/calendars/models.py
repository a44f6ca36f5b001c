"""A host's calendars elsewhere, the busy times that were read from them, and bookings that they meet."""

import json
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from calapp.clock import now
from calapp.db import UTCDateTime, db, partial_index
from calapp.encryption import open_sealed, seal
from calapp.errors import KeyDoesNotFit


class CalendarKind(StrEnum):
    """How a calendar is read."""

    ICS = "ics"  # an address that gives one file (RFC 5545)
    CALDAV = "caldav"  # a collection on a server (RFC 4791)


class WhenStale(StrEnum):
    """What a calendar blocks that could not be read for `stale_after` hours."""

    KEEP = "keep"  # what it blocked when it was last read
    CLOSE = "close"  # everything: no times are offered


class Credentials(NamedTuple):
    """Who asks a server for a calendar."""

    username: str
    password: str


class CalendarAccount(db.Model):
    """A host's account on a CalDAV server; its calendars are rows of their own. The password is encrypted."""

    __tablename__ = "calendar_account"
    __table_args__ = (UniqueConstraint("user_id", "address", "username", name="uq_calendar_account_login"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    address: Mapped[str] = mapped_column(String(500))  # as it is requested
    username: Mapped[str] = mapped_column(String(254))
    sealed_password: Mapped[str] = mapped_column("password", Text)
    # What discovery found last: url, name, color, writable of each calendar.
    found: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now, onupdate=now)

    @property
    def credentials(self) -> Credentials:
        """Who signs in; raises KeyDoesNotFit."""
        return Credentials(self.username, open_sealed(self.sealed_password))

    def set_password(self, password: str) -> None:
        """Keep a password, encrypted."""
        self.sealed_password = seal(password)


class ExternalCalendar(db.Model):
    """A calendar that a host has elsewhere, and how reading it goes.

    Its address and password let somebody in, so they are encrypted and never shown again.
    """

    __tablename__ = "external_calendar"
    __table_args__ = (
        UniqueConstraint("user_id", "address_hash", name="uq_external_calendar_address"),
        Index("ix_external_calendar_due", "due_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    kind: Mapped[CalendarKind] = mapped_column(String(10))
    name: Mapped[str] = mapped_column(String(100))
    place: Mapped[str] = mapped_column(String(253))  # the host in its address: all of it that is ever shown
    sealed_address: Mapped[str] = mapped_column("address", Text)
    address_hash: Mapped[str] = mapped_column(String(64))  # of all its spellings: one calendar is read once
    sealed_credentials: Mapped[str | None] = mapped_column("credentials", Text)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("calendar_account.id"), index=True)
    blocks: Mapped[bool] = mapped_column(default=True)
    # Whether confirmed bookings are written to it; at most one of a host's.
    writes: Mapped[bool] = mapped_column(default=False, server_default=false())
    when_stale: Mapped[WhenStale] = mapped_column(String(10), default=WhenStale.KEEP)
    stale_after: Mapped[int] = mapped_column(default=24)  # hours

    # When it is read next; while it is being read, when its reader is given up.
    due_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    attempted_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # when the last reading began
    last_read_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # when it last went well
    changed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # when its busy times were last replaced
    error_code: Mapped[str | None] = mapped_column(String(40))  # None: the last reading went well
    error: Mapped[str | None] = mapped_column(Text)  # the same in words
    error_since: Mapped[datetime | None] = mapped_column(UTCDateTime)
    told_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # when the host was told of this error
    dismissed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # when its notice was put away

    etag: Mapped[str | None] = mapped_column(Text)
    last_modified: Mapped[str | None] = mapped_column(Text)
    sync_token: Mapped[str | None] = mapped_column(Text)  # of CalDAV: a sync-token, or a CTag
    content_hash: Mapped[str | None] = mapped_column(String(64))  # of the text without DTSTAMP lines
    basis: Mapped[str | None] = mapped_column(String(64))  # what else the busy times were made from, hashed
    busy_until: Mapped[datetime | None] = mapped_column(UTCDateTime)  # the end of the time that was looked at
    cut_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # from here on the rows did not suffice
    left_out: Mapped[int] = mapped_column(default=0)  # events that could not be understood

    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now, onupdate=now)

    account: Mapped[CalendarAccount | None] = relationship()

    @property
    def address(self) -> str:
        """The address that is requested; raises KeyDoesNotFit, also when it was forgotten."""
        if not self.sealed_address:
            raise KeyDoesNotFit
        return open_sealed(self.sealed_address)

    @address.setter
    def address(self, value: str) -> None:
        self.sealed_address = seal(value)

    @property
    def credentials(self) -> Credentials | None:
        """Who asks for it; raises KeyDoesNotFit."""
        if self.account is not None:
            return self.account.credentials
        if self.sealed_credentials is None:
            return None
        return Credentials(*json.loads(open_sealed(self.sealed_credentials)))

    @credentials.setter
    def credentials(self, value: Credentials | None) -> None:
        self.sealed_credentials = None if value is None else seal(json.dumps(value))

    @property
    def stale(self) -> bool:
        """Whether its copy is so old that the host's choice counts, whatever the reason."""
        return now() - (self.last_read_at or self.created_at) >= timedelta(hours=self.stale_after)


class ExternalBusy(db.Model):
    """A time that a calendar blocks, at most a day long and apart from its others; nothing else is kept."""

    __tablename__ = "external_busy"

    calendar_id: Mapped[int] = mapped_column(
        ForeignKey("external_calendar.id", ondelete="CASCADE"), primary_key=True
    )
    starts_at: Mapped[datetime] = mapped_column("start", UTCDateTime, primary_key=True)
    ends_at: Mapped[datetime] = mapped_column("end", UTCDateTime)


class CalendarConflict(db.Model):
    """A booking whose time a calendar turned out to block; its host is told once."""

    __tablename__ = "calendar_conflict"

    booking_id: Mapped[int] = mapped_column(ForeignKey("booking.id", ondelete="CASCADE"), primary_key=True)
    calendar_id: Mapped[int] = mapped_column(
        ForeignKey("external_calendar.id", ondelete="CASCADE"), index=True
    )
    found_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    over_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # when it was no more


class CopyState(StrEnum):
    """How a booking's copy in a calendar is."""

    WAITING = "waiting"  # to be written, changed or removed
    DONE = "done"  # as the booking is
    CHANGED = "changed"  # a person changed it in the calendar, so it is left alone
    FAILED = "failed"  # given up after the last attempt


class CalendarCopy(db.Model):
    """A booking in a host's calendar, one for a chain of reschedules; its text is made when it is sent.

    `etag` names the state in which the server has it (None: not there), `written` and `sent` are hashes of
    what was last stored and last sent: a response may have been lost.
    """

    __tablename__ = "calendar_copy"
    __table_args__ = (
        UniqueConstraint("chain", "calendar_id", name="uq_calendar_copy_chain"),
        partial_index("ix_calendar_copy_due", "due_at", where="due_at IS NOT NULL"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    chain: Mapped[str] = mapped_column(String(40))  # the booking's
    calendar_id: Mapped[int] = mapped_column(
        ForeignKey("external_calendar.id", ondelete="CASCADE"), index=True
    )
    state: Mapped[CopyState] = mapped_column(String(10), default=CopyState.WAITING)
    revision: Mapped[int] = mapped_column(default=1)  # counts the booking's changes
    due_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    claimed_until: Mapped[datetime | None] = mapped_column(UTCDateTime)  # while it is being sent
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
    etag: Mapped[str | None] = mapped_column(Text)
    written: Mapped[str | None] = mapped_column(String(64))
    sent: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now, onupdate=now)

    calendar: Mapped[ExternalCalendar] = relationship()
