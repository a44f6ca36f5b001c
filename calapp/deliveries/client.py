"""One transfer: a libcurl easy handle that is used again and again, and what its callbacks gather."""

import logging
import os
import resource
import select
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import certifi
import pycurl

from calapp import clock
from calapp.addresses import BLOCKED_NAME, CLOSED_PORTS, AddressGuard
from calapp.deliveries.exchange import Timings, WakeSource, WebhookRequest, WebhookResponse
from calapp.deliveries.failures import Trouble, of_status, of_trouble
from calapp.deliveries.policy import retry_after
from calapp.deliveries.resolver import Found, Names, Waiting, name_of
from calapp.urls import literal

MAX_READ = 65536  # bytes of a head, and of a body, after which the connection is closed
MAX_KEPT = 16384  # bytes of each that the log keeps
DISALLOW_USERNAME_IN_URL = 278  # libcurl's number; pycurl has no name for it
NO_BREAKS = str.maketrans("\r\n\0", "   ")

log = logging.getLogger(__name__)


class LentSocket(socket.socket):
    """A socket that libcurl copies: ours is closed as soon as the copy is made."""

    def __del__(self) -> None:
        self.close()


class Transfer(pycurl.Curl):
    """An easy handle with everything set that does not change, and the state of the attempt that it is on."""

    __slots__ = (
        "at", "began", "blocked", "body", "body_size", "guard", "head", "interim", "no_socket", "request",
        "resolved", "timeout", "url", "waited",
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
        super().__init__()
        self.timeout = timeout
        self.guard = guard
        self.waited = 0.0
        self.resolved: str | None = None
        self.url = ""
        self.head = bytearray()
        self.body = bytearray()
        self._set_limits(round(timeout * 1000))
        self._set_tls(ca_file)
        self.setopt(pycurl.HEADERFUNCTION, self._on_head)
        self.setopt(pycurl.WRITEFUNCTION, self._on_body)
        self.setopt(pycurl.OPENSOCKETFUNCTION, self._on_connect)
        if connect_to:
            self.setopt(pycurl.CONNECT_TO, list(connect_to))

    def _set_limits(self, milliseconds: int) -> None:
        self.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        self.setopt(pycurl.FOLLOWLOCATION, 0)
        self.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        self.setopt(DISALLOW_USERNAME_IN_URL, 1)
        self.setopt(pycurl.NOSIGNAL, 1)
        self.setopt(pycurl.CONNECTTIMEOUT_MS, milliseconds)
        self.setopt(pycurl.TIMEOUT_MS, milliseconds)
        self.setopt(pycurl.PROXY, "")  # not even one of the environment
        self.setopt(pycurl.NOPROXY, "*")
        self.setopt(pycurl.NETRC, pycurl.NETRC_IGNORED)

    def _set_tls(self, ca_file: str) -> None:
        self.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
        self.setopt(pycurl.SSL_VERIFYPEER, 1)
        self.setopt(pycurl.SSL_VERIFYHOST, 2)
        self.setopt(pycurl.OPT_CERTINFO, 1)  # also of one that is refused: when did it expire?
        self.setopt(
            pycurl.CAINFO, ca_file
        )  # a file alone: libcurl reads it once, a folder at every handshake

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
            self.setopt(pycurl.RESOLVE, [resolved] if resolved else [])
            self.resolved = resolved
        if waited != self.waited:
            self.setopt(pycurl.TIMEOUT_MS, max(1, round((self.timeout - waited) * 1000)))
            self.waited = waited
        self.blocked: str | None = None
        self.no_socket = 0
        self.head.clear()
        self.body.clear()
        self.interim = self.body_size = 0
        if request.url != self.url:
            self.url = ""  # until this one is taken
            self.setopt(pycurl.URL, request.url.encode("utf-8", "replace"))
            self.url = request.url
        self.setopt(pycurl.POSTFIELDS, request.body)
        self.setopt(pycurl.HTTPHEADER, _header_lines(request.headers))

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

    def _on_head(self, line: bytes) -> int | None:
        if line[:5] == b"HTTP/":
            self.interim += len(self.head)  # what came before was an interim response
            self.head.clear()
        self.head += line
        return None if self.interim + len(self.head) <= MAX_READ else 0

    def _on_body(self, data: bytes) -> int | None:
        self.body_size += len(data)
        room = MAX_KEPT - len(self.body)
        if room > 0:
            self.body += data[:room]
        return None if self.body_size <= MAX_READ else 0

    def response(self, error: int = 0, text: str = "") -> WebhookResponse:
        """Return what became of the request; `error` and `text` are libcurl's."""
        status = self.getinfo(pycurl.RESPONSE_CODE) or None
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
        return WebhookResponse(
            request=self.request,
            at=self.at,
            status=status,
            failure=failure,
            timings=self._timings(),
            headers=_text(self.head.rstrip()).replace("\r\n", "\n"),
            body=_text(self.body),
            retry_after=asked,
        )

    def _trouble(self, error: int, text: str) -> Trouble:
        unconnected = error == pycurl.E_COULDNT_CONNECT
        return Trouble(
            error=error,
            text=text,
            url=self.request.url,
            reached=self._reached(),
            seconds=self.timeout,
            blocked=self.blocked if unconnected else None,
            system=(self.no_socket or self.getinfo(pycurl.OS_ERRNO)) if unconnected else 0,
            expired=self._expired() if error == pycurl.E_PEER_FAILED_VERIFICATION else None,
        )

    def _expired(self) -> timedelta | None:
        """Return for how long the server's own certificate, the first that it sent, has been invalid."""
        certificates = self.getinfo_raw(pycurl.INFO_CERTINFO)  # in bytes: what stands in it may be anything
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
        if self.getinfo(pycurl.REQUEST_SIZE):  # on a kept connection the times of the phases before are zero
            return "answer"
        if not self.getinfo(pycurl.NAMELOOKUP_TIME_T):
            return "name"
        return "tls" if self.getinfo(pycurl.CONNECT_TIME_T) else "connect"

    def _timings(self) -> Timings:
        get = self.getinfo
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


__all__ = ["Sender", "Timings", "WebhookRequest", "WebhookResponse"]

# Where systems keep the certificate authorities that they trust: Debian and Alpine, Red Hat, SUSE.
CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)
SPARE_FILES = 256  # descriptors for everything that is not a transfer
EVENTS = 1024  # that one look at the sockets takes at most
WATCH = {
    pycurl.POLL_NONE: 0,
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}


def _curl_mask(event: int) -> int:
    """Translate epoll's bits into libcurl's; a hang-up is read, so that what came before it is not lost."""
    mask = pycurl.CSELECT_IN if event & (select.EPOLLIN | select.EPOLLHUP) else 0
    mask |= pycurl.CSELECT_OUT if event & select.EPOLLOUT else 0
    return mask | (pycurl.CSELECT_ERR if event & select.EPOLLERR else 0)


MASKS = tuple(_curl_mask(event) for event in range(32))


class Sender:
    """Sends requests side by side and gathers their responses; not for more than one thread.

    `timeout` is the deadline of one whole transfer in seconds, the lookup of the name included. `connect_to`
    are libcurl's entries (host:port:host:port), with which tests stand in for name servers.
    """

    def __init__(
        self,
        *,
        slots: int,
        timeout: float,
        guard: AddressGuard,
        connect_to: Sequence[str] = (),
    ) -> None:
        self.timeout = timeout
        self.new_transfer = partial(
            Transfer,
            timeout=timeout,
            guard=guard,
            ca_file=ca_file(),
            connect_to=connect_to,
        )
        self.idle: list[Transfer] = []
        self.out: set[Transfer] = set()
        self.done: list[WebhookResponse] = []
        self.watched: set[int] = set()
        self.names = Names(timeout=timeout, most=slots)
        self.direct = bool(connect_to)
        self.epoll = select.epoll()
        self.epoll.register(self.names.wake, select.EPOLLIN)
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.epoll.register(self.bell, select.EPOLLIN)
        self.woken = False
        self.wakes: WakeSource | None = None
        self.wakes_fd = -1
        self.timer: float | None = None
        self.multi = pycurl.CurlMulti()
        self.multi.setopt(pycurl.M_MAXCONNECTS, connections_for(slots))
        self.multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self.multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)

    def busy(self) -> bool:
        """Return whether anything is in flight, or has come back and is not taken yet."""
        return bool(self.out or self.done or self.names.waiting)

    def expects(self, seconds: float) -> bool:
        """Return whether anything is out that was sent within the last so many seconds."""
        since = time.monotonic() - seconds
        return any(one.began > since for one in (*self.out, *self.names))

    def held(self) -> set[int]:
        """Return the ids of the deliveries that are in flight, or have come back and are not taken yet."""
        out = {one.request.delivery_id for one in (*self.out, *self.names)}
        return out | {response.request.delivery_id for response in self.done}

    def in_flight(self) -> dict[int, list[float]]:
        """Return, for each webhook, the ages in seconds of its transfers that are out."""
        now = time.monotonic()
        ages: dict[int, list[float]] = {}
        for one in (*self.out, *self.names):
            ages.setdefault(one.request.webhook_id, []).append(now - one.began)
        return ages

    def start(self, requests: Sequence[WebhookRequest]) -> bool:
        """Send requests off; return whether any was given. One that cannot be sent fails."""
        if not requests:
            return False
        at, began = clock.now(), time.monotonic()
        for request in requests:
            self._start_one(request, at, began)
        self._act(pycurl.SOCKET_TIMEOUT, 0)
        return True

    def _start_one(self, request: WebhookRequest, at: datetime, began: float) -> None:
        """Hand a request to libcurl, unless its name has to be looked up first."""
        place = None if self.direct else name_of(request.url)
        if place is None:
            self._send(request, at, began)
            return
        found = self.names.known(place[0])
        if found is None:
            self.names.ask(Waiting(request, at, began, *place))
            return
        self._send(request, at, began, resolved=found.entry(*place))

    def _go_on(self, one: Waiting, found: Found) -> None:
        """Send a request whose name has been looked up, or say why it has no address."""
        waited = time.monotonic() - one.began
        if found.addresses and waited < self.timeout:
            entry = found.entry(one.host, one.port)
            self._send(one.request, one.at, one.began, resolved=entry, waited=waited)
            return
        error = pycurl.E_COULDNT_RESOLVE_HOST if found.problem else pycurl.E_OPERATION_TIMEDOUT
        trouble = Trouble(error, found.problem, one.request.url, "name", self.timeout)
        self.done.append(unsent(one.request, one.at, trouble, waited))

    def _send(self, request: WebhookRequest, at: datetime, began: float, **known: Any) -> None:
        transfer = self.idle.pop() if self.idle else self.new_transfer()
        try:
            transfer.load(request, at, began, **known)
            self.multi.add_handle(transfer)
        except (pycurl.error, ValueError, TypeError):
            trouble = Trouble(pycurl.E_URL_MALFORMAT, "", request.url, "name", self.timeout)
            self.done.append(unsent(request, at, trouble))
            transfer.close()
            return
        self.out.add(transfer)

    def wake(self) -> None:
        """End the wait for responses, from any thread."""
        os.eventfd_write(self.bell, 1)

    def was_woken(self) -> bool:
        """Return whether it rang since this was last asked."""
        woken, self.woken = self.woken, False
        return woken

    def responses(self, wait: float) -> list[WebhookResponse]:
        """Return the responses that have come, immediately when there are any, at most `wait` seconds later.

        A wake ends the wait without any.
        """
        until = time.monotonic() + wait
        while (self.out or self.names.waiting) and not (self.done or self.woken):
            now = time.monotonic()
            rest = min(moment for moment in (until, self.timer, self.names.due) if moment is not None)
            self._turn(max(0.0, rest - now))
            if now >= until:
                break
        done, self.done = self.done, []
        return done

    def listen(self, wakes: WakeSource | None) -> None:
        """Have what these hear wake this sender, in its own poll; None: nothing any more."""
        if self.wakes is not None:
            with suppress(OSError):  # closed when it failed
                self.epoll.unregister(self.wakes_fd)
        self.wakes = wakes
        if wakes is not None:
            self.wakes_fd = wakes.fileno()
            self.epoll.register(self.wakes_fd, select.EPOLLIN)

    def rest(self, seconds: float) -> None:
        """Wait for a wake, up to that many seconds; whatever libcurl has to do meanwhile is done."""
        until = time.monotonic() + seconds
        while not self.woken and (left := until - time.monotonic()) > 0:
            self._turn(left if self.timer is None else max(0.0, min(left, self.timer - time.monotonic())))

    def _turn(self, seconds: float) -> None:
        """Wait for the sockets or the timer, and let libcurl act on them."""
        for fd, event in self.epoll.poll(seconds, EVENTS):
            if fd == self.names.wake:
                os.eventfd_read(fd)
            elif fd == self.bell:
                self.woken = bool(os.eventfd_read(fd))
            elif self.wakes is not None and fd == self.wakes_fd:
                self.woken = self.wakes.heard() or self.woken
            else:
                self._act(fd, MASKS[event & 31])
        for one, found in self.names.finished():
            self._go_on(one, found)
        if self.timer is not None and self.timer <= time.monotonic():
            self.timer = None
            self._act(pycurl.SOCKET_TIMEOUT, 0)

    def _act(self, fd: int, mask: int) -> None:
        _, running = self.multi.socket_action(fd, mask)
        if running >= len(self.out):
            return
        _, finished, failed = self.multi.info_read()
        for transfer in finished:
            self._finish(transfer, 0, "")
        for transfer, error, text in failed:
            self._finish(transfer, error, text)

    def _finish(self, transfer: Any, error: int, text: str) -> None:
        self.done.append(transfer.response(error, text))
        self.multi.remove_handle(transfer)
        self.out.discard(transfer)
        self.idle.append(transfer)

    def _on_socket(self, what: int, fd: int, _multi: object, _data: object) -> None:
        """Watch a socket as libcurl asks for it; it may be closed already when libcurl lets go of it."""
        if what == pycurl.POLL_REMOVE:
            self.watched.discard(fd)
            with suppress(OSError):
                self.epoll.unregister(fd)
            return
        if fd in self.watched:
            self.epoll.modify(fd, WATCH[what])
            return
        self.watched.add(fd)
        self.epoll.register(fd, WATCH[what])

    def _on_timer(self, milliseconds: int) -> None:
        self.timer = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000

    def close(self) -> None:
        """Break off what is out and close every connection."""
        for transfer in self.out:
            self.multi.remove_handle(transfer)
            transfer.close()
        for transfer in self.idle:
            transfer.close()
        self.out.clear()
        self.idle.clear()
        self.multi.close()
        self.epoll.close()
        os.close(self.bell)
        self.names.close()


def ca_file() -> str:
    """Return the file of trusted certificate authorities: SSL_CERT_FILE, the system's, or certifi's."""
    found = [ssl.get_default_verify_paths().cafile, *CA_FILES]
    return next((name for name in found if name and Path(name).is_file()), certifi.where())


def raise_file_limit(slots: int) -> None:
    """Raise this process's limit of file descriptors to what so many slots need, as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * slots + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections_for(slots: int) -> int:
    """Return how many connections to keep: twice the slots, as far as file descriptors reach."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2 * slots if soft == resource.RLIM_INFINITY else max(slots, min(2 * slots, soft - SPARE_FILES))
