"""Sends many requests side by side: transfers that are used again, and one poll for all their sockets."""

import os
import resource
import select
import ssl
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import certifi
import pycurl

from calapp import clock
from calapp.addresses import AddressGuard
from calapp.deliveries.exchange import Trouble, WakeSource, WebhookRequest, WebhookResponse
from calapp.deliveries.resolver import Found, Names, Waiting, name_of
from calapp.deliveries.transfer import Transfer, unsent

# Where systems keep the certificate authorities that they trust: Debian and Alpine, Red Hat, SUSE.
CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)
SPARE_FILES = 256  # descriptors for everything that is not a transfer
STEP = 8  # requests that are sent, and sockets that are read, between two looks whether the database is done
LONGEST_QUEUED = 5.0  # seconds; less than a lease is longer than a request may take
LONGEST_MEANWHILE = 1.0  # seconds
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
        self.transfers: dict[pycurl.Curl, Transfer] = {}  # those that are out, by their handles
        self.queued: deque[tuple[float, WebhookRequest]] = deque()  # since when, and what is to be sent
        self.failed: Exception | None = None  # what `meanwhile` has met, for who waits next
        self.done: list[WebhookResponse] = []
        self.polled: set[int] = set()  # sockets that were given to the poll
        self.kept: set[int] = set()  # those of them that libcurl does not ask for at present
        self.names = Names(timeout=timeout, most=slots)
        self.direct = bool(connect_to)
        self.epoll = select.epoll()
        self.epoll.register(self.names.wake, select.EPOLLIN)
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.epoll.register(self.wake_fd, select.EPOLLIN)
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
        return bool(self.transfers or self.done or self.names.waiting or self.queued)

    def expects(self, seconds: float) -> bool:
        """Return whether anything is out that was sent within the last so many seconds."""
        return self.recent(seconds) > 0

    def recent(self, seconds: float) -> int:
        """Return how many are queued, or out and were sent within the last so many seconds."""
        since = time.monotonic() - seconds
        out = (*self.transfers.values(), *self.names)
        return len(self.queued) + sum(1 for one in out if one.began > since)

    def held(self) -> set[int]:
        """Return the ids of the deliveries that are in flight, or have come back and are not taken yet."""
        out = {one.request.delivery_id for one in (*self.transfers.values(), *self.names)}
        out |= {request.delivery_id for _, request in self.queued}
        return out | {response.request.delivery_id for response in self.done}

    def in_flight(self) -> dict[int, list[float]]:
        """Return, for each webhook, the ages in seconds of its transfers that are out."""
        now = time.monotonic()
        ages: dict[int, list[float]] = {}
        for one in (*self.transfers.values(), *self.names):
            ages.setdefault(one.request.webhook_id, []).append(now - one.began)
        for since, request in self.queued:
            ages.setdefault(request.webhook_id, []).append(now - since)
        return ages

    def start(self, requests: Sequence[WebhookRequest]) -> bool:
        """Send requests off, and what is queued; return whether any were. One that cannot be sent fails."""
        return self._start_all([*self._from_queue(len(self.queued)), *requests])

    def queue(self, requests: Sequence[WebhookRequest]) -> None:
        """Have `meanwhile` send requests off; what it does not come to, the next `start` sends."""
        now = time.monotonic()
        self.queued.extend((now, request) for request in requests)

    def _from_queue(self, most: int) -> list[WebhookRequest]:
        """Take requests from the queue; one that is too old for its lease is left to the end of that."""
        since = time.monotonic() - LONGEST_QUEUED
        taken = [self.queued.popleft() for _ in range(min(most, len(self.queued)))]
        return [request for at, request in taken if at > since]

    def _start_all(self, requests: Sequence[WebhookRequest]) -> bool:
        if not requests:
            return False
        at, began = clock.now(), time.monotonic()
        for request in requests:
            self._start_one(request, at, began)
        self._act(pycurl.SOCKET_TIMEOUT, 0)
        return True

    def meanwhile(self, fd: int, events: int) -> None:
        """Send what is queued and read what comes until a descriptor is ready, for events of `select.poll`.

        It does so for a second at most, and raises nothing: the next wait for responses raises what it meets.
        """
        until = time.monotonic() + LONGEST_MEANWHILE
        poll = select.poll()
        poll.register(fd, events)
        poll.register(self.epoll.fileno(), select.POLLIN)
        while not self.failed and (self.queued or self.transfers or self.names.waiting):
            now = time.monotonic()
            soonest = min(moment for moment in (until, self.timer, self.names.due) if moment is not None)
            ready = poll.poll(0 if self.queued else max(0.0, 1000 * (soonest - now)))
            if now >= until or any(one == fd for one, _ in ready):
                return
            try:
                self._start_all(self._from_queue(STEP))
                self._turn(0, STEP)
            except Exception as error:  # noqa: BLE001 (in the midst of a transaction)
                self.failed = error

    def taken(self) -> list[WebhookResponse]:
        """Return the responses that have come, without waiting for any."""
        done, self.done = self.done, []
        return done

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
            self.multi.add_handle(transfer.handle)
        except (pycurl.error, ValueError, TypeError):
            trouble = Trouble(pycurl.E_URL_MALFORMAT, "", request.url, "name", self.timeout)
            self.done.append(unsent(request, at, trouble))
            transfer.handle.close()
            return
        self.transfers[transfer.handle] = transfer

    def wake(self) -> None:
        """End the wait for responses, from any thread."""
        os.eventfd_write(self.wake_fd, 1)

    def was_woken(self) -> bool:
        """Return whether it rang since this was last asked."""
        woken, self.woken = self.woken, False
        return woken

    def responses(self, wait: float) -> list[WebhookResponse]:
        """Return the responses that have come, immediately when there are any, at most `wait` seconds later.

        A wake ends the wait without any.
        """
        until = time.monotonic() + wait
        while (self.transfers or self.names.waiting) and not (self.done or self.woken):
            now = time.monotonic()
            rest = min(moment for moment in (until, self.timer, self.names.due) if moment is not None)
            self._turn(max(0.0, rest - now))
            if now >= until:
                break
        return self.taken()

    def listen(self, wakes: WakeSource | None) -> None:
        """Have these wakes end the wait of this sender, in its own poll; None: nothing any more."""
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

    def _turn(self, seconds: float, most: int = EVENTS) -> None:
        """Wait for the sockets or the timer, and let libcurl act, on no more of them than `most`."""
        if failed := self.failed:
            self.failed = None
            raise failed
        for fd, event in self.epoll.poll(seconds, most):
            self._on_event(fd, event)
        for one, found in self.names.finished():
            self._go_on(one, found)
        if self.timer is not None and self.timer <= time.monotonic():
            self.timer = None
            self._act(pycurl.SOCKET_TIMEOUT, 0)

    def _on_event(self, fd: int, event: int) -> None:
        if fd == self.names.wake:
            os.eventfd_read(fd)
        elif fd == self.wake_fd:
            self.woken = bool(os.eventfd_read(fd))
        elif self.wakes is not None and fd == self.wakes_fd:
            self.woken = self.wakes.woken() or self.woken
        elif fd in self.kept:
            self._forget(fd)  # most likely its server has closed it
        else:
            self._act(fd, MASKS[event & 31])

    def _act(self, fd: int, mask: int) -> None:
        _, running = self.multi.socket_action(fd, mask)
        if running >= len(self.transfers):
            return
        _, finished, failed = self.multi.info_read()
        for handle in finished:
            self._finish(handle, 0, "")
        for handle, error, text in failed:
            self._finish(handle, error, text)

    def _finish(self, handle: pycurl.Curl, error: int, text: str) -> None:
        transfer = self.transfers.pop(handle)
        self.done.append(transfer.response(error, text))
        self.multi.remove_handle(handle)
        self.idle.append(transfer)

    def _on_socket(self, what: int, fd: int, _multi: object, _data: object) -> None:
        """Watch a socket as libcurl asks for it.

        One that it no longer asks for stays in the poll, since most are used again soon. The system takes it
        out when libcurl closes it, and may give its number to another.
        """
        if what == pycurl.POLL_REMOVE:
            self.kept.add(fd)
            return
        self.kept.discard(fd)
        if fd in self.polled:
            try:
                self.epoll.modify(fd, WATCH[what])
            except FileNotFoundError:
                pass
            else:
                return
        self.polled.add(fd)
        self.epoll.register(fd, WATCH[what])

    def _forget(self, fd: int) -> None:
        self.kept.discard(fd)
        self.polled.discard(fd)
        with suppress(OSError):  # libcurl may have closed it just now
            self.epoll.unregister(fd)

    def _on_timer(self, milliseconds: int) -> None:
        self.timer = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000

    def close(self) -> None:
        """Break off what is out and close every connection."""
        for handle in self.transfers:
            self.multi.remove_handle(handle)
        for transfer in (*self.transfers.values(), *self.idle):
            transfer.handle.close()
        self.transfers.clear()
        self.queued.clear()
        self.idle.clear()
        self.multi.close()
        self.epoll.close()
        os.close(self.wake_fd)
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
