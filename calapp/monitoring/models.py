"""Counters that all processes share."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from calapp.db import db


class Tally(db.Model):
    """A counter of /metrics; it only grows, and outlives the rows that it counted."""

    __tablename__ = "tally"

    metric: Mapped[str] = mapped_column(String(40), primary_key=True)
    event: Mapped[str] = mapped_column(String(40), primary_key=True)  # a trigger, or empty
    outcome: Mapped[str] = mapped_column(String(40), primary_key=True)  # how it ended, or empty
    value: Mapped[float]


class TallyCursor(db.Model):
    """Unused, and kept for the version before, which counts new rows by their ids.

    While workers of both versions run, its workers count what this one's processes have counted, too.
    """

    __tablename__ = "tally_cursor"

    source: Mapped[str] = mapped_column(String(40), primary_key=True)
    counted: Mapped[int] = mapped_column(default=0)
    seen: Mapped[int] = mapped_column(default=0)
