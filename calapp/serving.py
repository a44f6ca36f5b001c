"""How long the web server waits for a request: one that stalls must not hold a thread for ever.

A phone that has left the network closes nothing, and gunicorn itself would wait for the rest of what it sent.
"""

import math
import socket
import time
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

IDLE = 5.0  # seconds without a byte
WHOLE = 30.0  # seconds for a request's head and body; 350 KB at most, so also over a slow line


class PatientSocket:
    """A connection's socket; a request that has not come in time ends as if the visitor had left."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._until = math.inf

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def begin(self) -> None:
        """Give the next request its time."""
        self._until = time.monotonic() + WHOLE

    def recv(self, size: int) -> bytes:
        """Read what comes; nothing when it comes too late."""
        if self._connection.gettimeout() is not None:  # gunicorn closes it, and has a limit of its own
            return self._connection.recv(size)
        left = self._until - time.monotonic()
        if left <= 0:
            return b""
        self._connection.settimeout(min(IDLE, left))
        try:
            return self._connection.recv(size)
        except TimeoutError:
            return b""
        finally:
            self._connection.settimeout(None)


class PatientWorker(ThreadWorker):
    """gunicorn's worker with threads, for requests that come in time."""

    def handle(self, conn: TConn) -> object:
        """Handle the next request of a connection, in a thread."""
        if not isinstance(conn.sock, PatientSocket):
            conn.sock = PatientSocket(conn.sock)
        conn.sock.begin()
        return super().handle(conn)
