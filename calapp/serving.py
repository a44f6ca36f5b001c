"""How the web server reads requests: whole, in its loop, before one of its few threads is taken.

gunicorn's own worker with threads gives each connection a thread as soon as its first byte is there, and
waits in it for the rest: eighteen clients that send a byte every three seconds would be all that it serves.
Here what arrives is gathered without a thread until head and body are there; a request that comes too slowly
costs a few kilobytes. Likewise a closing connection is waited for in the loop.

/healthz has threads of its own, so that it says that the database hangs while all others wait for it.
"""

import errno
import fcntl
import re
import socket
import sys
import termios
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from gunicorn import http
from gunicorn.workers.gthread import TConn, ThreadWorker

from calapp.config import prepare

IDLE = 5.0  # seconds without a byte
WHOLE = 30.0  # seconds for a request's head and body; 350 KB at most, so also over a slow line
RESPONSE = 10.0  # seconds in which the system must take a response; what is on the way then does not count
LINGER = 2.0  # seconds for a client to close after the response, so that nothing of it is lost
LONGEST_HEAD = 256 * 1024  # bytes; gunicorn refuses longer lines and fields by itself when it sees them
LONGEST_BODY = 256 * 1024  # bytes, as MAX_CONTENT_LENGTH; a longer one is refused without being read
LONGEST_TRAILERS = 8 * 1024  # bytes after the last chunk
# Requests of one address; beyond them its oldest ends. An office behind one address opens some dozens.
UNFINISHED_PER_ADDRESS = 100
SEND_BUFFER = 512 * 1024  # bytes, so that the system takes nearly every response without a wait
UNREAD = 64 * 1024  # bytes of earlier responses with which a client may still get its next request served
NO_MORE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:[ \t]*(\d{1,15})[ \t]*(?=\r\n)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.IGNORECASE)
HEALTH = re.compile(rb"(?:GET|HEAD) /healthz[ ?]")
HEALTH_THREADS = 2
EXPECTS = re.compile(rb"\r\nexpect[ \t]*:[ \t]*100-continue", re.IGNORECASE)


class Arriving:
    """What has arrived of a request, and whether it is all of it."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.began = self.last = time.monotonic()
        self.head = 0  # its length, once it is there
        self.needed: int | None = None  # bytes of head and body; None while unknown or chunked
        self.chunk = 0  # where the next chunk begins
        self.searched = 0  # how much was looked through for the end of the head
        self.whole = False  # all of it is there; else it is given up, or refused unread

    def add(self, data: bytes) -> None:
        """Take what came."""
        self.data += data
        self.last = time.monotonic()

    def ready(self) -> bool:
        """Return whether a thread may have it: it is whole, or too long to be waited for."""
        if not self.head and not self._find_head():
            return len(self.data) > LONGEST_HEAD
        if self.needed is None:
            return self._chunks_end() or len(self.data) - self.head > LONGEST_BODY
        self.whole = len(self.data) >= self.needed
        return self.whole or self.needed - self.head > LONGEST_BODY

    def _find_head(self) -> bool:
        end = self.data.find(b"\r\n\r\n", max(0, self.searched - 3))
        self.searched = len(self.data)
        if end < 0:
            return False
        self.head = self.chunk = end + 4
        head = bytes(self.data[: self.head])
        if CHUNKED.search(head) is None:
            length = LENGTH.search(head)
            self.needed = self.head + (int(length[1]) if length else 0)
        return True

    def _chunks_end(self) -> bool:
        """Go on from chunk to chunk; return whether the last is there, or something that is no chunk."""
        while True:
            end = self.data.find(b"\r\n", self.chunk, self.chunk + 100)
            if end < 0:
                return len(self.data) - self.chunk > 100
            try:
                size = int(self.data[self.chunk : end].partition(b";")[0], 16)
            except ValueError:
                return True  # gunicorn says what is wrong with it
            if size == 0:
                self.whole = self.data.find(b"\r\n\r\n", end) >= 0
                return self.whole or len(self.data) - end > LONGEST_TRAILERS
            self.chunk = end + 2 + size + 2
            if size < 0 or self.chunk > len(self.data):
                return size < 0

    def late(self, now: float) -> bool:
        """Return whether it comes too slowly."""
        return now - self.last > IDLE or now - self.began > WHOLE

    def expects_continue(self) -> bool:
        """Return whether the client waits to be told that its body is welcome."""
        return bool(
            self.head and len(self.data) == self.head and EXPECTS.search(bytes(self.data[: self.head]))
        )


class PatientSocket:
    """A connection's socket in a thread: one that stalls ends as if the visitor had left.

    Reads are rare: the request is there already, unless it is refused unread.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._left = RESPONSE

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def begin(self) -> None:
        """Give the next response its time."""
        self._left = RESPONSE

    def unread(self) -> int:
        """Return how many bytes of earlier responses the client has not taken (0: unknown)."""
        try:
            return int.from_bytes(fcntl.ioctl(self._connection, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        except OSError:
            return 0

    def receive(self) -> bytes:
        """Read what is there, for the loop; raise BlockingIOError when that is nothing."""
        return self._connection.recv(65_536)

    def recv(self, size: int) -> bytes:
        """Read nothing more: what has not arrived by now is not waited for."""
        self._connection.settimeout(0)
        try:
            return self._connection.recv(size)
        except BlockingIOError:
            return b""
        finally:
            self._connection.settimeout(None)

    def sendall(self, data: bytes) -> None:
        """Send a part of a response; raise ConnectionResetError when it is not taken in time."""
        began = time.monotonic()
        self._connection.settimeout(max(self._left, 0.001))
        try:
            self._connection.sendall(data)
        except TimeoutError:
            raise ConnectionResetError(
                errno.ECONNRESET, "The client did not read the response in time"
            ) from None
        finally:
            self._left -= time.monotonic() - began
            self._connection.settimeout(None)


class PatientWorker(ThreadWorker):
    """gunicorn's worker with threads, which gathers requests before it gives them one. It speaks no TLS."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.arriving: dict[TConn, Arriving] = {}  # oldest first
        self.unread: set[TConn] = set()  # of those: whole, but earlier responses were not taken yet
        self.lingering: dict[TConn, float] = {}  # and until when (monotonic seconds)
        self.addresses: Counter[str] = Counter()  # of unfinished requests
        self.health_pool = ThreadPoolExecutor(HEALTH_THREADS)
        self.counts_addresses = not prepare().trusted_proxies  # behind a proxy all have the proxy's

    def accept(self, listener: Any) -> None:
        """Accept a connection and gather its first request."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in NO_MORE:
                if not self._make_room():
                    time.sleep(0.01)  # all are being answered
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        if self.nr_conns + 1 >= self.worker_connections:
            self._make_room()
        self.nr_conns += 1
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        conn = TConn(self.cfg, PatientSocket(client), address, listener.getsockname())
        conn.parser = http.get_parser(self.cfg, conn.sock, conn.client)
        conn.initialized = True
        self.gather(conn)

    def gather(self, conn: TConn, data: bytes = b"") -> None:
        """Gather the next request of a connection, of which `data` is here already."""
        self.arriving[conn] = Arriving(data)
        address = self._address(conn)
        self.addresses[address] += 1
        conn.sock.settimeout(0)
        if data and self._ready(conn):
            return
        self.poller.register(conn.sock, 1, partial(self._read, conn))
        if self.counts_addresses and self.addresses[address] > UNFINISHED_PER_ADDRESS:
            self._give_up(next(one for one in self.arriving if self._address(one) == address))

    def _address(self, conn: TConn) -> str:
        return str(conn.client[0]) if isinstance(conn.client, tuple) and conn.client else ""

    def _read(self, conn: TConn, _socket: object) -> None:
        arriving = self.arriving.get(conn)
        if arriving is None:  # given up in this turn of the loop
            return
        try:
            data = conn.sock.receive()
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._give_up(conn)
            return
        arriving.add(data)
        if not self._ready(conn) and arriving.expects_continue():
            try:
                conn.sock.send(CONTINUE)
            except OSError:
                self._give_up(conn)

    def _ready(self, conn: TConn) -> bool:
        """Return whether a request is there; give it to a thread, once earlier responses were taken."""
        arriving = self.arriving[conn]
        if not arriving.ready():
            return False
        if conn.sock.unread() > UNREAD:
            self.unread.add(conn)
            self._unregister(conn)
            return True
        self._forget(conn)
        conn.whole = arriving.whole
        conn.parser.unreader.unread(bytes(arriving.data))
        pool = self.health_pool if HEALTH.match(arriving.data) else self.tpool
        handled = pool.submit(self.handle, conn)
        handled.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))
        return True

    def _forget(self, conn: TConn) -> None:
        del self.arriving[conn]
        self.unread.discard(conn)
        address = self._address(conn)
        self.addresses[address] -= 1
        if self.addresses[address] <= 0:
            del self.addresses[address]
        self._unregister(conn)

    def _unregister(self, conn: TConn) -> None:
        try:
            self.poller.unregister(conn.sock)
        except (OSError, KeyError, ValueError):
            return

    def _give_up(self, conn: TConn) -> None:
        self._forget(conn)
        self.nr_conns -= 1
        conn.close()

    def _make_room(self) -> bool:
        """End the oldest connection that is not being answered; return whether there was one."""
        if self.lingering:
            self._closed(next(iter(self.lingering)))
        elif self.keepalived_conns:
            conn = self.keepalived_conns.popleft()
            self._unregister(conn)
            self.nr_conns -= 1
            conn.close()
        elif self.arriving:
            self._give_up(next(iter(self.arriving)))
        else:
            return False
        return True

    def on_client_socket_readable(self, conn: TConn, client: object) -> None:
        """Gather the next request of a kept connection."""
        if conn not in self.keepalived_conns:  # ended in this turn of the loop, to make room
            return
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self.gather(conn)

    def handle(self, conn: TConn) -> object:
        """Handle a request that is there, in a thread."""
        conn.sock.begin()
        return super().handle(conn)

    def _keepalive_after(self, conn: TConn, keepalive: object) -> bool:
        """Return whether the connection can go on: not after a request that was not read to its end."""
        return bool(conn.whole and super()._keepalive_after(conn, keepalive))

    def finish_request(self, conn: TConn, fs: "Future[object]") -> None:
        """Go on with a connection after a response, in the loop."""
        try:
            goes_on = not fs.cancelled() and bool(fs.result())
        except Exception:  # noqa: BLE001 (the thread has logged it)
            goes_on = False
        try:
            conn.sock.settimeout(0)
            if not goes_on:
                # This was all; it ends when the client has, or after LINGER (RFC 9112, section 9.6).
                conn.sock.shutdown(socket.SHUT_WR)
                self.lingering[conn] = time.monotonic() + LINGER
                self.poller.register(conn.sock, 1, partial(self._drain, conn))
            elif rest := conn.parser.unreader.take_buffered():
                self.gather(conn, rest)
            else:
                conn.set_timeout()
                if not self.alive:
                    conn.timeout = min(conn.timeout, time.monotonic() + LINGER)
                self.keepalived_conns.append(conn)
                self.poller.register(conn.sock, 1, partial(self.on_client_socket_readable, conn))
        except OSError:  # it is gone
            self.nr_conns -= 1
            conn.close()

    def _drain(self, conn: TConn, _socket: object) -> None:
        if conn not in self.lingering:  # closed in this turn of the loop
            return
        try:
            more = conn.sock.receive()
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            more = b""
        if not more:
            self._closed(conn)

    def _closed(self, conn: TConn) -> None:
        del self.lingering[conn]
        self._unregister(conn)
        self.nr_conns -= 1
        conn.close()

    def murder_pending(self) -> None:
        """End what comes too slowly, and close what the client has not closed; at each turn of the loop."""
        for conn in [conn for conn in self.unread if conn.sock.unread() <= UNREAD]:
            self._ready(conn)
        now = time.monotonic()
        late = [
            conn
            for conn, one in self.arriving.items()
            if one.late(now) or not (self.alive or one.data or now - one.began < LINGER)
        ]
        for conn in late:
            self._give_up(conn)
        for conn in [conn for conn, until in self.lingering.items() if until <= now]:
            self._closed(conn)
