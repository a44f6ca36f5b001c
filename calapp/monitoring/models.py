"""Counters that all processes share, and how far the rows have been counted."""

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
    """How far one table's rows are counted, by their ids."""

    __tablename__ = "tally_cursor"

    source: Mapped[str] = mapped_column(String(40), primary_key=True)
    counted: Mapped[int] = mapped_column(default=0)  # the last id that is counted
    # The highest id at the last look; rows up to it are all committed by the next, so none is passed over.
    seen: Mapped[int] = mapped_column(default=0)
