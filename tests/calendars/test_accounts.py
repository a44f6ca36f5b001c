"""CalDAV accounts by the page: signing in, choosing calendars, another password, removing."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp import limits
from calapp.accounts.models import User
from calapp.bookings.models import Booking
from calapp.bookings.times import is_free
from calapp.calendars import fetch
from calapp.calendars.models import CalendarAccount, CalendarCopy, CopyState, ExternalCalendar
from calapp.event_types.models import EventType
from calapp.maintenance import send_copies
from tests.bookings.conftest import TUESDAY_TEN, book, monday
from tests.calendars.dav_servers import PASSWORD, DavServer, Digest
from tests.conftest import on_both_databases
from tests.receiver import Receiver, answer, silent

__all__ = ["book", "monday"]  # fixtures
pytestmark = on_both_databases
NEW = "/integrations/calendars/accounts/new"
BUSY = ("DTSTART:20270105T100000Z", "DTEND:20270105T110000Z", "SUMMARY:Secret dentist")


def sign_in(browser: FlaskClient, url: str, password: str = PASSWORD, username: str = "rick"):
    form = {"address": url, "username": username, "password": password}
    return browser.post(NEW, data=form, headers={"HX-Request": "true"})


def keys_of(html: str) -> dict[str, str]:
    """Return what the form calls each calendar."""
    pairs = re.findall(
        r'name="blocks" type="checkbox" value="(\w+)".*?<label[^>]*>(.*?)</label>', html, re.DOTALL
    )
    return {name: key for key, name in pairs}


@pytest.fixture
def work(radicale_server: DavServer, request: pytest.FixtureRequest) -> str:
    """A new calendar of Rick's with an event on Tuesday at ten; its URL."""
    url = radicale_server.make_calendar(f"work {abs(hash(request.node.nodeid))}")
    radicale_server.put(url, "dentist", *BUSY)
    return url


@pytest.fixture
def chosen(
    rick_client: FlaskClient, radicale_server: DavServer, work: str, session: Session
) -> Callable[..., FlaskClient]:
    """Return a function that signs in and uses the calendar as it says."""

    def choose(*, blocks: bool = True, writes: bool = False) -> CalendarAccount:
        key = keys_of(sign_in(rick_client, radicale_server.url).text)[name_of(work)]
        form = {"blocks": [key] if blocks else [], "writes": key if writes else ""}
        (account,) = session.scalars(select(CalendarAccount)).all()
        answer = rick_client.post(f"/integrations/calendars/accounts/{account.id}/calendars", data=form)
        assert answer.status_code == 303, answer.text
        return account

    return choose


def name_of(url: str) -> str:
    return url.rstrip("/").rpartition("/")[2].replace("%20", " ")


def calendars(session: Session) -> list[ExternalCalendar]:
    session.rollback()
    return list(session.scalars(select(ExternalCalendar).order_by(ExternalCalendar.id)))


def test_signing_in_shows_the_calendars(
    rick_client: FlaskClient, radicale_server: DavServer, work: str, session: Session
) -> None:
    html = sign_in(rick_client, radicale_server.url).text
    assert name_of(work) in keys_of(html)
    (account,) = session.scalars(select(CalendarAccount)).all()
    assert (account.username, account.credentials.password) == ("rick", PASSWORD)


def test_without_a_script_signing_in_leads_to_the_calendars(
    rick_client: FlaskClient, radicale_server: DavServer, work: str
) -> None:
    form = {"address": radicale_server.url, "username": "rick", "password": PASSWORD}
    answer = rick_client.post(NEW, data=form, follow_redirects=True)
    assert name_of(work) in keys_of(answer.text)


def test_a_calendar_that_blocks_takes_its_times(
    chosen: Callable, quick_chat: EventType, session: Session
) -> None:
    chosen()
    assert not is_free(session, quick_chat, TUESDAY_TEN)
    assert is_free(session, quick_chat, TUESDAY_TEN + timedelta(hours=1))


def test_one_that_only_gets_the_bookings_blocks_nothing(
    chosen: Callable, quick_chat: EventType, session: Session
) -> None:
    chosen(blocks=False, writes=True)
    assert is_free(session, quick_chat, TUESDAY_TEN)
    assert [(one.blocks, one.writes) for one in calendars(session)] == [(False, True)]


def test_no_title_is_kept(chosen: Callable, session: Session) -> None:
    chosen()
    rows = session.connection().connection.driver_connection
    for table in ("external_calendar", "external_busy", "calendar_account", "calendar_copy"):
        cursor = rows.cursor()
        cursor.execute(f"SELECT * FROM {table}")
        assert "dentist" not in str(cursor.fetchall())


def test_a_booking_is_written_and_does_not_block_twice(
    chosen: Callable,
    quick_chat: EventType,
    book: Callable[..., Booking],
    radicale_server: DavServer,
    work: str,
    session: Session,
    rick: User,
) -> None:
    chosen(writes=True)
    booking = book(TUESDAY_TEN + timedelta(hours=2))
    send_copies()
    assert any(booking.chain in one for one in radicale_server.hrefs(work))
    read_again(rick, session)
    # The booking holds its time by itself; what was read back adds nothing to it.
    assert is_free(session, quick_chat, TUESDAY_TEN + timedelta(hours=2), booking.id)
    assert not is_free(session, quick_chat, TUESDAY_TEN)


def test_another_hosts_booking_blocks(
    chosen: Callable,
    quick_chat: EventType,
    radicale_server: DavServer,
    work: str,
    session: Session,
    rick: User,
) -> None:
    radicale_server.put(work, "somebody@calapp", "DTSTART:20270105T120000Z", "DTEND:20270105T130000Z")
    chosen(writes=True)
    assert not is_free(session, quick_chat, TUESDAY_TEN + timedelta(hours=2))


def read_again(rick: User, session: Session) -> None:
    """Read the calendars as the maintenance process does."""
    from calapp.calendars import service
    from calapp.calendars.reading import read
    from calapp.db import transaction

    for one in calendars(session):
        source, content_hash = service.source_of(session, one, service.viewer_of(session, rick))
        outcome = read(source, service.viewer_of(session, rick), content_hash)
        with transaction() as session_:
            service.store(session_, session_.get_one(ExternalCalendar, one.id), outcome)


def test_upcoming_bookings_are_written_at_once(
    chosen: Callable, book: Callable[..., Booking], radicale_server: DavServer, work: str
) -> None:
    booking = book(TUESDAY_TEN + timedelta(hours=2))
    chosen(writes=True)
    send_copies()
    assert any(booking.chain in one for one in radicale_server.hrefs(work))


def test_bookings_are_written_to_one_calendar_of_a_host(
    chosen: Callable, radicale_server: DavServer, rick_client: FlaskClient, session: Session, work: str
) -> None:
    account = chosen(writes=True)
    other = radicale_server.make_calendar(f"other {abs(hash(work))}")
    page = f"/integrations/calendars/accounts/{account.id}"
    rick_client.post(f"{page}/password", data={"password": PASSWORD})
    key = keys_of(rick_client.get(f"{page}/calendars").text)
    rick_client.post(f"{page}/calendars", data={"blocks": key[name_of(work)], "writes": key[name_of(other)]})
    found = {one.name: (one.blocks, one.writes) for one in calendars(session)}
    assert found == {name_of(work): (True, False), name_of(other): (False, True)}


def test_a_calendar_without_a_tick_goes_unless_it_has_bookings(
    chosen: Callable, rick_client: FlaskClient, session: Session, book: Callable[..., Booking]
) -> None:
    account = chosen(writes=True)
    address = f"/integrations/calendars/accounts/{account.id}/calendars"
    book(TUESDAY_TEN + timedelta(hours=2))
    rick_client.post(address, data={"writes": ""})
    kept = [(one.blocks, one.writes) for one in calendars(session)]
    with_copy = session.scalars(select(CalendarCopy)).all()
    session.delete(with_copy[0])
    session.commit()
    rick_client.post(address, data={"writes": ""})
    assert (kept, calendars(session)) == ([(False, False)], [])


def test_what_is_not_one_of_the_calendars_is_not_used(
    chosen: Callable, rick_client: FlaskClient, session: Session
) -> None:
    account = chosen()
    form = {"blocks": ["x", "https://evil.example/"], "writes": "https://evil.example/"}
    rick_client.post(f"/integrations/calendars/accounts/{account.id}/calendars", data=form)
    assert calendars(session) == []


def test_a_wrong_password_is_said_at_its_field_and_saves_nothing(
    rick_client: FlaskClient, radicale_server: DavServer, session: Session
) -> None:
    found = sign_in(rick_client, radicale_server.url, "wrong-password")
    assert found.status_code == 422
    assert 'id="field-password-error"' in found.text
    assert "app password" in found.text
    assert "wrong-password" not in found.text
    assert session.scalars(select(CalendarAccount)).all() == []


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"address": ""}, "Please enter the address of the CalDAV server"),
        ({"address": "x y"}, "is not a valid host name"),
        ({"address": "https://rick:pw@dav.example.com"}, "must not contain a username or password"),
        ({"address": "caldav.google.com"}, "secret address"),
        ({"username": ""}, "Please enter the username"),
        ({"username": "a:b"}, "without a colon"),
        ({"username": "x" * 255}, "at most 254"),
        ({"password": ""}, "Please enter the password"),
        ({"password": "x" * 501}, "at most 500"),
        ({"address": "https://" + "x" * 3000}, "at most"),
    ],
)
def test_wrong_input_is_said_at_its_field(
    form: dict[str, str], words: str, rick_client: FlaskClient, session: Session
) -> None:
    typed = {"address": "https://dav.example.com", "username": "rick", "password": "pw"} | form
    found = rick_client.post(NEW, data=typed)
    assert (found.status_code, words in found.text) == (422, True)


def test_an_address_inside_the_network_is_refused(
    rick_client: FlaskClient, app: Flask, session: Session
) -> None:
    found = sign_in(rick_client, "https://10.1.2.3/")
    assert (found.status_code, "not a public address" in found.text) == (422, True)


def test_a_server_that_hangs_is_given_up(rick_client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "SECONDS", 0.3)
    with Receiver(silent) as receiver:
        found = sign_in(rick_client, receiver.url("/"))
    assert (found.status_code, "did not respond" in found.text) == (422, True)


def test_the_same_account_is_not_added_twice(
    rick_client: FlaskClient, radicale_server: DavServer, session: Session
) -> None:
    sign_in(rick_client, radicale_server.url)
    found = sign_in(rick_client, radicale_server.url)
    assert (found.status_code, "already" in found.text) == (409, True)
    assert len(session.scalars(select(CalendarAccount)).all()) == 1


def test_there_is_a_limit_of_accounts(
    rick: User, rick_client: FlaskClient, saved: Callable, radicale_server: DavServer
) -> None:
    for number in range(limits.CALENDAR_ACCOUNTS_PER_HOST):
        saved(
            CalendarAccount(user_id=rick.id, address=f"https://{number}/", username="x", sealed_password="x")
        )
    found = sign_in(rick_client, radicale_server.url)
    assert (found.status_code, "which is the limit" in found.text) == (409, True)


def test_a_calendar_that_cannot_be_read_is_not_used(
    rick_client: FlaskClient, radicale_server: DavServer, work: str, session: Session
) -> None:
    key = keys_of(sign_in(rick_client, radicale_server.url).text)[name_of(work)]
    radicale_server.request("DELETE", work.removeprefix(radicale_server.url))
    (account,) = session.scalars(select(CalendarAccount)).all()
    found = rick_client.post(
        f"/integrations/calendars/accounts/{account.id}/calendars", data={"blocks": key, "writes": ""}
    )
    assert (found.status_code, "404" in found.text) == (422, True)
    assert calendars(session) == []


def test_a_new_password_is_tried_before_it_is_kept(
    chosen: Callable, rick_client: FlaskClient, session: Session, book: Callable
) -> None:
    account = chosen(writes=True)
    address = f"/integrations/calendars/accounts/{account.id}/password"
    found = rick_client.post(address, data={"password": "wrong"})
    assert (found.status_code, "(401)" in found.text) == (422, True)
    session.rollback()
    assert session.get_one(CalendarAccount, account.id).credentials.password == PASSWORD


def test_a_new_password_has_what_was_given_up_sent_again(
    chosen: Callable, rick_client: FlaskClient, session: Session, book: Callable, change: Callable
) -> None:
    account = chosen(writes=True)
    book(TUESDAY_TEN + timedelta(hours=2))
    change(session.scalars(select(CalendarCopy)).one(), state=CopyState.FAILED, due_at=None, error="Wrong.")
    assert "1 booking is not up to date there: Wrong." in rick_client.get("/integrations").text
    rick_client.post(f"/integrations/calendars/accounts/{account.id}/password", data={"password": PASSWORD})
    send_copies()
    session.rollback()
    assert session.scalars(select(CalendarCopy)).one().state == CopyState.DONE
    assert "up to date" not in rick_client.get("/integrations").text


def test_removing_an_account_leaves_what_was_written(
    chosen: Callable,
    rick_client: FlaskClient,
    session: Session,
    book: Callable,
    radicale_server: DavServer,
    work: str,
) -> None:
    account = chosen(writes=True)
    book(TUESDAY_TEN + timedelta(hours=2))
    send_copies()
    rick_client.post(f"/integrations/calendars/accounts/{account.id}/remove")
    session.rollback()
    tables = (CalendarAccount, ExternalCalendar, CalendarCopy)
    assert [session.scalars(select(table)).all() for table in tables] == [[], [], []]
    assert len(radicale_server.hrefs(work)) == 2


def test_an_account_can_be_added_again_and_knows_its_bookings(
    chosen: Callable,
    rick_client: FlaskClient,
    session: Session,
    book: Callable,
    radicale_server: DavServer,
    work: str,
) -> None:
    account = chosen(writes=True)
    book(TUESDAY_TEN + timedelta(hours=2))
    send_copies()
    rick_client.post(f"/integrations/calendars/accounts/{account.id}/remove")
    session.rollback()
    chosen(writes=True)
    send_copies()
    session.rollback()
    assert session.scalars(select(CalendarCopy)).one().state == CopyState.DONE
    assert len(radicale_server.hrefs(work)) == 2


@pytest.mark.parametrize("path", ["calendars", "password", "remove"])
def test_no_host_sees_another_hosts_account(
    path: str, chosen: Callable, bob_client: FlaskClient, session: Session
) -> None:
    account = chosen()
    address = f"/integrations/calendars/accounts/{account.id}/{path}"
    answers = [bob_client.get(address), bob_client.post(address, data={"password": "x"})]
    assert [one.status_code for one in answers] == [404, 404]
    assert len(calendars(session)) == 1


def test_the_card_never_has_the_password(chosen: Callable, rick_client: FlaskClient) -> None:
    account = chosen(writes=True)
    html = rick_client.get("/integrations").text
    assert f"Choose calendars of {account.username} at 127.0.0.1" in html
    assert "Bookings are written to" in html
    pages = [html, *(rick_client.get(f"/integrations/calendars/accounts/{account.id}/{one}").text
                     for one in ("calendars", "password", "remove"))]  # fmt: skip
    assert not any(PASSWORD in one for one in pages)


def test_digest_works_by_the_page(
    digest_server: tuple[DavServer, Digest], rick_client: FlaskClient, session: Session, database: str
) -> None:
    server, _ = digest_server
    url = server.make_calendar("page of PostgreSQL" if database else "page of SQLite")
    html = sign_in(rick_client, server.url).text
    assert name_of(url) in keys_of(html)


def test_a_calendar_whose_server_goes_away_keeps_its_copy(
    rick: User, quick_chat: EventType, chosen: Callable, session: Session, change: Callable
) -> None:
    account = chosen()
    with Receiver(answer("500 Oops")) as receiver:
        (one,) = calendars(session)
        change(one, address=receiver.url("/c/"))
        with pytest.raises(fetch.Unreadable):
            read_again(rick, session)
    assert not is_free(session, quick_chat, TUESDAY_TEN)
    assert account.username == "rick"
