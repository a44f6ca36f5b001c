"""Bookings in a host's own calendar: written, moved and removed with them, and never against a person."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.bookings import copies, service
from calapp.bookings.models import Booking
from calapp.calendars import fetch
from calapp.calendars.caldav import event_url
from calapp.calendars.models import CalendarAccount, CalendarCopy, CalendarKind, CopyState, ExternalCalendar
from calapp.db import database_now, transaction
from calapp.event_types.models import EventType
from calapp.maintenance import send_copies
from calapp.privacy import sealed
from calapp.privacy import service as privacy
from tests.booking_requests import move_request
from tests.bookings.conftest import TUESDAY_TEN, book, monday
from tests.calendars.dav_servers import RICK, DavServer, event
from tests.conftest import on_both_databases
from tests.receiver import Receiver, answer, silent

__all__ = ["book", "monday"]  # fixtures
pytestmark = on_both_databases
LATER = TUESDAY_TEN + timedelta(hours=2)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)  # for either clock


def account_of(rick: User, url: str, **values: object) -> ExternalCalendar:
    """Return a calendar of an account, to which bookings are written."""
    account = CalendarAccount(user_id=rick.id, address=url, username=RICK.username, found=[])
    account.set_password(RICK.password)
    calendar = ExternalCalendar(
        user_id=rick.id, kind=CalendarKind.CALDAV, name="Work", place="127.0.0.1", account=account,
        address_hash=url, **{"blocks": False, "writes": True, **values},
    )  # fmt: skip
    calendar.address = url
    return calendar


@pytest.fixture
def calendar(
    radicale_server: DavServer, rick: User, saved: Callable[..., None], request: pytest.FixtureRequest
) -> ExternalCalendar:
    """A new calendar on Radicale, to which Rick's bookings are written."""
    url = radicale_server.make_calendar(f"copies {abs(hash(request.node.nodeid))}")
    one = account_of(rick, url)
    saved(one)
    return one


@pytest.fixture
def there(radicale_server: DavServer, calendar: ExternalCalendar) -> Callable[[], list[str]]:
    """Return a function that gives the texts of what is in the calendar."""
    url = calendar.address

    def read() -> list[str]:
        return [
            radicale_server.get(radicale_server.url + path).replace("\r\n ", "")
            for path in radicale_server.hrefs(url)
        ]

    return read


def copy_of(session: Session) -> CalendarCopy:
    """Return the only copy."""
    session.rollback()
    return session.scalars(select(CalendarCopy)).one()


def move(booking: Booking, start: datetime = LATER, *, by_host: bool = True) -> Booking:
    with transaction() as session:
        request = move_request(start, "Because")
        return service.reschedule(session, booking, request, by="rick@example.com", by_host=by_host)


def cancel(booking: Booking) -> None:
    with transaction() as session:
        service.cancel(session, booking, by="rick@example.com", reason="")


def edited(server: DavServer, calendar: ExternalCalendar, booking: Booking, *lines: str) -> None:
    """Change a booking's event as a person does, in another program."""
    url = event_url(calendar.address, booking.chain)
    text = server.get(url).replace("END:VEVENT", "\r\n".join((*lines, "END:VEVENT")))
    server.request("PUT", url.removeprefix(server.url), text, **{"Content-Type": "text/calendar"})


def test_a_confirmed_booking_is_written(calendar: ExternalCalendar, book: Callable, there: Callable) -> None:
    booking = book()
    send_copies()
    (text,) = there()
    assert f"UID:{booking.chain}@calapp" in text
    assert "DTSTART:20270105T100000Z" in text
    assert "With Ada Byron <ada@example.com>" in text


def test_what_is_written_invites_nobody(calendar: ExternalCalendar, book: Callable, there: Callable) -> None:
    book()
    send_copies()
    assert not {"ATTENDEE", "ORGANIZER", "METHOD"} & set(
        there()[0].replace(";", ":").replace(":", "\n").split()
    )


def test_a_moved_booking_is_moved(calendar: ExternalCalendar, book: Callable, there: Callable) -> None:
    booking = book()
    send_copies()
    move(booking)
    send_copies()
    (text,) = there()
    assert "DTSTART:20270105T120000Z" in text


def test_a_cancelled_booking_is_removed(calendar: ExternalCalendar, book: Callable, there: Callable) -> None:
    booking = book()
    send_copies()
    cancel(booking)
    send_copies()
    assert there() == []


def test_a_booking_moved_and_cancelled_before_it_was_sent_leaves_nothing(
    calendar: ExternalCalendar, book: Callable, there: Callable, session: Session
) -> None:
    cancel(move(book()))
    send_copies()
    assert (there(), copy_of(session).state) == ([], CopyState.DONE)


def test_a_booking_that_waits_for_confirmation_is_written_when_it_is_confirmed(
    calendar: ExternalCalendar, quick_chat: EventType, book: Callable, there: Callable, change: Callable
) -> None:
    change(quick_chat, requires_confirmation=True)
    booking = book()
    send_copies()
    before = there()
    with transaction() as session:
        service.confirm(session, booking)
    send_copies()
    assert (before, len(there())) == ([], 1)


def test_a_booking_that_a_visitor_moved_is_removed_until_it_is_confirmed(
    calendar: ExternalCalendar, quick_chat: EventType, book: Callable, there: Callable, change: Callable
) -> None:
    booking = book()
    send_copies()
    change(quick_chat, requires_confirmation=True)
    moved = move(booking, by_host=False)
    send_copies()
    between = there()
    with transaction() as session:
        service.confirm(session, moved)
    send_copies()
    assert (between, len(there())) == ([], 1)


def test_without_a_calendar_to_write_to_there_is_nothing_to_do(
    rick: User, book: Callable, session: Session
) -> None:
    book()
    assert session.scalars(select(CalendarCopy)).all() == []


def test_what_a_person_changed_is_left_alone(
    calendar: ExternalCalendar, book: Callable, there: Callable, radicale_server: DavServer, session: Session
) -> None:
    booking = book()
    send_copies()
    edited(radicale_server, calendar, booking, "LOCATION:My place")
    cancel(move(booking))
    send_copies()
    (text,) = there()
    assert "My place" in text
    assert "DTSTART:20270105T100000Z" in text
    assert (copy_of(session).state, copy_of(session).error) == (
        CopyState.CHANGED,
        "It was changed in the calendar.",
    )


def test_what_a_person_removed_is_not_made_again(
    calendar: ExternalCalendar, book: Callable, there: Callable, radicale_server: DavServer, session: Session
) -> None:
    booking = book()
    send_copies()
    url = event_url(calendar.address, booking.chain)
    radicale_server.request("DELETE", url.removeprefix(radicale_server.url))
    move(booking)
    send_copies()
    assert (there(), copy_of(session).error) == ([], "It was removed in the calendar.")


def test_what_is_gone_already_counts_as_removed(
    calendar: ExternalCalendar, book: Callable, radicale_server: DavServer, session: Session
) -> None:
    booking = book()
    send_copies()
    url = event_url(calendar.address, booking.chain)
    radicale_server.request("DELETE", url.removeprefix(radicale_server.url))
    cancel(booking)
    send_copies()
    assert copy_of(session).state == CopyState.DONE


def test_an_event_that_another_program_only_stored_anew_is_still_ours(
    calendar: ExternalCalendar, book: Callable, there: Callable, radicale_server: DavServer
) -> None:
    booking = book()
    send_copies()
    edited(radicale_server, calendar, booking, "X-SEEN:1", "BEGIN:VALARM", "DESCRIPTION:Soon", "END:VALARM")
    move(booking)
    send_copies()
    assert "DTSTART:20270105T120000Z" in there()[0]


def lost(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Have the next request of this method reach the server, and its response get lost."""
    send = fetch.send

    def lose(request: fetch.CalendarRequest) -> fetch.CalendarResponse:
        response = send(request)
        if request.method == name:
            monkeypatch.undo()
            raise fetch.Unreadable("timeout", "It took too long.")
        return response

    monkeypatch.setattr("calapp.calendars.caldav.send", lose)


@pytest.mark.parametrize("then", ["same", "moved", "cancelled"])
def test_a_lost_response_makes_nobody_a_stranger(
    then: str,
    calendar: ExternalCalendar,
    book: Callable,
    there: Callable,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable,
) -> None:
    lost(monkeypatch, "PUT")
    booking = book()
    send_copies()
    waiting = copy_of(session)
    assert (waiting.state, waiting.error, waiting.etag) == (CopyState.WAITING, "It took too long.", None)
    if then == "moved":
        move(booking)
    if then == "cancelled":
        cancel(booking)
    change(waiting, due_at=LONG_AGO)
    send_copies()
    assert copy_of(session).state == CopyState.DONE
    starts = [one for text in there() for one in text.split() if one.startswith("DTSTART")]
    expected = {"same": ["DTSTART:20270105T100000Z"], "moved": ["DTSTART:20270105T120000Z"], "cancelled": []}
    assert starts == expected[then]


@pytest.mark.parametrize("name", ["PUT", "DELETE"])
def test_a_lost_response_to_a_later_change_makes_nobody_a_stranger(
    name: str,
    calendar: ExternalCalendar,
    book: Callable,
    there: Callable,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable,
) -> None:
    booking = book()
    send_copies()
    lost(monkeypatch, name)
    moved = move(booking)
    if name == "DELETE":
        cancel(moved)
    send_copies()
    change(copy_of(session), due_at=LONG_AGO)
    send_copies()
    assert (copy_of(session).state, len(there())) == (CopyState.DONE, 1 if name == "PUT" else 0)


def test_a_foreign_event_at_our_place_is_left_alone(
    calendar: ExternalCalendar, book: Callable, there: Callable, radicale_server: DavServer, session: Session
) -> None:
    booking = book()
    radicale_server.put(calendar.address, booking.chain, "DTSTART:20270105T100000Z", "SUMMARY:Mine")
    send_copies()
    assert "SUMMARY:Mine" in there()[0]
    assert copy_of(session).state == CopyState.CHANGED


def test_a_server_that_is_away_is_tried_again_like_an_email(
    rick: User, book: Callable, saved: Callable, session: Session
) -> None:
    with Receiver() as receiver:
        url = receiver.url("/c/")
    saved(account_of(rick, url))
    book()
    send_copies()
    copy = copy_of(session)
    assert (copy.state, copy.attempts, copy.claimed_until) == (CopyState.WAITING, 1, None)
    assert "refused the connection" in copy.error
    assert copy.due_at - database_now(session) > timedelta(seconds=50)


def test_after_the_last_attempt_it_is_given_up_until_the_password_is_changed(
    rick: User, book: Callable, saved: Callable, session: Session, change: Callable
) -> None:
    with Receiver(answer("401 Unauthorized", b"", 'WWW-Authenticate: Basic realm="x"')) as receiver:
        calendar = account_of(rick, receiver.url("/c/"))
        saved(calendar)
        book()
        change(copy_of(session), attempts=7)
        send_copies()
    given_up = copy_of(session)
    assert (given_up.state, given_up.due_at) == (CopyState.FAILED, None)
    assert "app password" in given_up.error
    with transaction() as session_:
        copies.send_again(session_, calendar.account_id)
    assert (copy_of(session).state, copy_of(session).attempts) == (CopyState.WAITING, 0)


def test_a_server_that_hangs_costs_one_attempt_however_much_waits(
    rick: User, book: Callable, saved: Callable, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "SECONDS", 0.3)
    with Receiver(silent) as receiver:
        saved(account_of(rick, receiver.url("/c/")))
        for hour in range(4):
            book(TUESDAY_TEN + timedelta(hours=hour))
        send_copies()
        assert receiver.connections == 1
    session.rollback()
    assert {one.error for one in session.scalars(select(CalendarCopy))} == {
        "127.0.0.1 did not respond within 0.3 s."
    }


def test_one_that_hangs_holds_up_no_other(
    calendar: ExternalCalendar,
    bob: User,
    book: Callable,
    there: Callable,
    saved: Callable,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetch, "SECONDS", 0.5)
    with Receiver(silent) as receiver:
        other = account_of(bob, receiver.url("/c/"))
        saved(other)
        saved(CalendarCopy(chain="bobs", calendar_id=other.id, due_at=LONG_AGO, sent="x"))
        book()
        send_copies()
    assert len(there()) == 1


def test_a_change_while_it_is_being_sent_is_sent_too(
    calendar: ExternalCalendar, book: Callable, there: Callable, session: Session
) -> None:
    booking = book()
    with transaction() as session_:
        claimed = copies.claim(session_)
    results = copies.send(claimed)
    move(booking)
    with transaction() as session_:
        copies.record(session_, results)
    assert copy_of(session).state == CopyState.WAITING
    send_copies()
    assert "DTSTART:20270105T120000Z" in there()[0]


def test_what_a_killed_worker_had_claimed_is_sent_when_its_lease_ends(
    calendar: ExternalCalendar, book: Callable, there: Callable, session: Session, change: Callable
) -> None:
    book()
    with transaction() as session_:
        copies.claim(session_)
    send_copies()
    before = there()
    change(copy_of(session), claimed_until=LONG_AGO)
    send_copies()
    assert (before, len(there())) == ([], 1)


def test_upcoming_bookings_are_written_when_a_calendar_is_chosen(
    rick: User, book: Callable, calendar: ExternalCalendar, there: Callable, change: Callable
) -> None:
    change(calendar, writes=False)
    book()
    cancel(book(LATER))
    change(calendar, writes=True)
    with transaction() as session:
        count = copies.copy_upcoming(session, calendar)
    send_copies()
    assert (count, len(there())) == (1, 1)


def test_a_calendar_removed_meanwhile_is_no_error(
    calendar: ExternalCalendar, book: Callable, session: Session
) -> None:
    book()
    with transaction() as session_:
        claimed = copies.claim(session_)
    with transaction() as session_:
        session_.delete(session_.get(ExternalCalendar, calendar.id))
    with transaction() as session_:
        copies.record(session_, copies.send(claimed))
    assert session.scalars(select(CalendarCopy)).all() == []


def test_only_the_calendar_of_the_bookings_host_is_written_to(
    bob: User, book: Callable, saved: Callable, session: Session
) -> None:
    saved(account_of(bob, "http://127.0.0.1:9/c/"))
    book()
    assert session.scalars(select(CalendarCopy)).all() == []


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (("X-A:1", "DTSTAMP:20270101T000000Z", "SEQUENCE:9"), True),
        (("BEGIN:VALARM", "DESCRIPTION:x", "END:VALARM"), True),
        (("LOCATION:here",), False),
        (("RRULE:FREQ=DAILY",), False),
    ],
)
def test_a_digest_is_of_what_a_person_sees(database: str, other: tuple[str, ...], same: bool) -> None:
    lines = ("DTSTART:20270105T100000Z", "SUMMARY:a\\, b")
    assert (copies.digest(event("x", *lines)) == copies.digest(event("x", *lines, *other))) is same


def page(browser: FlaskClient, booking: Booking) -> str:
    return browser.get(f"/bookings/{booking.uid}").text


def test_the_bookings_page_says_where_it_was_written(
    calendar: ExternalCalendar, book: Callable, rick_client: FlaskClient
) -> None:
    booking = book()
    before = page(rick_client, booking)
    send_copies()
    assert "Will be updated in “Work”" in before
    assert "Written to “Work”" in page(rick_client, booking)


def test_the_bookings_page_says_what_a_person_changed(
    calendar: ExternalCalendar, book: Callable, radicale_server: DavServer, rick_client: FlaskClient
) -> None:
    booking = book()
    send_copies()
    edited(radicale_server, calendar, booking, "LOCATION:My place")
    moved = move(booking)
    send_copies()
    assert "It was changed in the calendar. Calapp leaves it alone from now on" in page(rick_client, moved)


def test_the_bookings_page_says_why_it_is_not_written(
    rick: User, book: Callable, saved: Callable, session: Session, rick_client: FlaskClient, change: Callable
) -> None:
    with Receiver() as receiver:
        saved(account_of(rick, receiver.url("/c/")))
    booking = book()
    send_copies()
    assert "refused the connection. Next attempt:" in page(rick_client, booking)
    change(copy_of(session), attempts=7, due_at=LONG_AGO)
    send_copies()
    assert "Given up after 8 attempts" in page(rick_client, booking)


def test_an_erased_visitor_is_erased_from_the_calendar(
    calendar: ExternalCalendar, book: Callable, there: Callable
) -> None:
    book()
    send_copies()
    with transaction() as session:
        privacy.erase_visitor(session, "ada@example.com")
    send_copies()
    (text,) = there()
    assert "ada byron" not in text.lower()
    assert "ada@example.com" not in text.lower()
    assert "DTSTART:20270105T100000Z" in text


def test_an_export_has_the_account_and_its_copies_but_no_password(
    calendar: ExternalCalendar, rick: User, book: Callable
) -> None:
    book()
    with transaction() as session:
        made = json.loads("".join(privacy.export(session, session.merge(rick))))
    (account,), (copy,) = made["calendar_account"], made["calendar_copy"]
    assert (account["username"], "password" in account, copy["state"]) == ("rick", False, "waiting")


def test_a_password_is_stored_encrypted_and_can_be_encrypted_again(
    calendar: ExternalCalendar, session: Session
) -> None:
    stored = session.scalars(select(CalendarAccount)).one()
    assert RICK.password not in stored.sealed_password
    with transaction() as session_:
        assert sealed.encrypt(session_, CalendarAccount, [stored.id]) == 0
    assert sealed.stale(session)[CalendarAccount] == []


def test_a_password_that_no_key_opens_is_asked_for_again(
    calendar: ExternalCalendar, book: Callable, session: Session, change: Callable
) -> None:
    account = session.scalars(select(CalendarAccount)).one()
    change(account, sealed_password="\x01enc1:deadbeef:gAAAAno")
    book()
    send_copies()
    assert "Enter it again" in copy_of(session).error
    with transaction() as session_:
        lines = sealed.forget_unreadable(session_)
    assert any("password" in one for one in lines)


def test_no_booking_fails_when_its_calendar_does(
    rick: User, quick_chat: EventType, saved: Callable, book: Callable, change: Callable, session: Session
) -> None:
    calendar = account_of(rick, "https://dav.example.invalid/c/")
    saved(calendar)
    change(calendar, sealed_address="\x01enc1:deadbeef:gAAAAno")
    cancel(move(book()))
    send_copies()
    assert copy_of(session).state == CopyState.DONE
