"""A mail out by SMTP_URL, or kept and shown."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from calapp.clock import now
from calapp.db import UTCDateTime, db


class Mail(db.Model):
    """A mail, written in the transaction of what it tells and sent by the chores worker."""

    __tablename__ = "mail"
    __table_args__ = (
        Index(
            "ix_mail_due",
            "due_at",
            sqlite_where=text("due_at IS NOT NULL"),
            postgresql_where=text("due_at IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)  # the host it belongs to
    about: Mapped[str | None] = mapped_column(String(40), index=True)  # the booking's uid
    recipient: Mapped[str] = mapped_column(String(254))
    subject: Mapped[str] = mapped_column(String(300))
    body: Mapped[str] = mapped_column(Text)
    calendar: Mapped[str | None] = mapped_column(Text)  # the .ics attached
    calendar_method: Mapped[str | None] = mapped_column(String(10))  # REQUEST or CANCEL
    due_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # None: sent, kept, or given up
    tries: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    sent_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
