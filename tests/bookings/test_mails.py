"""What the mails about a booking say, to whom, and in whose zone."""

from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.bookings import service
from calapp.bookings.emails import write_emails
from calapp.db import transaction
from calapp.mail import Email
from tests.booking_requests import move_request
from tests.bookings.conftest import TUESDAY_TEN

NOON = TUESDAY_TEN + timedelta(hours=2)


def act(function, *arguments, **more):
    with transaction() as session:
        return function(session, *arguments, **more)


@pytest.fixture
def mails(session: Session):
    """Return a function that reads the mails written so far."""

    def read(recipient: str | None = None) -> list[Email]:
        write_emails()
        session.rollback()
        found = session.scalars(select(Email).order_by(Email.id))
        return [mail for mail in found if recipient in {None, mail.recipient}]

    return read


def test_visitor_guests_and_host_are_told_in_their_zones(book, mails) -> None:
    book(guests=("eve@example.com",), notes="Bring cake")
    assert [mail.recipient for mail in mails()] == ["ada@example.com", "eve@example.com", "rick@example.com"]
    assert "10:00 – 10:15 (Europe/London)" in mails("ada@example.com")[0].body
    assert "11:00 – 11:15 (Europe/Berlin)" in mails("rick@example.com")[0].body
    assert ["Notes: Bring cake" in mail.body for mail in mails()] == [True, False, True]


def test_clocks_have_twelve_hours_in_emails_to_where_that_is_usual(book, mails) -> None:
    book(time_zone="America/New_York")
    assert "5:00am – 5:15am (America/New_York)" in mails("ada@example.com")[0].body
    assert "11:00 – 11:15 (Europe/Berlin)" in mails("rick@example.com")[0].body


def test_each_side_answers_the_other(book, mails) -> None:
    book()
    assert [mail.reply_to for mail in mails()] == ["rick@example.com", "ada@example.com"]


def test_the_host_is_led_to_their_own_page(book, mails) -> None:
    uid = book().uid
    assert f"/booking/{uid}\n" in mails("ada@example.com")[0].body
    assert f"/bookings/{uid}\n" in mails("rick@example.com")[0].body


def test_answers_to_the_hosts_questions_are_told(book, quick_chat, change, mails) -> None:
    question = {"name": "topic", "label": "Topic?", "type": "text", "required": True, "options": []}
    change(quick_chat, questions=[question, question | {"name": "ok", "label": "OK?", "type": "checkbox"}])
    book(answers={"topic": "Art", "ok": True})
    assert "Topic?: Art\nOK?: Yes\n" in mails()[0].body


def test_a_life_with_confirmation_is_told_step_by_step(book, quick_chat, change, mails) -> None:
    change(quick_chat, requires_confirmation=True)
    booking = book()
    act(service.confirm, booking)
    moved = act(service.reschedule, booking, move_request(NOON, "Late"), by="ada@example.com")
    act(service.reject, moved, "On holiday")
    subjects = [mail.subject.split(":")[0] for mail in mails("ada@example.com")]
    assert subjects == ["Waiting for confirmation", "Confirmed", "Waiting for confirmation", "Declined"]
    assert "Reason for rescheduling: Late" in mails("ada@example.com")[2].body
    assert "Reason: On holiday" in mails("ada@example.com")[3].body
    assert [mail.calendar_method for mail in mails("ada@example.com")][-1] == "CANCEL"


def test_a_moved_meeting_names_the_time_before(book, mails) -> None:
    act(service.reschedule, book(), move_request(NOON), by="ada@example.com")
    body = mails("ada@example.com")[-1].body
    assert "When: Tuesday, 5 January 2027, 12:00 – 12:15 (Europe/London)" in body
    assert "Previously: Tuesday, 5 January 2027, 10:00 – 10:15 (Europe/London)" in body


def test_a_cancelled_meeting_says_why_and_offers_no_more_changes(book, mails) -> None:
    act(service.cancel, book(), by="ada@example.com", reason="Ill")
    assert "Reason for cancelling: Ill" in mails("rick@example.com")[-1].body
    assert "move or cancel" not in mails("rick@example.com")[-1].body


def test_a_booking_that_fails_writes_no_mail(client: FlaskClient, book, mails) -> None:
    book()
    form = {"start": "2027-01-05T10:00:00Z", "name": "Bob", "email": "bob@example.com", "time_zone": "UTC"}
    assert client.post("/rick/quick-chat", data=form).status_code == 409
    assert len(mails()) == 2


def test_an_odd_name_adds_no_line_to_a_subject(book, mails) -> None:
    book(name="Ada\r\nBcc: eve@example.com")
    assert all("\n" not in mail.subject for mail in mails())


def test_mails_that_are_kept_are_shown_to_the_host(rick_client: FlaskClient, book, mails) -> None:
    page = rick_client.get(f"/bookings/{book().uid}").text
    assert "Not sent (no SMTP server)" in page
    assert "Booked: Quick chat with Rick" in page
    assert "New booking: Quick chat between Rick and Ada Byron" in page


def test_a_mail_that_failed_is_shown_with_its_reason(rick_client, book, mails, change) -> None:
    booking = book()
    change(mails()[0], error="The mail server refused the address: 550 No such person")
    assert "550 No such person" in rick_client.get(f"/bookings/{booking.uid}").text
