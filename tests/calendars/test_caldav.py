"""CalDAV against servers as people run them: finding calendars, reading them, writing events."""

from datetime import UTC, datetime

import pytest
from flask import Flask

from calapp.calendars.caldav import (
    Changed,
    DavClient,
    delete_event,
    discover,
    event_url,
    get_event,
    put_event,
    read_caldav,
)
from calapp.calendars.fetch import Source, Unreadable
from calapp.calendars.models import CalendarKind, Credentials
from tests.calendars.dav_servers import RICK, DavServer, Digest, event

FIRST, LAST = datetime(2026, 11, 1, tzinfo=UTC), datetime(2027, 1, 31, tzinfo=UTC)
MEETING = ("DTSTART:20261203T100000Z", "DTEND:20261203T110000Z", "SUMMARY:Dentist\\, 10% off ü")


@pytest.fixture(params=["radicale", "xandikos", "digest"])
def server(request: pytest.FixtureRequest) -> DavServer:
    found = request.getfixturevalue(f"{request.param}_server")
    return found[0] if request.param == "digest" else found


@pytest.fixture
def calendar(server: DavServer, request: pytest.FixtureRequest, app: Flask) -> str:
    """A new calendar of Rick's; its URL."""
    return server.make_calendar(f"cal {abs(hash(request.node.name))} ü")


def source(url: str, credentials: Credentials = RICK, **values: object) -> Source:
    return Source(CalendarKind.CALDAV, url, credentials, FIRST, LAST, **values)


def account(server: DavServer) -> DavClient:
    return DavClient(RICK, server.url)


def test_calendars_are_found_with_name_and_color(server: DavServer, calendar: str) -> None:
    found = {one.url: one for one in discover(f"{server.url}/", RICK)}
    one = found[calendar]
    assert one.color in {"#3366cc", ""}  # xandikos keeps none
    assert one.writable
    assert one.name.startswith("cal ")
    assert one.version


def test_calendars_are_found_from_a_path_below(server: DavServer, calendar: str) -> None:
    assert calendar in {one.url for one in discover(f"{server.url}/rick/", RICK)}


def test_a_calendar_of_tasks_is_not_offered(radicale_server: DavServer, app: Flask) -> None:
    tasks = radicale_server.make_calendar("tasks", kind="VTODO")
    events = radicale_server.make_calendar("events")
    found = {one.url for one in discover(f"{radicale_server.url}/", RICK)}
    assert (tasks in found, events in found) == (False, True)


def test_events_in_the_range_are_read(server: DavServer, calendar: str) -> None:
    server.put(calendar, "inside", *MEETING)
    server.put(calendar, "before", "DTSTART:20200101T100000Z", "DTEND:20200101T110000Z")
    server.put(calendar, "weekly", "DTSTART:20200101T100000Z", "DURATION:PT1H", "RRULE:FREQ=WEEKLY")
    server.put(calendar, "holiday", "DTSTART;VALUE=DATE:20261224")
    text = read_caldav(source(calendar)).text.decode()
    assert {"inside", "weekly", "holiday"} == set(uids(text))
    assert "DTSTART;VALUE=DATE:20261224" in text


def uids(text: str) -> list[str]:
    return [row.removeprefix("UID:") for row in text.split() if row.startswith("UID:")]


def test_an_unchanged_calendar_is_not_read_again(server: DavServer, calendar: str) -> None:
    server.put(calendar, "one", *MEETING)
    first = read_caldav(source(calendar))
    assert read_caldav(source(calendar, sync_token=first.sync_token)).text is None


def test_a_change_is_noticed(server: DavServer, calendar: str) -> None:
    first = read_caldav(source(calendar))
    server.put(calendar, "one", *MEETING)
    assert uids(read_caldav(source(calendar, sync_token=first.sync_token)).text.decode()) == ["one"]


def test_an_empty_calendar_is_read(server: DavServer, calendar: str) -> None:
    assert read_caldav(source(calendar)).text.startswith(b"BEGIN:VCALENDAR")


def test_an_event_is_written_changed_and_removed(server: DavServer, calendar: str) -> None:
    url = event_url(calendar, "a-b c_@calapp")
    etag = put_event(account(server), url, event("a-b c_@calapp", *MEETING), None)
    later = ("DTSTART:20261204T100000Z", "DTEND:20261204T110000Z")
    second = put_event(account(server), url, event("a-b c_@calapp", *later), etag)
    assert second != etag
    assert "20261204T100000Z" in server.get(url)
    delete_event(account(server), url, second)
    assert server.hrefs(calendar) == []


def test_a_written_event_is_what_was_written(server: DavServer, calendar: str) -> None:
    url = event_url(calendar, "one")
    etag = put_event(account(server), url, event("one", *MEETING), None)
    found = get_event(account(server), url)
    assert "SUMMARY:Dentist\\, 10% off ü" in found.text
    assert found.etag == etag


def test_an_event_that_is_there_is_not_written_over(server: DavServer, calendar: str) -> None:
    url = server.put(calendar, "one", *MEETING)
    with pytest.raises(Changed):
        put_event(account(server), url, event("one", *MEETING), None)
    assert "Dentist" in server.get(url)


def test_what_a_person_changed_is_not_written_over(server: DavServer, calendar: str) -> None:
    url = event_url(calendar, "one")
    etag = put_event(account(server), url, event("one", *MEETING), None)
    server.put(calendar, "one", *MEETING, "LOCATION:My place")
    with pytest.raises(Changed):
        put_event(account(server), url, event("one", *MEETING), etag)
    with pytest.raises(Changed):
        delete_event(account(server), url, etag)
    assert "My place" in server.get(url)


def test_an_event_that_a_person_removed_is_not_made_again(server: DavServer, calendar: str) -> None:
    url = event_url(calendar, "one")
    etag = put_event(account(server), url, event("one", *MEETING), None)
    server.request("DELETE", url.removeprefix(server.url))
    with pytest.raises(Changed):
        put_event(account(server), url, event("one", *MEETING), etag)
    assert get_event(account(server), url) is None


def test_removing_what_is_gone_is_fine(server: DavServer, calendar: str) -> None:
    url = event_url(calendar, "one")
    etag = put_event(account(server), url, event("one", *MEETING), None)
    delete_event(account(server), url, etag)
    delete_event(account(server), url, etag)
    assert get_event(account(server), url) is None


@pytest.mark.parametrize("kind", ["radicale", "digest"])
def test_a_wrong_password_is_said(kind: str, request: pytest.FixtureRequest, app: Flask) -> None:
    found = request.getfixturevalue(f"{kind}_server")
    url = (found[0] if kind == "digest" else found).url
    with pytest.raises(Unreadable) as caught:
        discover(f"{url}/", Credentials("rick", "wrong"))
    assert (caught.value.code, "app password" in str(caught.value)) == ("status_401", True)


def test_digest_never_sends_the_password(digest_server: tuple[DavServer, Digest], app: Flask) -> None:
    server, front = digest_server
    calendar = server.make_calendar("digest")
    front.seen.clear()
    read_caldav(source(calendar))
    assert {one.partition(" ")[0] for one in front.seen} == {"", "Digest"}


def test_a_calendar_that_was_removed_is_said(radicale_server: DavServer, app: Flask) -> None:
    calendar = radicale_server.make_calendar("gone")
    radicale_server.request("DELETE", calendar.removeprefix(radicale_server.url))
    with pytest.raises(Unreadable, match="404"):
        read_caldav(source(calendar))
