"""A meeting link of its own for each booking."""

import json

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from calapp.bookings import service
from calapp.bookings.emails import write_emails
from calapp.bookings.models import Booking
from calapp.bookings.responses import shown
from calapp.db import transaction
from calapp.deliveries.models import Event
from calapp.event_types.models import LocationKind
from calapp.mail import Email
from tests.booking_requests import move_request
from tests.bookings.conftest import TUESDAY_TEN
from tests.bookings.contract import check

BOOKER = "/rick/quick-chat"
ROOM = "https://meet.example/{uid}"


@pytest.fixture(autouse=True)
def rooms(quick_chat, change) -> None:
    change(quick_chat, location_kind=LocationKind.LINK, location=ROOM)


def link_of(booking: Booking) -> str:
    return f"https://meet.example/{booking.uid}"


def last_payload(session) -> dict:
    session.rollback()
    body = json.loads(session.scalars(select(Event.body).order_by(Event.number.desc())).first() or "")
    check(body)
    return body["payload"]


def test_a_booking_has_its_link_everywhere(book, session, client: FlaskClient, rick_client) -> None:
    booking = book(guests=("eve@example.com",))
    link = link_of(booking)
    told = last_payload(session)
    assert {told["location"], told["meetingUrl"], told["videoCallUrl"]} == {link}
    answer = shown(booking)
    assert {answer.location, answer.meeting_url, answer.video_call_url} == {link}
    write_emails()
    for email in session.scalars(select(Email)):
        assert f"Where: {link}\n" in email.body
        assert f"LOCATION:{link}" in email.calendar.replace("\r\n ", "")
    assert f'<a href="{link}"' in client.get(f"/booking/{booking.uid}").text
    assert f'<a href="{link}"' in rick_client.get(f"/bookings/{booking.uid}").text


def test_two_bookings_have_two_links(book) -> None:
    assert book().location != book(TUESDAY_TEN.replace(minute=15)).location


def test_the_booker_shows_no_link_before_there_is_one(client: FlaskClient) -> None:
    page = client.get(BOOKER).text
    assert "Meeting link, sent after booking" in page
    assert "meet.example" not in page


def test_a_moved_booking_has_a_link_of_its_new_uid(book, session) -> None:
    booking, move = book(), move_request(TUESDAY_TEN.replace(hour=12))
    with transaction() as writing:
        moved = service.reschedule(writing, booking, move, by="ada@example.com")
    assert moved.location == link_of(moved)
    assert last_payload(session)["meetingUrl"] == link_of(moved)


def test_a_place_that_is_no_link_has_no_meeting_url(book, quick_chat, change, session) -> None:
    change(quick_chat, location_kind=LocationKind.IN_PERSON, location="Room {uid}")
    assert book().location == "Room {uid}"
    told = last_payload(session)
    assert (told["meetingUrl"], told["videoCallUrl"]) == (None, None)
