"""A receiver that is never the bottleneck: one process, raw sockets, a fixed answer.

The path says how it answers: `/ok…` at once, `/slow/100/…` after 100 ms, `/hang…` never. `GET /count`
answers `{"hits": n}`, `GET /stats` the hits so far as JSON: `[[path, webhook-id, time.monotonic_ns()], …]`;
with `?reset` it forgets them.

Run it as `python receiver.py PORT`; it prints one line when it listens. receiver.c is the same for machines
that have a C compiler.
"""

import heapq
import json
import re
import selectors
import socket
import sys
import time

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
EVENT_ID = re.compile(rb"\r\nwebhook-id: *(\S+)", re.IGNORECASE)

Hit = tuple[str, str, int]


class Receiver:
    """Every connection of one listening port."""

    def __init__(self, port: int) -> None:
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.buffers: dict[socket.socket, bytes] = {}
        self.hits: list[Hit] = []
        self.later: list[tuple[float, int, socket.socket]] = []

    def serve(self) -> None:
        """Answer until the process is ended."""
        while True:
            wait = max(0.0, self.later[0][0] - time.monotonic()) if self.later else None
            for key, _ in self.selector.select(wait):
                if key.fileobj is self.listener:
                    self.accept()
                else:
                    self.read(key.fileobj)
            self.answer_due()

    def accept(self) -> None:
        """Take a new connection."""
        connection, _ = self.listener.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffers[connection] = b""
        self.selector.register(connection, selectors.EVENT_READ)

    def read(self, connection: socket.socket) -> None:
        """Take what has come, and answer each whole request in it."""
        try:
            data = connection.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.close(connection)
            return
        self.buffers[connection] += data
        while (request := self.whole_request(connection)) is not None:
            self.handle(connection, request)

    def whole_request(self, connection: socket.socket) -> bytes | None:
        """Return the head of the next request once its body is there too."""
        buffer = self.buffers[connection]
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = buffer[:end]
        match = LENGTH.search(head)
        total = end + 4 + (int(match[1]) if match else 0)
        if len(buffer) < total:
            return None
        self.buffers[connection] = buffer[total:]
        return head

    def handle(self, connection: socket.socket, head: bytes) -> None:
        """Note the hit and answer as the path says."""
        arrived = time.monotonic_ns()
        path = head.split(b" ", 2)[1].decode()
        if path.startswith("/count"):
            self.send(connection, whole({"hits": len(self.hits)}))
            return
        if path.startswith("/stats"):
            self.send(connection, self.stats(reset=path.endswith("?reset")))
            return
        match = EVENT_ID.search(head)
        self.hits.append((path, match[1].decode() if match else "", arrived))
        if path.startswith("/ok"):
            self.send(connection, ANSWER)
        elif path.startswith("/slow/"):
            due = time.monotonic() + int(path.split("/")[2]) / 1000
            heapq.heappush(self.later, (due, id(connection), connection))

    def stats(self, *, reset: bool) -> bytes:
        """Return the hits as an HTTP answer."""
        answer = whole(self.hits)
        if reset:
            self.hits = []
        return answer

    def answer_due(self) -> None:
        """Answer the slow ones whose time has come."""
        while self.later and self.later[0][0] <= time.monotonic():
            self.send(heapq.heappop(self.later)[2], ANSWER)

    def send(self, connection: socket.socket, answer: bytes) -> None:
        """Send an answer; the statistics may be longer than the socket takes at once."""
        try:
            connection.setblocking(True)
            connection.sendall(answer)
            connection.setblocking(False)
        except OSError:
            self.close(connection)

    def close(self, connection: socket.socket) -> None:
        """Forget a connection."""
        if self.buffers.pop(connection, None) is not None:
            self.selector.unregister(connection)
            connection.close()


def whole(value: object) -> bytes:
    """Return a value as JSON in an HTTP answer."""
    body = json.dumps(value).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


if __name__ == "__main__":
    receiver = Receiver(int(sys.argv[1]))
    print("listening", flush=True)
    receiver.serve()
