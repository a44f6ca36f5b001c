"""Weekly hours and date overrides; the zone they are in is the user's."""

import datetime as dt

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from calapp.db import db


class WeeklyHours(db.Model):
    """One range of a weekday, in minutes of the host's day; an end past 1440 is on the next day."""

    __tablename__ = "weekly_hours"
    __table_args__ = (CheckConstraint("start_minute < end_minute", name="forwards"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    weekday: Mapped[int]  # 0 is Monday
    start_minute: Mapped[int]
    end_minute: Mapped[int]


class DateOverride(db.Model):
    """One range of a date that replaces the weekday's hours; a row with none makes it a day off."""

    __tablename__ = "date_override"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    date: Mapped[dt.date]
    start_minute: Mapped[int | None]
    end_minute: Mapped[int | None]
