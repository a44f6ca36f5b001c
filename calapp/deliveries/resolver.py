"""Looking names up: each in a thread of its own, so that name servers that hang hold up no other name.

libcurl has twenty threads for all names: twenty webhooks with name servers that never answer would stop
every other webhook.
"""

import os
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import chain
from queue import SimpleQueue
from urllib.parse import urlsplit

from calapp.addresses import LOOPBACK, is_loopback_name, is_unreachable_name, literal
from calapp.deliveries.exchange import WebhookRequest

KEPT_SECONDS = 60.0
MAX_KEPT = 10_000  # names
MIN_THREADS = 64
NAME = re.compile(r"[a-z0-9._-]{1,253}")


@dataclass(frozen=True, slots=True)
class Found:
    """What a lookup gave: addresses, or the system's words for why there are none (none when it was late)."""

    addresses: tuple[str, ...]
    problem: str = ""
    until: float = 0.0

    def entry(self, host: str, port: int) -> str:
        """Return it in the form of libcurl's RESOLVE."""
        return f"+{host}:{port}:{','.join(self.addresses)}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request whose name is being looked up since `began` (monotonic seconds)."""

    request: WebhookRequest
    at: datetime
    began: float
    host: str
    port: int


@lru_cache(maxsize=4096)
def name_of(url: str) -> tuple[str, int] | None:
    """Return host and port when the host is a name to be looked up; what is odd is left to libcurl."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    host = parts.hostname or ""
    return (host, port) if NAME.fullmatch(host) and not literal(host) else None


class Names:
    """The addresses that are known, and the requests that wait for some; `timeout` seconds at most.

    `wake` is a file descriptor that can be read when a lookup has ended.
    """

    def __init__(self, *, timeout: float, most: int) -> None:
        self.timeout = timeout
        self.most = max(MIN_THREADS, most)
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.lock = threading.Lock()  # a late thread may not write to a descriptor that is closed
        self.closed = False
        self.kept: dict[str, Found] = {}
        self.waiting: dict[str, list[Waiting]] = {}
        self.running: set[str] = set()
        self.queued: deque[str] = deque()
        self.ended: SimpleQueue[tuple[str, Found]] = SimpleQueue()
        self.due: float | None = None  # when the first that waits is late, or earlier

    def __len__(self) -> int:
        return sum(map(len, self.waiting.values()))

    def __iter__(self) -> Iterator[Waiting]:
        return chain.from_iterable(self.waiting.values())

    def known(self, host: str) -> Found | None:
        """Return the addresses of a name when they are fresh."""
        found = self.kept.get(host)
        return found if found is not None and found.until > time.monotonic() else None

    def ask(self, request: Waiting) -> None:
        """Let a request wait for its name."""
        self.waiting.setdefault(request.host, []).append(request)
        late = request.began + self.timeout
        self.due = late if self.due is None else min(self.due, late)
        if request.host not in self.running and request.host not in self.queued:
            self.queued.append(request.host)
            self._run_queued()

    def _run_queued(self) -> None:
        def look_it_up(host: str) -> None:
            self.ended.put((host, look_up(host)))
            with self.lock:
                if not self.closed:
                    os.eventfd_write(self.wake, 1)

        while self.queued and len(self.running) < self.most:
            host = self.queued.popleft()
            if host not in self.waiting:
                continue  # all that waited for it were late
            try:
                threading.Thread(target=look_it_up, args=(host,), daemon=True).start()
            except RuntimeError:  # no thread is to be had now; asked again when something ends or is late
                self.queued.appendleft(host)
                return
            self.running.add(host)

    def finished(self) -> list[tuple[Waiting, Found]]:
        """Return what need not wait any longer, because its name was looked up or it is too late."""
        ready: list[tuple[Waiting, Found]] = []
        while not self.ended.empty():
            host, found = self.ended.get()
            self.running.discard(host)
            self._keep(host, found)
            ready.extend((request, found) for request in self.waiting.pop(host, ()))
        self._run_queued()
        if self.due is not None and self.due <= time.monotonic():
            ready.extend(self._late())
        return ready

    def _keep(self, host: str, found: Found) -> None:
        if len(self.kept) >= MAX_KEPT:
            self.kept.clear()
        if found.addresses:
            self.kept[host] = found

    def _late(self) -> list[tuple[Waiting, Found]]:
        latest = time.monotonic() - self.timeout
        late = [one for requests in self.waiting.values() for one in requests if one.began <= latest]
        for host in {one.host for one in late}:
            rest = [one for one in self.waiting.pop(host) if one.began > latest]
            if rest:
                self.waiting[host] = rest
        starts = [requests[0].began for requests in self.waiting.values()]
        self.due = min(starts) + self.timeout if starts else None
        return [(one, Found(())) for one in late]

    def close(self) -> None:
        """Forget what waits; threads that hang end by themselves."""
        with self.lock:
            self.closed = True
            os.close(self.wake)
        self.waiting.clear()
        self.queued.clear()


def look_up(host: str) -> Found:
    """Ask the system for all addresses of a name, in the order in which they are to be tried."""
    if is_unreachable_name(host):
        return Found((), "no name of this network")
    try:
        # Whatever a name server says of localhost, it is this machine, which the guard judges.
        ips = dict.fromkeys(LOOPBACK if is_loopback_name(host) else _asked(host))
    except (OSError, UnicodeError) as error:
        return Found((), str(error))
    addresses = tuple(f"[{ip}]" if ":" in ip else ip for ip in ips if "%" not in ip)
    return Found(addresses, "" if addresses else "no address", time.monotonic() + KEPT_SECONDS)


def _asked(host: str) -> list[str]:
    return [str(answer[4][0]) for answer in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
