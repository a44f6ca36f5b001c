"""One transfer: a libcurl easy handle that is used again and again, and what its callbacks gather."""

import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pycurl

from calapp import clock
from calapp.addresses import BLOCKED_NAME, CLOSED_PORTS, AddressGuard, literal
from calapp.deliveries.exchange import (
    Timings,
    Trouble,
    WebhookRequest,
    WebhookResponse,
    of_status,
    of_trouble,
)
from calapp.deliveries.policy import retry_after

MAX_READ = 65536  # bytes of a head, and of a body, after which the connection is closed
MAX_KEPT = 16384  # bytes of each that the log keeps
DISALLOW_USERNAME_IN_URL = 278  # libcurl's number; pycurl has no name for it
NO_BREAKS = str.maketrans("\r\n\0", "   ")

log = logging.getLogger(__name__)


class LentSocket(socket.socket):
    """A socket that libcurl copies: ours is closed as soon as the copy is made."""

    def __del__(self) -> None:
        self.close()


class Transfer:
    """An easy handle with everything set that does not change, and the state of the attempt that it is on.

    Not a subclass of the handle, whose attributes take seventy times as long to read.
    """

    __slots__ = (
        "at", "began", "blocked", "body", "get", "guard", "handle", "head", "no_socket", "request",
        "resolved", "set", "timeout", "url", "waited",
    )  # fmt: skip

    request: WebhookRequest
    at: datetime
    began: float

    def __init__(
        self,
        *,
        timeout: float,
        guard: AddressGuard,
        ca_file: str,
        connect_to: Sequence[str],
    ) -> None:
        self.handle = pycurl.Curl()
        self.set, self.get = self.handle.setopt, self.handle.getinfo
        self.timeout = timeout
        self.guard = guard
        self.waited = 0.0
        self.resolved: str | None = None
        self.url = ""
        self.head = bytearray()  # of interim responses, too
        self.body = bytearray()
        self._set_limits(round(timeout * 1000))
        self._set_tls(ca_file)
        self.set(pycurl.HEADERFUNCTION, _into(self.head))
        self.set(pycurl.WRITEFUNCTION, _into(self.body))
        self.set(pycurl.OPENSOCKETFUNCTION, self._on_connect)
        if connect_to:
            self.set(pycurl.CONNECT_TO, list(connect_to))

    def _set_limits(self, milliseconds: int) -> None:
        self.set(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        self.set(pycurl.FOLLOWLOCATION, 0)
        self.set(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        self.set(DISALLOW_USERNAME_IN_URL, 1)
        self.set(pycurl.NOSIGNAL, 1)
        self.set(pycurl.CONNECTTIMEOUT_MS, milliseconds)
        self.set(pycurl.TIMEOUT_MS, milliseconds)
        self.set(pycurl.PROXY, "")  # not even one of the environment
        self.set(pycurl.NOPROXY, "*")
        self.set(pycurl.NETRC, pycurl.NETRC_IGNORED)

    def _set_tls(self, ca_file: str) -> None:
        self.set(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
        self.set(pycurl.SSL_VERIFYPEER, 1)
        self.set(pycurl.SSL_VERIFYHOST, 2)
        self.set(pycurl.OPT_CERTINFO, 1)  # also of one that is refused: when did it expire?
        # A file alone: libcurl reads it once, a folder at every handshake.
        self.set(pycurl.CAINFO, ca_file)

    def load(
        self,
        request: WebhookRequest,
        at: datetime,
        began: float,
        *,
        resolved: str | None = None,
        waited: float = 0.0,
    ) -> None:
        """Take the next request; raise pycurl.error or ValueError when libcurl does not take it.

        `resolved` is its name's entry for RESOLVE, for which it has waited so many seconds of its deadline.
        """
        self.request, self.at, self.began = request, at, began
        if resolved != self.resolved:
            self.set(pycurl.RESOLVE, [resolved] if resolved else [])
            self.resolved = resolved
        if waited != self.waited:
            self.set(pycurl.TIMEOUT_MS, max(1, round((self.timeout - waited) * 1000)))
            self.waited = waited
        self.blocked: str | None = None
        self.no_socket = 0
        if request.url != self.url:
            self.url = ""  # until this one is taken
            self.set(pycurl.URL, request.url.encode("utf-8", "replace"))
            self.url = request.url
        self.set(pycurl.POSTFIELDS, request.body)
        self.set(pycurl.HTTPHEADER, _header_lines(request.headers))

    def _on_connect(self, _purpose: int, address: Any) -> Any:
        """Make the socket for an address, unless the guard refuses it."""
        ip, port = address.addr[:2]
        reason = self.guard.refuses(ip, port)
        if reason is not None:
            self.blocked = reason if port in CLOSED_PORTS else self._told(reason)
            return pycurl.SOCKET_BAD
        try:
            return LentSocket(address.family, address.socktype, address.protocol)
        except OSError as error:  # no address family of this kind here, or no file descriptor left
            self.no_socket = error.errno or 0
            return pycurl.SOCKET_BAD

    def _told(self, reason: str) -> str:
        """Return what a host may know of why an address is refused; where a name leads is not said."""
        try:
            host = urlsplit(self.request.url).hostname or ""
        except ValueError:
            host = ""
        if literal(host):
            return reason
        log.info("A name is refused: %s", reason, extra={"said": {"webhook": self.request.webhook_id}})
        return BLOCKED_NAME

    def response(self, error: int = 0, text: str = "") -> WebhookResponse:
        """Return what became of the request; `error` and `text` are libcurl's."""
        status = self.get(pycurl.RESPONSE_CODE) or None
        if (final := self.head.rfind(b"\nHTTP/")) >= 0:
            del self.head[: final + 1]  # what came before was an interim response
        # By the status, whatever became of the body, unless the deadline cut a success off.
        if status is not None and 200 <= status < 300 and error != pycurl.E_OPERATION_TIMEDOUT:
            failure = None
        elif status is not None and (status >= 300 or not error):
            failure = of_status(status, self._header(b"location"))
        else:
            failure = of_trouble(self._trouble(error, text))
        asked = None
        if status in {429, 503}:
            asked = retry_after(self._header(b"retry-after") or "", clock.now())
        response = WebhookResponse(
            request=self.request,
            at=self.at,
            status=status,
            failure=failure,
            timings=self._timings(),
            headers=_text(self.head.rstrip()).replace("\r\n", "\n"),
            body=_text(self.body),
            retry_after=asked,
        )
        self.head.clear()  # an idle one holds nothing
        self.body.clear()
        return response

    def _trouble(self, error: int, text: str) -> Trouble:
        unconnected = error == pycurl.E_COULDNT_CONNECT
        return Trouble(
            error=error,
            text=text,
            url=self.request.url,
            reached=self._reached(),
            seconds=self.timeout,
            blocked=self.blocked if unconnected else None,
            system=(self.no_socket or self.get(pycurl.OS_ERRNO)) if unconnected else 0,
            expired=self._expired() if error == pycurl.E_PEER_FAILED_VERIFICATION else None,
        )

    def _expired(self) -> timedelta | None:
        """Return for how long the server's own certificate, the first that it sent, has been invalid."""
        certificates = self.handle.getinfo_raw(
            pycurl.INFO_CERTINFO
        )  # in bytes: what is in it may be anything
        pairs = [one for one in certificates[0] if isinstance(one, tuple)] if certificates else []
        end = dict[bytes, bytes](pairs).get(b"Expire date", b"")
        try:
            passed = self.at.timestamp() - ssl.cert_time_to_seconds(end.decode("ascii"))
        except ValueError:
            return None
        return timedelta(seconds=passed) if passed >= 0 else None

    def _header(self, name: bytes) -> str | None:
        for line in self.head.split(b"\n"):
            found, colon, value = line.partition(b":")
            if colon and found.lower() == name:
                return value.strip().decode("utf-8", "replace").replace("\0", "")
        return None

    def _reached(self) -> str:
        """Return the phase that the transfer was in: name, connect, tls, answer, body."""
        if self.head:
            return "body"
        if self.get(pycurl.REQUEST_SIZE):  # on a kept connection the times of the phases before are zero
            return "answer"
        if not self.get(pycurl.NAMELOOKUP_TIME_T):
            return "name"
        return "tls" if self.get(pycurl.CONNECT_TIME_T) else "connect"

    def _timings(self) -> Timings:
        get = self.get
        waited = self.waited * 1000
        name = get(pycurl.NAMELOOKUP_TIME_T)
        connect = get(pycurl.CONNECT_TIME_T)
        tls = get(pycurl.APPCONNECT_TIME_T)
        request = get(pycurl.PRETRANSFER_TIME_T)
        first = get(pycurl.STARTTRANSFER_TIME_T)
        return Timings(
            name=name / 1000 + waited,
            connect=max(0, connect - name) / 1000,
            tls=max(0, tls - connect) / 1000,
            first_byte=max(0, first - request) / 1000,
            total=get(pycurl.TOTAL_TIME_T) / 1000 + waited,
        )


def _into(kept: bytearray) -> Callable[[bytes], int | None]:
    """Return what gathers what libcurl gives, and has it close the connection after MAX_READ bytes."""

    def gather(data: bytes) -> int | None:
        kept.extend(data)
        return None if len(kept) <= MAX_READ else 0

    return gather


def unsent(request: WebhookRequest, at: datetime, trouble: Trouble, waited: float = 0.0) -> WebhookResponse:
    """Return the response of a request that did not even get to libcurl, after so many seconds."""
    times = Timings(waited * 1000, 0, 0, 0, waited * 1000)
    return WebhookResponse(request, at, None, of_trouble(trouble), times, "", "", None)


def _header_lines(headers: Sequence[tuple[str, str]]) -> list[str | bytes]:
    """Return header lines as libcurl wants them; a line break in one would be another header."""
    lines: list[str | bytes] = [
        f"{name}: {value}" if value.strip() else f"{name};" for name, value in headers
    ]
    plain = "".join(map(str, lines))
    if not (plain.isascii() and plain.isprintable()):
        lines = [str(line).translate(NO_BREAKS).encode("utf-8", "replace") for line in lines]
    return [*lines, "Expect:"]


def _text(data: bytes | bytearray) -> str:
    return data[:MAX_KEPT].decode("utf-8", "replace").replace("\0", "")
