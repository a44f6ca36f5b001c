"""CalDAV servers as an attacker would write them: none gets a password, memory or time."""

import gzip
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask

from calapp import config
from calapp.calendars import caldav, fetch
from calapp.calendars.caldav import DavClient, discover, is_same_domain, put_event, read_caldav, typed_address
from calapp.calendars.fetch import Source, Unreadable
from calapp.calendars.models import CalendarKind, Credentials
from calapp.calendars.multistatus import parse
from calapp.errors import Invalid
from tests.receiver import Authority, Receiver, answer, pouring, silent

RICK = Credentials("rick", "secret-app-password")
SPOKEN = re.compile(r"authorization|secret-app-password|cmljazpzZWNyZXQ", re.IGNORECASE)  # the last is Base64
HOME = (
    "<d:current-user-principal><d:href>{principal}</d:href></d:current-user-principal>"
    "<c:calendar-home-set><d:href>{home}</d:href></c:calendar-home-set>"
)
CALENDAR = (
    "<d:resourcetype><d:collection/><c:calendar/></d:resourcetype><d:displayname>{name}</d:displayname>"
    "<cs:getctag>1</cs:getctag>"
)


def multistatus(*pairs: tuple[str, str], prolog: str = "") -> bytes:
    """Return a response in which each href has these properties."""
    parts = "".join(
        f"<d:response><d:href>{href}</d:href><d:propstat><d:prop>{said}</d:prop>"
        "<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
        for href, said in pairs
    )
    text = (
        f'<?xml version="1.0"?>{prolog}<d:multistatus xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav" '
        f'xmlns:cs="http://calendarserver.org/ns/">{parts}</d:multistatus>'
    )
    return text.encode()


def speaking(*answers: Callable[[str], bytes] | bytes) -> Callable:
    """Return a behaviour that asks for Basic, and gives whoever signs in one answer after the other.

    The last one is repeated; a function is given the receiver's own address.
    """
    left = list(answers)

    def behave(receiver: Receiver, connection: object) -> None:
        while (request := receiver.read(connection)) is not None:
            if "authorization" not in request.headers:
                connection.sendall(answer("401 Unauthorized", b"", 'WWW-Authenticate: Basic realm="x"'))
                continue
            said = left.pop(0) if len(left) > 1 else left[0]
            connection.sendall(said(receiver.url("")) if callable(said) else said)

    return behave


def dav(*pairs: tuple[str, str], prolog: str = "") -> bytes:
    return answer("207 Multi-Status", multistatus(*pairs, prolog=prolog), "Content-Type: application/xml")


def spoken(receiver: Receiver) -> list[str]:
    """Return what reached a receiver that could let it in."""
    return [str(one) for one in receiver.requests if SPOKEN.search(f"{one.headers} {one.body!r}")]


def reason(url: str, credentials: Credentials = RICK) -> Unreadable:
    """Return why the calendars at a URL cannot be found."""
    with pytest.raises(Unreadable) as caught:
        discover(url, credentials)
    return caught.value


def source(url: str) -> Source:
    first, last = datetime(2026, 11, 1, tzinfo=UTC), datetime(2027, 1, 31, tzinfo=UTC)
    return Source(CalendarKind.CALDAV, url, RICK, first, last)


@pytest.fixture(autouse=True)
def impatient(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "SECONDS", 0.7)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_never_brings_it_the_password(status: int) -> None:
    with Receiver(dav()) as thief:
        away = answer(f"{status} Moved", b"", f"Location: {thief.url('/', 'localhost')}")
        with Receiver(speaking(away)) as server:
            found = reason(server.url("/"))
        assert (found.code, spoken(thief), thief.requests) == ("other_host", [], [])
    assert "localhost" in str(found)


def test_a_redirect_to_another_port_never_brings_it_the_password() -> None:
    with Receiver(dav()) as thief:
        with Receiver(speaking(answer("307 Moved", b"", f"Location: {thief.url('/')}"))) as server:
            found = reason(server.url("/"))
        assert (found.code, thief.requests) == ("other_host", [])


def test_a_principal_on_another_host_is_not_asked() -> None:
    with Receiver(dav()) as thief:
        named = HOME.split("<c:")[0].format(principal=thief.url("/p/", "localhost"))
        with Receiver(speaking(dav(("/", named)))) as server:
            assert reason(server.url("/")).code == "other_host"
        assert thief.requests == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_calendar_home_on_another_host_is_not_asked(host: str) -> None:
    with Receiver(dav()) as thief:
        named = HOME.format(principal="/p/", home=thief.url("/home/", host))
        with Receiver(speaking(dav(("/", named)))) as server:
            assert reason(server.url("/")).code == "other_host"
        assert thief.requests == []


def test_calendars_on_another_host_are_not_offered() -> None:
    with Receiver(dav()) as thief:
        start = dav(("/", HOME.format(principal="/p/", home="/home/")))
        listed = dav(
            ("/home/", "<d:resourcetype><d:collection/></d:resourcetype>"),
            ("/home/mine/", CALENDAR.format(name="Mine")),
            (thief.url("/theirs/", "localhost"), CALENDAR.format(name="Theirs")),
            (thief.url("/theirs/"), CALENDAR.format(name="Theirs")),
            ("http://user:pw@127.0.0.1/x/", CALENDAR.format(name="Odd")),
            ("http://[::1", CALENDAR.format(name="Broken")),
        )
        with Receiver(speaking(start, listed)) as server:
            assert [one.name for one in discover(server.url("/"), RICK)] == ["Mine"]
        assert thief.requests == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("caldav.icloud.com", "p42-caldav.icloud.com", True),
        ("caldav.fastmail.com", "d123.fastmail.com", True),
        ("caldav.icloud.com", "icloud.com.evil.example", False),
        ("caldav.icloud.com", "evil-icloud.com", False),
        ("caldav.icloud.com", "a.b.icloud.com", False),
        ("icloud.com", "evil.com", False),
        ("example.co.uk", "evil.co.uk", False),
        ("dav.example.co.uk", "p1.example.co.uk", True),
        ("10.0.0.1", "11.0.0.1", False),
        ("127.0.0.1", "169.0.0.1", False),
        ("localhost", "localhost.evil.example", False),
    ],
)
def test_only_neighbours_below_one_domain_share_a_password(one: str, other: str, same: bool) -> None:
    assert is_same_domain(one, other) is same


def test_a_neighbour_is_trusted_over_https_alone() -> None:
    client = DavClient(RICK, "https://caldav.icloud.com/")
    with pytest.raises(Unreadable):
        client.trust_home("https://caldav.icloud.com/", "http://p42-caldav.icloud.com/")
    with pytest.raises(Unreadable):
        client.trust_home("https://caldav.icloud.com/", "https://p42-caldav.icloud.com:8443/")
    client.trust_home("https://caldav.icloud.com/", "https://p42-caldav.icloud.com:443/12/calendars/")
    client.check_trusted("https://p42-caldav.icloud.com/12/calendars/")


def test_a_written_event_follows_no_redirect_to_another_host() -> None:
    with Receiver(answer("201 Created")) as thief:
        away = answer("307 Moved", b"", f"Location: {thief.url('/x.ics', 'localhost')}")
        with Receiver(speaking(away)) as server, pytest.raises(Unreadable):
            put_event(DavClient(RICK, server.url("/")), server.url("/x.ics"), "SUMMARY:Anna", None)
        assert thief.requests == []


def test_a_loop_of_redirects_ends() -> None:
    with Receiver(speaking(lambda own: answer("302 Found", b"", f"Location: {own}/again"))) as server:
        assert reason(server.url("/")).code == "redirects"
        assert len(server.requests) < 20


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1/", "https://169.254.169.254/", "https://[::1]/", "https://192.168.1.1/dav/",
        "http://10.0.0.1/", "https://localhost:22/",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused(url: str) -> None:
    config.use(replace(config.settings(), webhook_allowed_networks=()))
    assert reason(url).code == "blocked_address"


@pytest.mark.parametrize("networks", ["", "127.0.0.0/8"])
def test_a_password_goes_over_http_only_where_the_operator_allows_it(networks: str) -> None:
    config.use(replace(config.settings(), webhook_allowed_networks=config._networks(networks)))
    found = reason("http://93.184.216.34/")
    assert "https" in str(found)
    assert found.code == "no_encryption"


@pytest.mark.parametrize(
    "behave",
    [
        silent,
        pouring(b"HTTP/1.1 207 Multi-Status\r\n\r\n<a>", b" ", 0.05),
        pouring(b"", b"HTTP/1.1 100 C\r\n\r\n", 0.05),
    ],
)
def test_a_server_that_hangs_is_given_up(behave: Callable) -> None:
    with Receiver(behave) as server:
        assert reason(server.url("/")).code == "timeout"


def test_all_of_a_discovery_has_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caldav, "DISCOVERY_SECONDS", 0.0001)
    with Receiver(speaking(answer("404 Not Found"))) as server:
        assert reason(server.url("/dav/")).code == "timeout"


@pytest.mark.parametrize("packed", [False, True])
def test_twenty_megabytes_are_too_large(packed: bool) -> None:
    text = b"<a>" + b"x" * 20_000_000
    headers = ("Content-Encoding: gzip",) if packed else ()
    body = gzip.compress(text, 1) if packed else text
    with Receiver(speaking(answer("207 Multi-Status", body, *headers))) as server:
        assert reason(server.url("/")).code == "too_large"


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(12))


@pytest.mark.parametrize(
    "body",
    [
        multistatus(("/", "&l11;"), prolog=f"<!DOCTYPE x [{LAUGHS}]>"),
        multistatus(("/", "&file;"), prolog='<!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/passwd">]>'),
        multistatus(("/", ""), prolog='<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">'),
        multistatus(("/", ""), prolog='<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x">%p;]>'),
        multistatus(("/", "&undefined;")),
        b"<a>" * 100_000,
        b"<a>" + b"<b/>" * 500_000 + b"</a>",
        b"", b"\0", b"not xml", b"{}", b"<html><body>Sign in</body></html>",
        b"<?xml version='1.0' encoding='x-y'?><a/>",
        b"\xff\xfe<\0a\0", multistatus(("/", "<d:x>"))[:-20],
    ],
)  # fmt: skip
def test_hostile_xml_is_no_caldav(body: bytes) -> None:
    with Receiver(speaking(answer("207 Multi-Status", body))) as server:
        assert reason(server.url("/")).code == "not_caldav"


def test_a_hostile_document_costs_little() -> None:
    for body in (b"<a>" * 3_000_000, b"<a x='" + b"y" * 9_000_000 + b"'/>" * 2):
        with pytest.raises(ValueError, match=r"."):
            parse(body)


@pytest.mark.parametrize(
    ("status", "code", "word"),
    [
        ("401 Unauthorized", "status_401", "app password"),
        ("404 Not Found", "not_caldav", "CalDAV"),
        ("405 Method Not Allowed", "not_caldav", "CalDAV"),
        ("200 OK", "not_caldav", "CalDAV"),
        ("500 Internal Server Error", "status_500", "500"),
        ("429 Too Many Requests", "status_429", "429"),
        ("999 Odd", "status_999", "999"),
    ],
)
def test_reasons_are_said_in_words(status: str, code: str, word: str) -> None:
    with Receiver(speaking(answer(status, b"<html>hello</html>"))) as server:
        found = reason(server.url("/"))
    assert (found.code, word in str(found)) == (code, True)


def test_a_server_that_is_down_is_said() -> None:
    with Receiver() as server:
        url = server.url("/")
    assert reason(url).code == "refused"


def test_an_account_without_calendars_is_said() -> None:
    start = dav(("/", HOME.format(principal="/p/", home="/home/")))
    with Receiver(
        speaking(start, dav(("/home/", "<d:resourcetype><d:collection/></d:resourcetype>")))
    ) as server:
        assert reason(server.url("/")).code == "no_calendars"


def test_a_response_that_was_cut_off_is_not_taken_for_all_events() -> None:
    is_calendar = dav(("/c/", CALENDAR.format(name="c")))
    cut = multistatus(("/c/1.ics", "<c:calendar-data>BEGIN:VCALENDAR</c:calendar-data>")).replace(
        b"</d:multistatus>",
        b"<d:response><d:href>/c/</d:href><d:status>HTTP/1.1 507 Insufficient Storage</d:status></d:response>"
        b"</d:multistatus>",
    )
    behave = speaking(is_calendar, answer("207 Multi-Status", cut))
    with Receiver(behave) as server, pytest.raises(Unreadable) as caught:
        read_caldav(source(server.url("/c/")))
    assert caught.value.code == "too_large"


def test_a_name_on_many_lines_is_one_line() -> None:
    start = dav(("/", HOME.format(principal="/p/", home="/home/")))
    name = f"a\n\u202eb&lt;script&gt;{'x' * 5000}"
    with Receiver(speaking(start, dav(("/home/c/", CALENDAR.format(name=name))))) as server:
        (found,) = discover(server.url("/"), RICK)
    assert found.name.startswith("a b<script>xxx")
    assert len(found.name) == 100


def test_more_calendars_than_a_person_has_are_cut() -> None:
    start = dav(("/", HOME.format(principal="/p/", home="/home/")))
    many = dav(*((f"/home/{n}/", CALENDAR.format(name=n)) for n in range(3000)))
    with Receiver(speaking(start, many)) as server:
        assert len(discover(server.url("/"), RICK)) == caldav.MOST_CALENDARS


@pytest.mark.parametrize(
    "url", ["caldav.google.com", "https://apidata.googleusercontent.com/caldav/v2/", "outlook.office365.com"]
)
def test_google_and_outlook_are_refused_by_name(url: str) -> None:
    with pytest.raises(Unreadable, match=r"\.ics") as caught:
        typed_address(url)
    assert caught.value.code == "read_only"


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("caldav.icloud.com", "https://caldav.icloud.com/"),
        (" https://cloud.example.com/remote.php/dav ", "https://cloud.example.com/remote.php/dav"),
        ("caldavs://dav.example.com:8443/x", "https://dav.example.com:8443/x"),
        ("http://localhost:5232", "http://localhost:5232/"),
        ("dav.example.com:8443", "https://dav.example.com:8443/"),
    ],
)
def test_an_address_is_read_as_it_is_meant(typed: str, url: str) -> None:
    assert typed_address(typed) == url


@pytest.mark.parametrize(
    "typed",
    ["", "  ", "ftp://x.example/", "https://rick:pw@x.example/", "https://", "javascript:alert(1)", "a\\b"],
)
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(Invalid):
        typed_address(typed)


def test_a_server_that_speaks_to_strangers_too_is_told_who_asks() -> None:
    nobody = dav(("/", "<d:current-user-principal><d:unauthenticated/></d:current-user-principal>"))
    known = [
        dav(("/", HOME.format(principal="/p/", home="/home/"))),
        dav(("/home/mine/", CALENDAR.format(name="Mine"))),
    ]

    def behave(receiver: Receiver, connection: object) -> None:
        while (request := receiver.read(connection)) is not None:
            connection.sendall(known.pop(0) if "authorization" in request.headers else nobody)

    with Receiver(behave) as server:
        assert [one.name for one in discover(server.url("/"), RICK)] == ["Mine"]


def test_over_https_the_password_goes_only_to_who_has_a_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.use(replace(config.settings(), webhook_allowed_networks=config._networks("127.0.0.0/8")))
    authority = Authority(tmp_path)
    monkeypatch.setattr(fetch, "ca_file", lambda: str(authority.file))
    start = dav(("/", HOME.format(principal="/p/", home="/home/")))
    listed = dav(("/home/mine/", CALENDAR.format(name="Mine")))
    with Receiver(speaking(start, listed), tls=authority.serving("127.0.0.1")) as server:
        assert [one.name for one in discover(server.url("/"), RICK)] == ["Mine"]
    for context in (authority.serving("127.0.0.1", self_signed=True), authority.serving("other.example")):
        with Receiver(speaking(start, listed), tls=context) as server:
            assert reason(server.url("/")).code.startswith("certificate")
            assert server.requests == []
