"""Emails about bookings are written when they are sent, and say what was so when it happened."""

from dataclasses import replace
from datetime import timedelta

from flask.testing import FlaskClient
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from calapp import mail, maintenance
from calapp.bookings import changes, emails, service
from calapp.bookings.emails import write_emails
from calapp.bookings.maintenance import record_meetings
from calapp.bookings.models import Booking, Notification
from calapp.db import database_now, db, transaction
from calapp.deliveries.models import Event
from calapp.mail import Email
from tests.booking_requests import move_request
from tests.bookings.conftest import TUESDAY_TEN
from tests.conftest import on_both_databases

pytestmark = on_both_databases

NOON = TUESDAY_TEN + timedelta(hours=2)


def act(function, *arguments, **more):
    with transaction() as session:
        return function(session, *arguments, **more)


def to_ada(session: Session) -> list[Email]:
    write_emails()
    session.rollback()
    return list(session.scalars(select(Email).where(Email.recipient == "ada@example.com").order_by(Email.id)))


def test_a_booking_writes_no_email_and_the_worker_does(book, session: Session) -> None:
    booking = book(guests=("eve@example.com",))
    assert session.scalars(select(Email)).all() == []
    maintenance.send_emails()
    session.rollback()
    people = session.scalars(select(Email.recipient).order_by(Email.id)).all()
    assert people == ["ada@example.com", "eve@example.com", "rick@example.com"]
    assert {one.about for one in session.scalars(select(Email))} == {booking.uid}
    assert session.scalars(select(Notification)).all() == []
    maintenance.send_emails()
    assert session.scalar(select(func.count(Email.id))) == 3


def test_emails_that_are_late_say_what_was_so_at_their_event(book, session: Session) -> None:
    booking = book(notes="Bring cake")
    moved = act(service.reschedule, booking, move_request(NOON, "Late"), by="ada@example.com")
    act(changes.change, moved, {"location": "Room 5", "notes": ""})
    act(service.cancel, moved, by="rick@example.com", reason="Down with the flu")
    booked, rescheduled, updated, cancelled = to_ada(session)
    assert "Notes: Bring cake" in booked.body
    assert "10:00 – 10:15" in booked.body
    assert "View, reschedule or cancel: " in booked.body
    assert "Down with the flu" not in booked.body + rescheduled.body + updated.body
    assert "Previously: " in rescheduled.body
    assert "Reason for rescheduling: Late" in rescheduled.body
    assert "Where: Room 5" in updated.body
    assert "Room 5" not in rescheduled.body
    assert "Reason for cancelling: Down with the flu" in cancelled.body
    methods = [one.calendar_method for one in (booked, rescheduled, updated, cancelled)]
    assert methods == ["REQUEST", "REQUEST", "REQUEST", "CANCEL"]
    sequences = [one.calendar.partition("SEQUENCE:")[2].splitlines()[0] for one in to_ada(session)]
    assert sequences == ["0", "1", "2", "3"]


def test_a_request_that_is_told_after_its_start_is_still_a_request(
    book, quick_chat, change, session: Session, monday
) -> None:
    change(quick_chat, requires_confirmation=True)
    book()
    monday.move_to(TUESDAY_TEN + timedelta(minutes=1))
    record_meetings()
    asked, unanswered = to_ada(session)
    assert ("not confirmed" in asked.body, asked.calendar_method) == (False, "REQUEST")
    assert ("not confirmed" in unanswered.body, unanswered.calendar_method) == (True, "CANCEL")


def test_who_was_removed_is_told_so(book, session: Session) -> None:
    booking = book(guests=("eve@example.com",))
    act(changes.change, booking, {"guests": []})
    write_emails()
    to_eve = select(Email).where(Email.recipient == "eve@example.com").order_by(Email.id)
    booked, removed = session.scalars(to_eve)
    assert booked.subject == "Booked: Quick chat with Rick"
    assert (removed.subject, removed.calendar_method) == ("No longer invited: Quick chat with Rick", "CANCEL")


def test_the_hosts_page_shows_emails_before_they_are_written(
    book, rick_client: FlaskClient, client: FlaskClient
) -> None:
    booking = book(notes="Bring cake")
    page = rick_client.get(f"/bookings/{booking.uid}").text
    assert page.count("<summary>Booked: Quick chat with Rick</summary>") == 1
    assert "Notes: Bring cake" in page
    assert "Not sent (no SMTP server)" in page
    assert "We have sent an email" not in client.get(f"/booking/{booking.uid}").text
    write_emails()
    assert rick_client.get(f"/bookings/{booking.uid}").text.count("<summary>Booked: Quick chat") == 1


def test_more_than_a_step_is_written_in_order(book, session: Session, monkeypatch) -> None:
    monkeypatch.setattr(emails, "STEP", 2)
    for number in range(5):
        book(TUESDAY_TEN + number * timedelta(minutes=15))
    starts = [one.body.partition("When: ")[2][:35] for one in to_ada(session)]
    assert len(starts) == 5
    assert starts == sorted(starts)


def test_what_another_process_has_written_meanwhile_is_not_written_twice(
    book, session: Session, monkeypatch
) -> None:
    book()
    composed = emails._composed

    def compose_beside_another(*arguments, **more):
        made = composed(*arguments, **more)
        with db.engine.begin() as other:
            other.execute(delete(Notification))
        return made

    monkeypatch.setattr(emails, "_composed", compose_beside_another)
    write_emails()
    assert session.scalars(select(Email)).all() == []


def test_an_event_that_is_not_kept_any_more_holds_nothing_up(book, session: Session) -> None:
    lost = book()
    book(NOON)
    with transaction() as writing:
        writing.execute(update(Event).where(Event.subject == lost.uid).values(body=None))
    [later] = to_ada(session)
    assert "12:00 – 12:15" in later.body
    assert session.scalars(select(Notification)).all() == []


def test_an_event_that_nobody_can_read_holds_nothing_up(book, session: Session) -> None:
    broken, whole = book(), book(start=NOON)
    with transaction() as writing:
        writing.execute(update(Event).where(Event.subject == broken.uid).values(body='{"payload": []}'))
    assert {one.about for one in to_ada(session)} == {whole.uid}


def test_a_reminder_that_is_not_written_yet_is_dropped_by_a_cancellation(
    book, quick_chat, change, session: Session, monday
) -> None:
    change(quick_chat, reminders=[60])
    booking = book()
    monday.move_to(TUESDAY_TEN - timedelta(minutes=60))
    record_meetings()
    act(service.cancel, session.get(Booking, booking.id), by="ada@example.com", reason="")
    assert [one.subject.partition(":")[0] for one in to_ada(session)] == ["Booked", "Cancelled"]


def test_emails_that_nobody_writes_are_counted_and_noticed(
    book, session: Session, monkeypatch, settings
) -> None:
    monkeypatch.setattr(mail, "settings", lambda: replace(settings, smtp_url="smtp://127.0.0.1:9"))
    book()
    assert (mail.count_unsent(session)["waiting"], mail.is_failing(session)) == (1, False)
    with transaction() as writing:
        long_ago = database_now(writing) - timedelta(hours=1)
        writing.execute(update(Notification).values(created_at=long_ago))
    assert mail.is_failing(session)
