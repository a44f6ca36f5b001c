"""What a calendar's server can do, and what its host is told."""

import gzip

import pytest
from flask import Flask

from calapp.accounts.models import User
from calapp.calendars import fetch, service
from calapp.calendars.fetch import CalendarRequest, Source, Unreadable, read_ics, send
from calapp.calendars.models import CalendarKind, Credentials
from calapp.calendars.reading import ReadOutcome, read
from calapp.db import db
from tests.calendars.conftest import MONDAY, TYPE, calendar, event, served
from tests.receiver import Behaviour, Receiver, answer, closing, pouring, sending, silent

HOUR = event(MONDAY.replace(hour=9))


def reading(rick: User, url: str) -> ReadOutcome:
    first, last = service.range_of(db.session(), rick.id)
    return read(Source(CalendarKind.ICS, url, None, first, last), service.viewer_of(db.session(), rick))


def redirecting(target: str) -> bytes:
    return answer("302 Found", b"", f"Location: {target}")


PAGE = b"<!doctype html><html><body>Sign in</body></html>"
HOSTILE: dict[str, tuple[Behaviour | bytes, str, str]] = {
    "401": (answer("401 Unauthorized"), "status_401", "password"),
    "403": (answer("403 Forbidden"), "status_403", "still shared"),
    "404": (answer("404 Not Found"), "status_404", "no calendar at this address"),
    "410": (answer("410 Gone"), "status_410", "no longer valid"),
    "418": (answer("418 I'm a teapot"), "status_418", "responded 418"),
    "500": (answer("500 Internal Server Error"), "status_500", "problem at the moment"),
    "a page": (answer("200 OK", PAGE, "Content-Type: text/html"), "not_a_calendar", "a web page"),
    "nothing": (answer("200 OK"), "empty", "nothing"),
    "json": (answer("200 OK", b'{"a": 1}'), "not_a_calendar", "not a calendar"),
    "half of it": (answer("200 OK", calendar(HOUR)[:-20]), "cut_off", "not complete"),
    "closed": (closing, "closed", "without a response"),
    "broken off": (
        sending(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\nBEGIN:VCALENDAR\r\n"),
        "cut_off",
        "broke off",
    ),
    "endless": (pouring(b"HTTP/1.1 200 OK\r\n\r\n", b"X-LINE:more\r\n" * 10_000), "too_large", "10 MB"),
    "endless headers": (pouring(b"HTTP/1.1 200 OK\r\n", b"X-More: more\r\n" * 100), "too_large", "larger"),
    "no gzip": (
        answer("200 OK", b"BEGIN:VCALENDAR", "Content-Encoding: gzip"),
        "not_gzip",
        "cannot be unpacked",
    ),
    "a gzip bomb": (
        answer("200 OK", gzip.compress(bytes(30_000_000)), "Content-Encoding: gzip"),
        "too_large",
        "10 MB",
    ),
    "20 MB": (answer("200 OK", calendar(HOUR * 200_000)), "too_large", "10 MB"),
    "private": (redirecting("http://10.0.0.1/work.ics"), "blocked_address", "not a public address"),
    "metadata": (redirecting("http://169.254.169.254/"), "blocked_address", "link-local"),
    "a file": (redirecting("file:///etc/passwd"), "redirect", "no web address"),
    "other port": (redirecting("http://127.0.0.1:6379/"), "blocked_address", "another kind of service"),
    "a loop": (redirecting("/again.ics"), "redirects", "more than 3 times"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_read_is_said_in_words(rick: User, name: str) -> None:
    behave, code, words = HOSTILE[name]
    with Receiver(behave) as server, pytest.raises(Unreadable) as caught:
        reading(rick, server.url("/work.ics"))
    assert (caught.value.code, words in caught.value.words) == (code, True), caught.value.words


@pytest.mark.parametrize(
    "behave", [silent, sending(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", b"BEGIN", hold=True)]
)
def test_a_server_that_hangs_is_given_up(
    rick: User, behave: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "SECONDS", 0.3)
    with Receiver(behave) as server, pytest.raises(Unreadable) as caught:
        reading(rick, server.url("/work.ics"))
    assert caught.value.code == "timeout"


def test_the_wait_that_a_server_asks_for_is_kept(rick: User) -> None:
    busy = answer("429 Too Many Requests", b"", "Retry-After: 3600")
    with Receiver(busy) as server, pytest.raises(Unreadable) as caught:
        reading(rick, server.url("/work.ics"))
    assert caught.value.retry_after == 3600


def test_a_redirect_is_followed(rick: User) -> None:
    with Receiver(served(HOUR)) as there, Receiver(redirecting(there.url("/moved.ics"))) as here:
        assert reading(rick, here.url("/work.ics")).times
        assert there.requests[0].path == "/moved.ics"


def test_gzip_is_unpacked(rick: User) -> None:
    packed = answer("200 OK", gzip.compress(calendar(HOUR)), TYPE, "Content-Encoding: gzip")
    with Receiver(packed) as server:
        assert reading(rick, server.url("/work.ics")).times == [
            (MONDAY.replace(hour=9), MONDAY.replace(hour=10))
        ]


def test_what_was_kept_makes_the_next_request_conditional(app: Flask) -> None:
    with Receiver(answer("304 Not Modified")) as server:
        source = Source(CalendarKind.ICS, server.url(), None, MONDAY, MONDAY, etag='"a"', last_modified="x")
        found = read_ics(source)
        assert found.text is None
        assert server.requests[0].headers["if-none-match"] == '"a"'


def test_a_password_goes_without_encryption_to_an_allowed_address_alone(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch.AddressGuard, "refuses", lambda *_: None)
    monkeypatch.setattr(fetch._Exchange, "_is_allowed", lambda *_: False)
    with Receiver() as server, pytest.raises(Unreadable) as caught:
        send(CalendarRequest(server.url(), credentials=Credentials("rick", "hush")))
    assert (caught.value.code, server.requests) == ("no_encryption", [])


def test_new_stamps_are_no_change(rick: User) -> None:
    first, last = service.range_of(db.session(), rick.id)
    viewer = service.viewer_of(db.session(), rick)
    with Receiver(served(event(MONDAY, 60, "DTSTAMP:20270101T000000Z"))) as server:
        source = Source(CalendarKind.ICS, server.url(), None, first, last)
        before = read(source, viewer)
        server.behave = served(event(MONDAY, 60, "DTSTAMP:20270102T000000Z"))
        assert read(source, viewer, before.content_hash).times is None


def test_work_that_never_ends_is_ended(rick: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calapp.calendars.reading.CHILD_SECONDS", 0.01)
    with Receiver(served(HOUR)) as server, pytest.raises(Unreadable) as caught:
        reading(rick, server.url())
    assert caught.value.code == "too_much_work"
