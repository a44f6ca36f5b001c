"""Erasing a visitor: afterwards the file of the database has no byte of the person."""

from flask import Flask
from sqlalchemy.orm import Session

from calapp.bookings.models import Booking
from calapp.config import Settings
from tests.privacy.traces import ADA, flask


def test_no_byte_of_the_file_tells_of_an_erased_visitor(
    app: Flask, session: Session, story: Booking, settings: Settings
) -> None:
    session.rollback()
    flask(app, "erase-visitor", ADA)
    raw = b"".join(path.read_bytes() for path in settings.data_dir.glob("calapp.sqlite3*")).lower()
    assert b"event" in raw
    assert [
        word for word in (ADA.lower().encode(), b"byron", b"echoed-back", b"reason-why") if word in raw
    ] == []
