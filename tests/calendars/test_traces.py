"""What is left of calendars elsewhere: in an export, under another key, in the metrics, and on the pages."""

import json
from collections.abc import Callable

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from calapp.bookings import service as bookings
from calapp.calendars.models import CalendarConflict, Credentials, ExternalCalendar
from calapp.db import db, transaction
from calapp.encryption import MARK
from calapp.event_types.models import EventType
from calapp.privacy import sealed
from tests.booking_requests import booking_request
from tests.calendars.conftest import MONDAY
from tests.privacy.traces import flask
from tests.receiver import Receiver


def test_an_export_has_the_times_and_neither_address_nor_password(
    app: Flask, work: ExternalCalendar, change: Callable[..., None]
) -> None:
    change(work, credentials=Credentials("rick", "hush-hush"))
    written = flask(app, "export-user", "rick").output
    made = json.loads(written)
    assert [len(made[name]) for name in ("external_calendar", "external_busy")] == [1, 1]
    assert [secret for secret in ("work.ics", "hush-hush", MARK) if secret in written] == []


def test_address_and_password_are_encrypted_anew(
    work: ExternalCalendar, server: Receiver, change: Callable[..., None], session: Session
) -> None:
    change(work, sealed_address=server.url("/work.ics"))  # as no version has written it, but as it reads
    assert sealed.stale(session)[ExternalCalendar] == [work.id]
    with transaction() as writing:
        assert sealed.encrypt(writing, ExternalCalendar, [work.id]) == 1
    db.session.expire_all()
    assert work.sealed_address.startswith(MARK)
    assert work.address == server.url("/work.ics")


def test_metrics_say_which_calendars_fail(
    client: FlaskClient, work: ExternalCalendar, change: Callable[..., None]
) -> None:
    change(work, error_code="status_404", error="Gone")
    found = client.get("/metrics").text
    assert 'calapp_calendars_failing{reason="status_404"} 1.0' in found
    assert "calapp_calendar_oldest_copy_seconds" in found


def test_the_bookings_page_shows_an_overlap(
    rick_client: FlaskClient, quick_chat: EventType, work: ExternalCalendar, saved: Callable[..., None]
) -> None:
    with transaction() as session:
        booking = bookings.book(session, quick_chat, booking_request(MONDAY.replace(hour=11)))
    saved(CalendarConflict(booking_id=booking.id, calendar_id=work.id))
    assert "Overlaps with Work" in rick_client.get("/bookings/upcoming").text
    assert "takes this time, too" in rick_client.get(f"/bookings/{booking.uid}").text
