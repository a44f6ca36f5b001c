"""The guarded client: one request to a server that a host named, and how an .ics address is read.

Every connect is judged by the address guard, those of redirects too. One deadline holds for all of a request.
"""

import ipaddress
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin

import pycurl

from calapp import clock
from calapp.addresses import BLOCKED_NAME, CLOSED_PORTS, AddressGuard, literal, parsed
from calapp.calendars.models import CalendarKind, Credentials
from calapp.config import settings
from calapp.deliveries.client import ca_file
from calapp.deliveries.exchange import TEXTS
from calapp.deliveries.policy import retry_after
from calapp.deliveries.transfer import DISALLOW_USERNAME_IN_URL, LentSocket
from calapp.errors import Invalid
from calapp.shutdown import stop_requested

SECONDS = 15.0  # for all of a request: names, connects, redirects, the whole body
BYTES = 10 * 1024 * 1024  # of a body, unpacked
HEAD_BYTES = 64 * 1024
REDIRECTS = 3
MOVED = frozenset((301, 302, 303, 307, 308))
AGENT = "Calapp"

log = logging.getLogger(__name__)


class Unreadable(Exception):
    """A calendar cannot be read; `code` is for machines, the words are for its host.

    `retry_after` is how many seconds the server asked us to wait.
    """

    def __init__(self, code: str, words: str, retry_after: int | None = None) -> None:
        super().__init__(words)
        self.code, self.words, self.retry_after = code, words, retry_after


@dataclass(frozen=True)
class CalendarRequest:
    """What is asked of a server; credentials go along only over https, or to an address that is allowed."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    credentials: Credentials | None = None
    unasked: bool = False  # whether credentials go along before the server has asked for them (Basic)


@dataclass(frozen=True)
class CalendarResponse:
    """What came back, from `url` after redirects; the names of headers are in lower case."""

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Source:
    """What is needed to read a calendar, free of the session; what was kept of the reading before, if any.

    `first` and `last` are the range of time that is looked at.
    """

    kind: CalendarKind
    address: str
    credentials: Credentials | None
    first: datetime
    last: datetime
    etag: str | None = None
    last_modified: str | None = None
    sync_token: str | None = None


@dataclass(frozen=True)
class Reading:
    """What a server gave: texts of calendars, one after the other, or None when nothing has changed."""

    text: bytes | None
    etag: str | None = None
    last_modified: str | None = None
    sync_token: str | None = None


def send(request: CalendarRequest) -> CalendarResponse:
    """Send a request and follow its redirects, each judged; raise Unreadable when there is no response.

    A redirect to another origin is not followed with credentials. Whatever the status, judging it is the
    caller's.
    """
    deadline = time.monotonic() + SECONDS
    for _ in range(REDIRECTS + 1):
        exchange = _Exchange(request)
        response = exchange.perform(max(0.001, deadline - time.monotonic()))
        target = response.headers.get("location")
        if response.status not in MOVED or not target:
            return response
        request = _redirected(request, response.status, target)
    raise Unreadable("redirects", f"The server redirects more than {REDIRECTS} times.")


def _redirected(request: CalendarRequest, status: int, target: str) -> CalendarRequest:
    url = urljoin(request.url, target)
    try:
        here, there = parsed(request.url), parsed(url)
    except Invalid:
        raise Unreadable("redirect", "The server redirects to something that is no web address.") from None
    if here.scheme == "https" and there.scheme == "http" and request.credentials:
        raise Unreadable("redirect", "The server redirects to an address without encryption.")
    if here.origin != there.origin and request.credentials:
        raise leads_elsewhere(request.url, url)
    if status == HTTPStatus.SEE_OTHER:
        request = replace(request, method="GET", body=b"")
    return replace(request, url=url)


def leads_elsewhere(entered: str, url: str) -> Unreadable:
    """Return why a password does not go from one URL's server to another's; one host may have two ports."""
    here, there = parsed(entered), parsed(url)
    near, far = here.host, there.host
    if near == far:
        near, far = f"{here.host}:{here.port}", f"{there.scheme}://{there.host}:{there.port}"
    return Unreadable(
        "other_host",
        f"{near} leads to {far}, and your password is only sent to the server whose address you entered. "
        f"If {far} belongs to your provider, enter its address instead.",
    )


def check_status(response: CalendarResponse) -> None:
    """Raise Unreadable, in words for the host, unless the status is a success or 304."""
    status = response.status
    if 200 <= status < 300 or status == HTTPStatus.NOT_MODIFIED:
        return
    wait = None
    if status in {429, 503}:
        wait = retry_after(response.headers.get("retry-after", ""), clock.now())
    raise Unreadable(f"status_{status}", _status_words(status), wait)


def _status_words(status: int) -> str:
    known = {
        401: "The server does not accept the password any more (401), or asks for one.",
        403: "The server refuses access to this calendar (403). Is it still shared?",
        404: "There is no calendar at this address (404). Copy the address again from your calendar.",
        410: "This calendar's address is no longer valid (410). Copy it again from your calendar.",
        429: "The server asks us to read less often (429).",
    }
    if status in known:
        return known[status]
    if status >= 500:
        return f"The server has a problem at the moment (it responded {status})."
    return f"The server responded {status} instead of a calendar."


def read_ics(source: Source) -> Reading:
    """Read an .ics address; raise Unreadable. What was kept of the reading before makes it conditional."""
    headers = {"Accept": "text/calendar, text/plain;q=0.5, */*;q=0.1"}
    if source.etag:
        headers["If-None-Match"] = source.etag
    elif source.last_modified:
        headers["If-Modified-Since"] = source.last_modified
    response = send(CalendarRequest(source.address, headers=headers, credentials=source.credentials))
    check_status(response)
    if response.status == HTTPStatus.NOT_MODIFIED:
        return Reading(None, source.etag, source.last_modified)
    return Reading(response.body, response.headers.get("etag"), response.headers.get("last-modified"))


class _Exchange:
    """One transfer of libcurl, in the thread that asks."""

    def __init__(self, request: CalendarRequest) -> None:
        self.request = request
        self.guard = AddressGuard(settings().webhook_allowed_networks)
        try:
            self.place = parsed(request.url)
        except Invalid as error:
            raise Unreadable("bad_address", error.message) from None
        self.plain_password = request.credentials is not None and self.place.scheme == "http"
        self.head: list[bytes] = []
        self.body = bytearray()
        self.sizes = {"head": 0}
        self.blocked: tuple[str, str] | None = None

    def perform(self, seconds: float) -> CalendarResponse:
        """Send it and return the response; raise Unreadable."""
        curl = pycurl.Curl()
        try:
            self._set_options(curl, seconds)
            curl.perform()
            headers: dict[str, str] = {}
            for line in self.head[1:]:
                name, colon, value = line.decode("utf-8", "replace").partition(":")
                if colon:
                    headers.setdefault(name.strip().lower(), value.strip().replace("\0", ""))
            return CalendarResponse(
                curl.getinfo(pycurl.RESPONSE_CODE), self.request.url, headers, bytes(self.body)
            )
        except pycurl.error as error:
            number, text = error.args
            raise self._unreadable(number, str(text)) from None
        finally:
            curl.close()

    def _set_options(self, curl: Any, seconds: float) -> None:
        request = self.request
        options = {
            pycurl.URL: self.place.sent(),
            pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
            pycurl.FOLLOWLOCATION: 0,
            DISALLOW_USERNAME_IN_URL: 1,
            pycurl.NOSIGNAL: 1,
            pycurl.TIMEOUT_MS: max(1, round(seconds * 1000)),
            pycurl.CONNECTTIMEOUT_MS: max(1, round(seconds * 1000)),
            pycurl.PROXY: "",  # not even one of the environment
            pycurl.NOPROXY: "*",
            pycurl.NETRC: pycurl.NETRC_IGNORED,
            pycurl.SSLVERSION: pycurl.SSLVERSION_TLSv1_2,
            pycurl.SSL_VERIFYPEER: 1,
            pycurl.SSL_VERIFYHOST: 2,
            pycurl.CAINFO: ca_file(),
            pycurl.ACCEPT_ENCODING: "gzip",
            pycurl.USERAGENT: AGENT,
            pycurl.CUSTOMREQUEST: request.method,
            pycurl.HTTPHEADER: [f"{name}: {value}" for name, value in request.headers.items()] + ["Expect:"],
            pycurl.NOPROGRESS: 0,
            pycurl.XFERINFOFUNCTION: lambda *_: 1 if stop_requested() else 0,
            pycurl.HEADERFUNCTION: self._on_head,
            pycurl.WRITEFUNCTION: self._on_body,
            pycurl.OPENSOCKETFUNCTION: self._on_connect,
        }
        if request.body or request.method == "PUT":
            options[pycurl.POSTFIELDS] = request.body
        if request.method == "HEAD":
            options[pycurl.NOBODY] = 1
        if request.credentials:
            asked = pycurl.HTTPAUTH_BASIC | pycurl.HTTPAUTH_DIGEST
            options[pycurl.HTTPAUTH] = pycurl.HTTPAUTH_BASIC if request.unasked else asked
            options[pycurl.USERNAME] = request.credentials.username.encode()
            options[pycurl.PASSWORD] = request.credentials.password.encode()
        for option, value in options.items():
            curl.setopt(option, value)

    def _on_connect(self, _purpose: int, address: Any) -> Any:
        """Make the socket for an address, unless the guard refuses it."""
        ip, port = address.addr[:2]
        reason = self.guard.refuses(ip, port)
        if reason is not None:
            self.blocked = ("blocked_address", self._told(reason, port))
            return pycurl.SOCKET_BAD
        if self.plain_password and not self._is_allowed(ip):
            self.blocked = ("no_encryption", "A password is sent only over https. Use an https address.")
            return pycurl.SOCKET_BAD
        try:
            return LentSocket(address.family, address.socktype, address.protocol)
        except OSError:  # no address family of this kind here, or no file descriptor left
            return pycurl.SOCKET_BAD

    def _is_allowed(self, ip: str) -> bool:
        address = ipaddress.ip_address(ip.partition("%")[0])
        return any(address.version == one.version and address in one for one in self.guard.allowed)

    def _told(self, reason: str, port: int) -> str:
        """Return what a host may know of why an address is refused; where a name leads is not said."""
        if port in CLOSED_PORTS:
            return f"Port {port} is used by another kind of service. Calendars are not read there."
        if literal(self.place.host):
            return reason
        log.info("A name is refused: %s", reason)
        return BLOCKED_NAME

    def _on_head(self, line: bytes) -> int | None:
        self.sizes["head"] += len(line)
        if line[:5] == b"HTTP/":
            self.head.clear()  # what came before was an interim response, or a refusal without a password
            self.body.clear()
        self.head.append(line)
        return None if self.sizes["head"] <= HEAD_BYTES else 0

    def _on_body(self, data: bytes) -> int | None:
        self.body += data
        return None if len(self.body) <= BYTES else 0

    def _unreadable(self, number: int, text: str) -> Unreadable:
        """Say why there is no response."""
        host, megabytes = self.place.host, BYTES // 1024**2
        late = "did not send all of the calendar" if self.head else "did not respond"
        known = {
            pycurl.E_ABORTED_BY_CALLBACK: ("stopped", "Calapp was stopped while it read this calendar."),
            pycurl.E_OPERATION_TIMEDOUT: ("timeout", f"{host} {late} within {SECONDS:g} s."),
            pycurl.E_COULDNT_RESOLVE_HOST: ("no_such_name", f"There is no address for the name {host}."),
            pycurl.E_COULDNT_CONNECT: ("refused", f"{host} refused the connection."),
            pycurl.E_GOT_NOTHING: ("closed", f"{host} closed the connection without a response."),
            pycurl.E_PARTIAL_FILE: ("cut_off", f"{host} broke off before all of the calendar was sent."),
            pycurl.E_BAD_CONTENT_ENCODING: ("not_gzip", f"{host} sent something that cannot be unpacked."),
            pycurl.E_WRITE_ERROR: ("too_large", f"The calendar is larger than {megabytes} MB."),
        }
        if self.blocked:
            return Unreadable(*self.blocked)
        for part, code, words in TEXTS:
            if part in text.lower():
                return Unreadable(code, words.format(host=host, expired="has expired"))
        if number not in known:
            log.info("A calendar cannot be read: libcurl says %s %s", number, text)
        return Unreadable(*known.get(number, ("transfer", f"The connection to {host} failed.")))
