"""A host changes where a booking takes place, who comes and its notes."""

import json

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from calapp.bookings import service
from calapp.bookings.changes import add_attendee, change
from calapp.bookings.emails import write_emails
from calapp.bookings.schemas import Guest
from calapp.db import transaction
from calapp.deliveries.models import Event
from calapp.errors import Conflict
from calapp.mail import Email
from tests.api.conftest import Client, details, rick_api, with_key
from tests.booking_requests import move_request
from tests.bookings.conftest import TUESDAY_TEN
from tests.bookings.contract import check

__all__ = ["rick_api", "with_key"]

NOON = TUESDAY_TEN.replace(hour=12)
EVE, ZOE = "eve@example.com", "zoe@example.com"


def act(function, *arguments, **more):
    with transaction() as session:
        return function(session, *arguments, **more)


@pytest.fixture
def changes(session):
    """Return a function that gives what each BOOKING_UPDATED so far says that changed."""

    def read() -> list[dict]:
        session.rollback()
        query = select(Event.body).where(Event.trigger == "BOOKING_UPDATED").order_by(Event.number)
        bodies = [json.loads(body) for body in session.scalars(query)]
        for body in bodies:
            check(body)
        return [body["payload"]["changes"] for body in bodies]

    return read


def newest(session) -> dict[str, Email]:
    """Return the last email to each reader."""
    write_emails()
    session.rollback()
    return {one.recipient: one for one in session.scalars(select(Email).order_by(Email.id))}


def test_the_form_shows_and_changes_a_booking(rick_client: FlaskClient, book, changes) -> None:
    booking = book(guests=(EVE,), notes="Bring cake")
    page = rick_client.get(f"/bookings/{booking.uid}/edit").text
    assert f'value="{EVE}"' in page
    assert "Bring cake" in page
    form = {"location": "Room 5", "guests": f"{EVE}, {ZOE}", "notes": ""}
    answer = rick_client.post(f"/bookings/{booking.uid}/edit", data=form)
    assert (answer.status_code, answer.location) == (303, f"/bookings/{booking.uid}")
    assert changes() == [
        {
            "location": {"from": "", "to": "Room 5"},
            "guests": {"from": [EVE], "to": [EVE, ZOE]},
            "notes": {"from": "Bring cake", "to": ""},
        }
    ]
    page = rick_client.get(f"/bookings/{booking.uid}").text
    assert "Room 5" in page
    assert ZOE in page


def test_a_form_with_mistakes_comes_back_as_it_was(rick_client: FlaskClient, book, changes) -> None:
    form = {"location": "Room 5", "guests": "nobody", "notes": "x" * 5001}
    answer = rick_client.post(f"/bookings/{book().uid}/edit", data=form)
    assert answer.status_code == 422
    assert 'id="field-guests-error"' in answer.text
    assert 'id="field-notes-error"' in answer.text
    assert 'value="Room 5"' in answer.text
    assert changes() == []


def test_what_is_the_same_is_no_change(book, changes, session) -> None:
    booking = book(guests=(EVE,), notes="Hi")
    before = len(newest(session))
    act(change, booking, {"location": "", "guests": [EVE], "notes": "Hi"})
    assert (changes(), len(newest(session)), booking.ical_sequence) == ([], before, 0)


def test_everyone_is_told_with_a_newer_invitation(book, session) -> None:
    booking = book(guests=(EVE,))
    act(change, booking, {"location": "https://meet.example/rick"})
    for email in newest(session).values():
        assert email.subject.startswith("Updated: ")
        assert "Where: https://meet.example/rick" in email.body
        assert "SEQUENCE:1" in email.calendar
        assert email.calendar_method == "REQUEST"


def test_a_guest_who_is_removed_is_told_and_others_keep_their_place(book, session) -> None:
    booking = book(guests=(EVE, ZOE))
    act(change, booking, {"guests": [ZOE, "ada@example.com", "rick@example.com"]})
    session.refresh(booking)
    assert [(one.position, one.email) for one in booking.attendees] == [(0, "ada@example.com"), (1, ZOE)]
    told = newest(session)[EVE]
    assert told.subject == "No longer invited: Quick chat with Rick"
    assert (told.calendar_method, "METHOD:CANCEL" in told.calendar) == ("CANCEL", True)
    assert "STATUS:CANCELLED" in told.calendar


def test_what_is_over_or_cancelled_cannot_be_changed(book, rick_client, monday, changes) -> None:
    booking, cancelled = book(), book(TUESDAY_TEN.replace(minute=15))
    act(service.cancel, cancelled, by="ada@example.com", reason="")
    with pytest.raises(Conflict, match="already cancelled"):
        act(change, cancelled, {"notes": "Hi"})
    monday.move_to(TUESDAY_TEN.replace(hour=11))
    with pytest.raises(Conflict, match="is over"):
        act(change, booking, {"notes": "Hi"})
    assert rick_client.get(f"/bookings/{booking.uid}/edit").status_code == 303
    answer = rick_client.post(f"/bookings/{booking.uid}/edit", data={})
    assert (answer.status_code, "can no longer be changed" in answer.text) == (409, True)
    assert changes() == []


def test_the_api_changes_what_is_given(rick_api: Client, book, changes) -> None:
    uid = book(notes="Hi").uid
    answer = rick_api.patch(
        f"/v2/bookings/{uid}", {"guests": [EVE], "location": {"type": "address", "address": "5"}}
    )
    assert answer.status_code == 200, answer.text
    booking = answer.get_json()["data"]
    assert (booking["guests"], booking["location"], booking["description"]) == ([EVE], "5", "Hi")
    link = {"location": {"type": "link", "link": "https://meet.example/x"}}
    booking = rick_api.patch(f"/v2/bookings/{uid}/location", link).get_json()["data"]
    assert booking["meetingUrl"] == "https://meet.example/x"
    booking = rick_api.post(f"/v2/bookings/{uid}/guests", {"guests": [{"email": ZOE}]}).get_json()["data"]
    assert booking["guests"] == [EVE, ZOE]
    assert [list(one) for one in changes()] == [["location", "guests"], ["location"], ["guests"]]


WRONG = [
    ("patch", "", {"location": {"type": "moon"}}, "location.type"),
    ("patch", "", {"location": {"type": "link", "link": "ftp://x"}}, "location"),
    ("patch", "", {"guests": ["x"]}, "guests"),
    ("patch", "", {"description": "x" * 5001}, "description"),
    ("patch", "/location", {}, "location"),
    ("post", "/guests", {"guests": [{"email": f"g{number}@example.com"} for number in range(20)]}, "guests"),
]


@pytest.mark.parametrize(("method", "path", "body", "field"), WRONG)
def test_the_api_names_what_is_wrong(rick_api: Client, book, changes, method, path, body, field) -> None:
    uid = book(guests=(EVE,)).uid
    answer = getattr(rick_api, method)(f"/v2/bookings/{uid}{path}", body)
    assert (answer.status_code, list(details(answer))) == (400, [field])
    assert changes() == []


def test_a_guest_in_another_zone_stays_there_when_the_booking_moves(book, session) -> None:
    booking = book()
    guest = Guest.model_validate({"email": EVE, "timeZone": "Asia/Tokyo"})
    act(add_attendee, booking, guest)
    moved = act(service.reschedule, booking, move_request(NOON), by="ada@example.com")
    assert [one.time_zone for one in moved.attendees] == ["Europe/London", "Asia/Tokyo"]
    assert "21:00 – 21:15 (Asia/Tokyo)" in newest(session)[EVE].body
