"""An event type of several lengths, of which the visitor chooses."""

import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from calapp.bookings import service
from calapp.bookings.models import Booking, BusySlot
from calapp.bookings.schemas import BookingRequest
from calapp.db import transaction
from calapp.errors import Invalid, SlotTaken
from tests.booking_requests import booking_request, move_request
from tests.bookings.conftest import TUESDAY_TEN
from tests.bookings.test_booker import kept, slots

BOOKER = "/rick/quick-chat"
FORM = {"name": "Ada", "email": "ada@example.com", "time_zone": "UTC", "start": "2027-01-05T10:00:00Z"}


@pytest.fixture(autouse=True)
def several(quick_chat, change) -> None:
    change(quick_chat, lengths=[15, 30, 60])


def lasting(minutes: int | None) -> BookingRequest:
    return booking_request(TUESDAY_TEN).model_copy(update={"length_in_minutes": minutes})


def chosen(page: str) -> list[str]:
    return re.findall(r'name="duration" value="(\d+)" aria-current="true"', page)


def test_the_booker_lets_choose_and_offers_times_of_that_length(client: FlaskClient) -> None:
    page = client.get(f"{BOOKER}?date=2027-01-05&tz=UTC").text
    assert re.findall(r'name="duration" value="(\d+)"', page) == ["15", "30", "60"]
    assert (chosen(page), len(slots(page))) == (["15"], 32)
    page = client.get(f"{BOOKER}?date=2027-01-05&tz=UTC&duration=60").text
    assert (chosen(page), len(slots(page))) == (["60"], 8)
    assert ("duration", "60") in kept(page)


def test_the_form_says_and_keeps_the_length(client: FlaskClient) -> None:
    page = client.get(f"{BOOKER}?slot=2027-01-05T10:00:00Z&tz=UTC&duration=60").text
    assert "10:00 – 11:00" in page
    assert "<span>1 h</span>" in page
    assert ("duration", "60") in kept(page)


def test_a_booking_lasts_as_long_as_was_chosen(client: FlaskClient, session) -> None:
    client.post(BOOKER, data=FORM | {"duration": "60"})
    booking = session.scalars(select(Booking)).one()
    assert booking.minutes == 60
    assert len(session.scalars(select(BusySlot)).all()) == 12


def test_without_a_choice_it_is_the_usual_length(client: FlaskClient, session) -> None:
    client.post(BOOKER, data=FORM)
    assert session.scalars(select(Booking)).one().minutes == 15


@pytest.mark.parametrize("duration", ["45", "0", "-15", "long", "9" * 400])
def test_a_length_that_is_not_offered_is_refused_in_words(client: FlaskClient, session, duration) -> None:
    words = "It can last 15 min, 30 min or 1 h."
    answer = client.post(BOOKER, data=FORM | {"duration": duration})
    assert (answer.status_code, words in answer.text) == (422, True)
    page = client.get(f"{BOOKER}?date=2027-01-05&tz=UTC&duration={duration}").text
    assert words in page
    assert chosen(page) == ["15"]
    assert "duration" not in dict(kept(page))
    assert session.scalar(select(Booking)) is None


def test_a_link_with_the_one_length_that_there_is_is_right(client, quick_chat, change) -> None:
    change(quick_chat, lengths=[])
    assert "can last" not in client.get(f"{BOOKER}?duration=15").text
    assert "It can last 15 min." in client.get(f"{BOOKER}?duration=30").text


def test_a_longer_meeting_does_not_fit_before_another(book, quick_chat) -> None:
    book(TUESDAY_TEN.replace(minute=30))
    with pytest.raises(SlotTaken), transaction() as session:
        service.book(session, quick_chat, lasting(60))
    with transaction() as session:
        assert service.book(session, quick_chat, lasting(30)).minutes == 30


def test_the_service_takes_no_other_length(quick_chat) -> None:
    with pytest.raises(Invalid, match="It can last 15 min, 30 min or 1 h"), transaction() as session:
        service.book(session, quick_chat, lasting(45))


def test_a_move_keeps_the_length_even_of_one_that_is_not_offered_any_more(
    client: FlaskClient, quick_chat, change
) -> None:
    with transaction() as session:
        booking = service.book(session, quick_chat, lasting(60))
    change(quick_chat, lengths=[])
    page = client.get(f"/booking/{booking.uid}/reschedule?date=2027-01-06&tz=UTC").text
    assert len(slots(page)) == 8
    assert "<span>1 h</span>" in page
    with transaction() as session:
        noon = TUESDAY_TEN.replace(hour=12)
        moved = service.reschedule(session, booking, move_request(noon), by="ada@example.com")
    assert moved.minutes == 60
