"""Reminders: on time, once, and never for what does not take place."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import select

from calapp import mail, maintenance
from calapp.bookings import service
from calapp.bookings.emails import write_emails
from calapp.bookings.maintenance import record_meetings
from calapp.bookings.models import find
from calapp.db import transaction
from calapp.deliveries.models import Event
from calapp.mail import Email
from tests.booking_requests import move_request
from tests.bookings.conftest import MONDAY, TUESDAY_TEN
from tests.conftest import on_both_databases

pytestmark = on_both_databases

MINUTE = timedelta(minutes=1)
NOON = TUESDAY_TEN + timedelta(hours=2)


VISITOR = "ada@example.com"
FORM = {
    "start": "2027-01-05T10:00:00Z",
    "name": "Ada",
    "email": VISITOR,
    "time_zone": "Europe/London",
}


def act(function, *arguments, **more):
    with transaction() as session:
        return function(session, *arguments, **more)


@pytest.fixture(autouse=True)
def reminding(quick_chat, change) -> None:
    change(quick_chat, reminders=[1440, 60, 10])


@pytest.fixture
def reminded(session):
    """Return a function that gives what each reminder so far says, in minutes before the start."""

    def read() -> list[int]:
        session.rollback()
        query = select(Event.body).where(Event.trigger == "BOOKING_REMINDER").order_by(Event.number)
        return [json.loads(body)["payload"]["minutesBefore"] for body in session.scalars(query)]

    return read


@pytest.fixture
def emails(session):
    """Return a function that gives the reminders that were written, or have become of."""

    def read() -> list[Email]:
        write_emails()
        session.rollback()
        query = select(Email).where(Email.subject == "Reminder: Quick chat with Rick").order_by(Email.id)
        return list(session.scalars(query))

    return read


def at(monday, moment) -> None:
    monday.move_to(moment)
    record_meetings()
    record_meetings()


def test_each_reminder_is_sent_on_time_and_once(book, reminded, monday) -> None:
    book()
    for before in (1440, 60, 10):
        at(monday, TUESDAY_TEN - before * MINUTE - timedelta(seconds=1))
        said = reminded()
        at(monday, TUESDAY_TEN - before * MINUTE)
        assert reminded() == [*said, before]
    at(monday, TUESDAY_TEN)
    assert reminded() == [1440, 60, 10]


def test_the_day_before_is_no_reminder_for_who_books_an_hour_ahead(
    book, quick_chat, change, reminded, monday
):
    change(quick_chat, notice=0)
    monday.move_to(TUESDAY_TEN - 30 * MINUTE)
    book()
    at(monday, TUESDAY_TEN)
    assert reminded() == []
    book(NOON)
    at(monday, NOON - 10 * MINUTE)
    assert reminded() == [60, 10]


def test_visitor_and_guests_get_an_email_without_an_invitation(book, emails, monday) -> None:
    book(guests=("eve@example.com",), notes="Bring cake")
    at(monday, TUESDAY_TEN - 60 * MINUTE)
    assert [one.recipient for one in emails()] == ["ada@example.com", "eve@example.com"]
    assert "10:00 – 10:15 (Europe/London)" in emails()[0].body
    assert ["Bring cake" in one.body for one in emails()] == [True, False]
    assert {one.calendar for one in emails()} == {None}
    assert {one.expires_at for one in emails()} == {TUESDAY_TEN}


def test_several_that_are_late_make_one_email_and_all_events(book, reminded, emails, monday) -> None:
    book(TUESDAY_TEN + timedelta(days=1))
    at(monday, TUESDAY_TEN + timedelta(days=1) - 9 * MINUTE)
    assert reminded() == [1440, 60, 10]
    assert len(emails()) == 1


def test_nothing_is_sent_after_the_start(book, reminded, emails, triggers, monday) -> None:
    booking = book()
    at(monday, TUESDAY_TEN)
    assert (reminded(), emails(), triggers()) == ([], [], ["BOOKING_CREATED", "MEETING_STARTED"])
    assert booking.reminder_at is None


def test_an_event_of_a_reminder_expires_at_the_start(book, session, monday) -> None:
    book()
    at(monday, TUESDAY_TEN - 10 * MINUTE)
    session.rollback()
    query = select(Event.expires_at).where(Event.trigger == "BOOKING_REMINDER")
    assert set(session.scalars(query)) == {TUESDAY_TEN}


def test_a_cancelled_booking_has_no_reminders(book, reminded, monday) -> None:
    act(service.cancel, book(), by="ada@example.com", reason="")
    at(monday, TUESDAY_TEN - 5 * MINUTE)
    assert reminded() == []


def test_a_moved_booking_is_reminded_of_by_its_new_time(book, reminded, emails, monday) -> None:
    act(service.reschedule, book(), move_request(NOON), by="ada@example.com")
    at(monday, TUESDAY_TEN - 5 * MINUTE)
    assert reminded() == [1440]
    at(monday, NOON - 60 * MINUTE)
    assert reminded() == [1440, 60]
    assert all("12:00 – 12:15" in one.body for one in emails())


@pytest.mark.parametrize(
    ("languages", "tf", "zone", "clock"),
    [
        ("en-US,en;q=0.9", "", "Europe/London", "10:00am"),
        ("de", "", "America/New_York", "05:00"),
        ("en-US", "24", "Europe/London", "10:00 –"),
        ("de", "12", "Europe/Berlin", "11:00am"),
        ("", "", "America/New_York", "5:00am"),
    ],
)
def test_every_email_has_the_clock_of_the_page(
    client, quick_chat, session, monday, languages, tf, zone, clock
) -> None:
    query, headers = f"?tf={tf}" if tf else "", {"Accept-Language": languages} if languages else {}
    form = {**FORM, "time_zone": zone, "guests": "eve@example.com"}
    uid = client.post(f"/rick/quick-chat{query}", data=form, headers=headers).location.split("/")[2]
    at(monday, TUESDAY_TEN - 60 * MINUTE)
    write_emails()
    with transaction() as writing:
        service.cancel(writing, find(writing, uid), by="rick@example.com", reason="Ill")
    write_emails()
    session.rollback()
    bodies = {
        one.subject: one.body for one in session.scalars(select(Email).where(Email.recipient == VISITOR))
    }
    assert list(bodies) == [f"{kind}: Quick chat with Rick" for kind in ("Booked", "Reminder", "Cancelled")]
    assert [clock in body for body in bodies.values()] == [True] * 3, bodies


def test_a_visitor_who_moves_a_booking_elsewhere_brings_another_clock(
    client, quick_chat, session, monday
) -> None:
    american, german = {"Accept-Language": "en-US"}, {"Accept-Language": "de-DE"}
    uid = client.post("/rick/quick-chat", data=FORM, headers=american).location.split("/")[2]
    form = {"start": "2027-01-05T14:00:00Z"}
    client.post(f"/booking/{uid}/reschedule", data=form, headers=german)
    write_emails()
    session.rollback()
    bodies = session.scalars(select(Email.body).where(Email.recipient == VISITOR).order_by(Email.id)).all()
    assert "10:00am – 10:15am" in bodies[0]
    assert "14:00 – 14:15" in bodies[1]


def test_a_request_is_reminded_of_once_it_is_confirmed(book, quick_chat, change, reminded, monday) -> None:
    change(quick_chat, requires_confirmation=True)
    booking = book()
    at(monday, TUESDAY_TEN - 60 * MINUTE)
    assert reminded() == []
    act(service.confirm, booking)
    at(monday, TUESDAY_TEN - 10 * MINUTE)
    assert reminded() == [10]


def test_a_reminder_that_the_host_removed_is_not_sent(book, quick_chat, change, reminded, monday) -> None:
    book()
    change(quick_chat, reminders=[10])
    at(monday, TUESDAY_TEN - 60 * MINUTE)
    assert reminded() == []
    at(monday, TUESDAY_TEN - 10 * MINUTE)
    assert reminded() == [10]


def test_nobody_is_reminded_whose_emails_the_host_holds_back(book, emails, session, monday, rick) -> None:
    booking = book()
    write_emails()
    with transaction() as writing:
        for one in writing.scalars(select(Email).where(Email.about == booking.uid)):
            one.parked_at = MONDAY
    at(monday, TUESDAY_TEN - 60 * MINUTE)
    act(mail.take_parked, rick.id, send=False)
    at(monday, TUESDAY_TEN - 10 * MINUTE)
    assert emails() == []


def queued(emails) -> None:
    """Have reminders wait for a mail server."""
    found = emails()
    with transaction():
        for one in found:
            one.due_at = MONDAY


def test_a_reminder_that_waits_for_the_mail_server_is_dropped_by_a_cancellation(book, emails, monday) -> None:
    booking = book()
    at(monday, TUESDAY_TEN - 60 * MINUTE)
    queued(emails)
    act(service.cancel, booking, by="ada@example.com", reason="")
    assert [(one.due_at, one.error) for one in emails()] == [(None, mail.SUPERSEDED)]


def test_a_reminder_that_waits_for_the_mail_server_is_dropped_at_the_start(
    book, emails, monday, monkeypatch, app, settings
) -> None:
    book()
    at(monday, TUESDAY_TEN - 60 * MINUTE)
    queued(emails)
    monday.move_to(TUESDAY_TEN)
    monkeypatch.setattr(mail, "settings", lambda: type("Settings", (), {"smtp_url": "smtp://127.0.0.1:9"}))
    monkeypatch.setattr(mail, "database_now", lambda _session: TUESDAY_TEN)
    maintenance.send_emails()
    assert [(one.due_at, one.error) for one in emails()] == [(None, mail.EXPIRED)]
