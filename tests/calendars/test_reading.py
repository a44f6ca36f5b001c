"""Calendars read again and again: what they block, what their host is told, and who asks for it."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.bookings import service as bookings
from calapp.bookings import times
from calapp.bookings.models import Booking
from calapp.calendars import maintenance, service
from calapp.calendars.models import CalendarConflict, ExternalBusy, ExternalCalendar, WhenStale
from calapp.db import db, transaction
from calapp.errors import SlotTaken
from calapp.event_types.models import EventType
from calapp.mail import Email
from tests.booking_requests import booking_request
from tests.calendars.conftest import MONDAY, add, event, served
from tests.conftest import Clock, on_both_databases
from tests.receiver import Receiver, answer

pytestmark = on_both_databases

NINE, TEN, ELEVEN = (MONDAY.replace(hour=hour) for hour in (9, 10, 11))
GONE = answer("404 Not Found")


def read_now(calendar: ExternalCalendar) -> None:
    """Have the maintenance read what is due, after this calendar was asked for."""
    with transaction() as session:
        service.read_soon(session, calendar)
    with transaction() as session:
        claimed = service.claim_due(session, 8)
    for calendar_id in claimed:
        maintenance.read_calendar(calendar_id)
    db.session.rollback()


def free(event_type: EventType) -> set[datetime]:
    return set(times.offered(db.session(), event_type, MONDAY, MONDAY + timedelta(days=1)))


def book(event_type: EventType, start: datetime) -> Booking:
    with transaction() as session:
        return bookings.book(session, event_type, booking_request(start))


def test_a_calendar_takes_its_times(quick_chat: EventType, work: ExternalCalendar) -> None:
    hour = {NINE + timedelta(minutes=minute) for minute in (0, 15, 30, 45)}
    found = free(quick_chat)
    assert not hour & found
    assert {NINE - timedelta(minutes=15), TEN} <= found


def test_a_calendar_that_does_not_block_takes_nothing(
    quick_chat: EventType, work: ExternalCalendar, change: Callable[..., None]
) -> None:
    change(work, blocks=False)
    assert NINE in free(quick_chat)


def test_nobody_books_what_a_calendar_takes(quick_chat: EventType, work: ExternalCalendar) -> None:
    with pytest.raises(SlotTaken):
        book(quick_chat, NINE)


def test_a_changed_calendar_takes_other_times(
    quick_chat: EventType, work: ExternalCalendar, server: Receiver
) -> None:
    server.behave = served(event(ELEVEN))
    read_now(work)
    found = free(quick_chat)
    assert NINE in found
    assert ELEVEN not in found


def test_an_unchanged_calendar_keeps_its_rows(work: ExternalCalendar, server: Receiver, clock: Clock) -> None:
    before = work.changed_at
    clock.shift(300)
    read_now(work)
    assert work.changed_at == before
    assert work.last_read_at is not None
    assert work.last_read_at > before


def test_a_copy_that_ends_too_early_is_made_anew(
    work: ExternalCalendar, server: Receiver, clock: Clock
) -> None:
    server.behave = served(event(NINE), headers=['ETag: "a"'])
    before = work.changed_at
    clock.shift(3 * 86400)
    read_now(work)
    assert "if-none-match" not in server.requests[-1].headers
    assert work.changed_at > before


def test_a_calendar_that_cannot_be_read_keeps_its_copy(
    quick_chat: EventType, work: ExternalCalendar, server: Receiver
) -> None:
    server.behave = GONE
    read_now(work)
    assert work.error_code == "status_404"
    assert NINE not in free(quick_chat)


def test_the_host_is_told_once_after_a_quarter_of_an_hour(
    work: ExternalCalendar, server: Receiver, clock: Clock, session: Session
) -> None:
    server.behave = GONE
    told = []
    for _ in range(6):
        read_now(work)
        told.append(session.scalar(select(func.count(Email.id))))
        clock.shift(300)
    assert told == [0, 0, 0, 1, 1, 1]
    body = session.scalars(select(Email.body)).one()
    assert "There is no calendar at this address (404)" in body


def test_a_calendar_that_works_again_is_told_of_the_next_time(
    work: ExternalCalendar, server: Receiver, clock: Clock, session: Session
) -> None:
    good, server.behave = server.behave, GONE
    for _ in range(4):
        read_now(work)
        clock.shift(300)
    server.behave = good
    read_now(work)
    assert (work.error, work.error_since, work.told_at) == (None, None, None)


def test_a_stale_calendar_offers_no_times_where_its_host_wants_that(
    quick_chat: EventType, work: ExternalCalendar, server: Receiver, clock: Clock, change: Callable[..., None]
) -> None:
    change(work, when_stale=WhenStale.CLOSE, stale_after=2)
    server.behave = GONE
    read_now(work)
    assert TEN in free(quick_chat)
    clock.shift(7201)
    assert free(quick_chat) == set()


def test_a_stale_calendar_keeps_its_copy_otherwise(
    quick_chat: EventType, work: ExternalCalendar, clock: Clock
) -> None:
    clock.shift(7 * 86400)
    assert TEN in free(quick_chat)
    assert NINE not in free(quick_chat)


def test_the_wait_that_a_server_asks_for_is_kept(work: ExternalCalendar, server: Receiver) -> None:
    server.behave = answer("429 Too Many Requests", b"", "Retry-After: 3600")
    read_now(work)
    wait = work.due_at - work.attempted_at
    assert timedelta(minutes=59) < wait < timedelta(minutes=61)
    assert not service.could_be_fresher(db.session(), work.user_id)


def test_a_booking_in_the_calendar_takes_its_time_once(
    quick_chat: EventType, work: ExternalCalendar, server: Receiver
) -> None:
    booking = book(quick_chat, ELEVEN)
    server.behave = served(
        event(ELEVEN, 15, uid=f"{booking.chain}@calapp"), event(TEN, 15, uid="other@calapp")
    )
    read_now(work)
    with transaction() as session:
        bookings.cancel(session, booking, by="rick@example.com", reason="")
    found = free(quick_chat)
    assert ELEVEN in found
    assert TEN not in found


def test_a_booking_that_a_calendar_meets_later_is_told_once(
    quick_chat: EventType, work: ExternalCalendar, server: Receiver, session: Session
) -> None:
    booking = book(quick_chat, ELEVEN)
    before = session.scalar(select(func.count(Email.id)))
    for minutes in (60, 30):
        server.behave = served(event(ELEVEN, minutes))
        read_now(work)
    subjects = session.scalars(select(Email.subject).order_by(Email.id).offset(before)).all()
    assert subjects == ["A booking overlaps with your calendar"]
    assert session.get_one(CalendarConflict, booking.id).over_at is None


def test_a_conflict_is_over_when_the_event_is(
    quick_chat: EventType, work: ExternalCalendar, server: Receiver, session: Session
) -> None:
    booking = book(quick_chat, ELEVEN)
    for at in (ELEVEN, NINE):
        server.behave = served(event(at))
        read_now(work)
    assert session.get_one(CalendarConflict, booking.id).over_at is not None


def test_what_was_changed_while_it_was_read_is_not_overwritten(
    work: ExternalCalendar, server: Receiver, change: Callable[..., None]
) -> None:
    server.behave = GONE
    with transaction() as session:
        service.read_soon(session, work)
    with transaction() as session:
        claimed = service.claim_due(session, 8)
    real = maintenance.read

    def changed_meanwhile(*given: object) -> object:
        change(work, attempted_at=None)
        return real(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maintenance, "read", changed_meanwhile)
        maintenance.read_calendar(claimed[0])
    assert work.error is None


def test_a_claimed_calendar_is_due_again_when_its_reader_dies(work: ExternalCalendar, clock: Clock) -> None:
    with transaction() as session:
        service.read_soon(session, work)
    taken = []
    for _ in range(3):
        with transaction() as session:
            taken.append(service.claim_due(session, 8))
        clock.shift(60)
    assert taken == [[work.id], [], [work.id]]


def test_who_looks_for_times_asks_for_a_fresh_copy(
    client: FlaskClient, quick_chat: EventType, work: ExternalCalendar, clock: Clock
) -> None:
    page = "/rick/quick-chat?tz=UTC"
    client.get(page).close()
    assert work.due_at > work.last_read_at
    clock.shift(61)
    client.get(page).close()
    db.session.rollback()
    assert work.due_at <= work.last_read_at + timedelta(seconds=70)


def test_a_removed_calendar_takes_its_rows_along(work: ExternalCalendar, session: Session) -> None:
    with transaction():
        service.remove(session, work)
    assert session.scalar(select(func.count()).select_from(ExternalBusy)) == 0


def test_a_long_calendar_is_stored_and_shortened(
    rick: User, work: ExternalCalendar, server: Receiver, session: Session
) -> None:
    many = [event(MONDAY + timedelta(minutes=20 * number), 10, uid=str(number)) for number in range(1500)]
    counts = []
    for events in (many, many[:1490], many[:100]):
        server.behave = served(*events)
        read_now(work)
        counts.append(session.scalar(select(func.count()).select_from(ExternalBusy)))
    assert counts == [1500, 1490, 100]


def test_two_calendars_block_together(rick: User, quick_chat: EventType, work: ExternalCalendar) -> None:
    with Receiver(served(event(TEN))) as other:
        add(rick, other.url("/other.ics"))
    found = free(quick_chat)
    assert NINE not in found
    assert TEN not in found
    assert ELEVEN in found
