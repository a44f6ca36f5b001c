"""Schedules with their weekly hours and date overrides, and a host's time off."""

import datetime as dt

from sqlalchemy import CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from calapp.accounts.models import User
from calapp.clock import now
from calapp.db import UTCDateTime, db


class Schedule(db.Model):
    """Hours with a name and a zone; the host's default one has the host's own zone."""

    __tablename__ = "schedule"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    # Of the default one as it was when it became the default: since then `User.time_zone` counts, which a
    # version without schedules reads and writes.
    own_time_zone: Mapped[str] = mapped_column("time_zone", String(64))
    created_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, default=now)

    user: Mapped[User] = relationship()

    @property
    def is_default(self) -> bool:
        """Whether event types that name no schedule have this one."""
        return self.user.default_schedule_id == self.id

    @property
    def time_zone(self) -> str:
        """The zone that its hours are in."""
        return self.user.time_zone if self.is_default else self.own_time_zone

    @time_zone.setter
    def time_zone(self, zone: str) -> None:
        self.own_time_zone = zone
        if self.is_default:
            self.user.time_zone = zone


class WeeklyHours(db.Model):
    """One range of a weekday, in minutes of the host's day; an end past 1440 is on the next day."""

    __tablename__ = "weekly_hours"
    __table_args__ = (CheckConstraint("start_minute < end_minute", name="forwards"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    # None: of the default schedule, written by a version without schedules.
    schedule_id: Mapped[int | None] = mapped_column(ForeignKey("schedule.id"), index=True)
    weekday: Mapped[int]  # 0 is Monday
    start_minute: Mapped[int]
    end_minute: Mapped[int]


class DateOverride(db.Model):
    """One range of a date that replaces the weekday's hours; a row with none makes it a day off."""

    __tablename__ = "date_override"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    schedule_id: Mapped[int | None] = mapped_column(ForeignKey("schedule.id"), index=True)  # as above
    date: Mapped[dt.date]
    start_minute: Mapped[int | None]
    end_minute: Mapped[int | None]


class TimeOff(db.Model):
    """Days on which a host cannot be booked by any schedule, the last one included."""

    __tablename__ = "time_off"
    __table_args__ = (CheckConstraint("first_day <= last_day", name="forwards"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    first_day: Mapped[dt.date]  # in the host's own zone
    last_day: Mapped[dt.date]
    note: Mapped[str] = mapped_column(String(200), default="")  # for the host alone
    created_at: Mapped[dt.datetime] = mapped_column(UTCDateTime, default=now)
