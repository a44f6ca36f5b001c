"""What the story tells about Ada, and how it is looked for."""

import json
import re
from datetime import UTC, datetime

from click.testing import Result
from flask import Flask
from sqlalchemy.orm import Session

from calapp.bookings.schemas import BookingRequest
from calapp.db import Model, db
from tests.booking_requests import booking_request

ADA = "Ada.Byron@example.com"
MONDAY = datetime(2027, 1, 4, 7, tzinfo=UTC)
# What the story puts into the database about Ada, in lower case.
TRACES = ("ada", "byron", "4711-metadata", "secret-notes", "reason-why", "london", "echoed-back", "answer-of")


def request(hour: int, **more: object) -> BookingRequest:
    values = {
        "email": ADA,
        "notes": "secret-notes of Ada",
        "guests": ("grace@example.com",),
        "answers": {"topic": "answer-of-ada"},
        "metadata": {"user_id": "4711-metadata"},
    }
    return booking_request(datetime(2027, 1, 5, hour, tzinfo=UTC), **{**values, **more})


def flask(app: Flask, *words: str) -> Result:
    db.session.rollback()  # a read that is open keeps SQLite from letting go of its pages
    result = app.test_cli_runner().invoke(args=list(words))
    assert result.exit_code == 0, result.output
    return result


def dump(session: Session) -> str:
    """Return every value of every column of every table, in lower case."""
    session.rollback()
    rows = [session.execute(table.select()).all() for table in Model.metadata.sorted_tables]
    session.rollback()
    found = [[list(row) for row in table] for table in rows]
    return json.dumps(found, default=str, ensure_ascii=False).lower()


def traces(session: Session) -> list[str]:
    found = dump(session)
    # Whole words: three letters of a name also come by chance in what is random or encrypted.
    return [word for word in TRACES if re.search(rf"\b{word}\b", found)]
