"""Users and their API keys."""

from datetime import date, datetime
from enum import StrEnum

from flask_login import UserMixin
from sqlalchemy import JSON, Date, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from calapp.clock import now
from calapp.db import SealedText, UTCDateTime, db
from calapp.encryption import MARK, hashed, open_sealed, seal
from calapp.errors import KeyDoesNotFit

FORGOTTEN = f"{MARK}forgotten:"  # and the user's id: of the token only the hash is left


class Scope(StrEnum):
    """What an API key may do."""

    READ = "read"
    WRITE = "write"
    READ_SECRETS = "read_secrets"


class Removal(StrEnum):
    """What becomes of the upcoming bookings of an account that is removed."""

    CANCEL = "cancel"
    KEEP = "keep"  # visitors are told nothing


class User(UserMixin, db.Model):
    """A host."""

    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    email: Mapped[str] = mapped_column(String(254))
    password_hash: Mapped[str] = mapped_column(String(255))
    time_zone: Mapped[str] = mapped_column(String(64))
    # In cookies of before there were rows of sessions; renewed by a sign-out of one of them, by a new
    # password and by Sign out everywhere, which ends them all.
    session_token: Mapped[str] = mapped_column(String(43))
    # In the address of the calendar feed; whoever has it can read the feed. Encrypted to be shown, hashed to
    # be looked up; a version before this one writes it plain, and leaves the hash of the one before.
    sealed_calendar_token: Mapped[str] = mapped_column("calendar_token", SealedText(43), unique=True)
    calendar_token_hash: Mapped[str | None] = mapped_column(String(64), unique=True, index=True)
    default_schedule_id: Mapped[int | None]  # of availability, which this package may not know
    # A changed address waits here for its link to be opened; until then emails go to `email`.
    pending_email: Mapped[str | None] = mapped_column(String(254))
    # Since when nobody has shown that `email` is the host's; None: it is.
    unconfirmed_since: Mapped[datetime | None] = mapped_column(UTCDateTime)
    # Numbers the host's events from 1 without gaps; its row is locked by whoever takes the next one.
    last_event_number: Mapped[int] = mapped_column(default=0)
    # The last day, in the host's zone, whose DAILY_SUMMARY is written; None: none yet.
    summarized_on: Mapped[date | None] = mapped_column(Date)
    checklist_done_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    # Since when nobody can sign in or book: suspended by the operator, or to be removed.
    closed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    removal: Mapped[Removal | None] = mapped_column(String(10))

    login_id = ""  # what the cookie of the session that was just begun holds

    def get_id(self) -> str:
        """Give Flask-Login what it keeps in the cookie."""
        return self.login_id or f"{self.id}.{self.session_token}"

    @property
    def calendar_token(self) -> str | None:
        """The token of the calendar feed; None when it works but cannot be shown any more."""
        if self.sealed_calendar_token.startswith(FORGOTTEN):
            return None
        try:
            return open_sealed(self.sealed_calendar_token)
        except KeyDoesNotFit:
            return None

    @calendar_token.setter
    def calendar_token(self, token: str) -> None:
        self.sealed_calendar_token = seal(token)
        self.calendar_token_hash = hashed(token)


class UserSession(db.Model):
    """A browser in which a host is signed in; without its row the cookie counts for nothing."""

    __tablename__ = "user_session"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[str] = mapped_column(String(64))  # SHA-256, hex: a random token needs no slow hash
    browser: Mapped[str] = mapped_column(
        String(60)
    )  # such as "Firefox on Linux"; nothing else of the headers
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    last_seen_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now, index=True)  # to the hour


class UnsavedForm(db.Model):
    """A form that was sent after its session had ended, until its host has signed in and sent it again."""

    __tablename__ = "unsaved_form"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)  # of what the browser's cookie has
    address_key: Mapped[str] = mapped_column(String(32), index=True)  # a keyed hash of where it came from
    sealed_form: Mapped[str] = mapped_column("form", Text)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    sent_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class LinkPurpose(StrEnum):
    """What a link in an email lets its reader do."""

    PASSWORD = "password"  # noqa: S105
    EMAIL = "email"


class AccountLink(db.Model):
    """A link that was asked for or sent by email: it sets a new password, or confirms an address.

    A request has what was typed, and neither user nor token, until the maintenance process answers it: so
    asking takes as long for a name that nobody has.
    """

    __tablename__ = "account_link"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"), index=True)
    purpose: Mapped[LinkPurpose] = mapped_column(String(20))
    typed: Mapped[str | None] = mapped_column(String(254))  # a username or an email address
    email: Mapped[str | None] = mapped_column(String(254))  # that the link was sent to
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)  # SHA-256, hex
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now, index=True)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)


class ApiKey(db.Model):
    """A key for the REST API; the key itself is shown once and kept only as a hash."""

    __tablename__ = "api_key"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    key_hash: Mapped[str] = mapped_column(
        String(64), unique=True
    )  # SHA-256, hex: a random key needs no slow hash
    hint: Mapped[str] = mapped_column(String(12))  # first letters, so that a person can tell keys apart
    scopes: Mapped[list[str]] = mapped_column(JSON)  # of Scope
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    last_used_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class LinkKey(db.Model):
    """A key that signs booking links: shown once, and stored encrypted, since it also checks them."""

    __tablename__ = "link_key"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    sealed_secret: Mapped[str] = mapped_column("secret", Text)
    hint: Mapped[str] = mapped_column(String(12))  # first letters, so that a person can tell keys apart
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
