"""The receiver of the benchmark, as a process: the C one when there is a compiler, else the Python one."""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import requests

HERE = Path(__file__).parent
PATIENCE = 600.0  # seconds
PIPELINED = 100  # requests in one piece, so that what is measured is the receiver and not who asks

Hit = tuple[str, str, int]


class Receiving:
    """A running receiver on loopback."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.folder = Path(tempfile.mkdtemp(prefix="calapp-b"))
        self.kind, self.command = "Python", [sys.executable, str(HERE / "receiver.py")]
        compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if compiler:
            made = str(self.folder / "receiver")
            subprocess.run([compiler, "-O2", "-o", made, str(HERE / "receiver.c")], check=True)
            self.kind, self.command = f"C ({Path(compiler).name})", [made]
        self.browser = requests.Session()

    def __enter__(self) -> Self:
        self.process = subprocess.Popen([*self.command, str(self.port)], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.process.stdout.readline()
        return self

    def __exit__(self, *_: object) -> None:
        self.browser.close()
        self.process.kill()
        self.process.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, path: str) -> str:
        """Return the address of a path: /ok…, /slow/MILLISECONDS/…, /hang…."""
        return f"http://127.0.0.1:{self.port}{path}"

    def count(self) -> int:
        """Return the number of hits since they were last taken."""
        return int(self.browser.get(self.url("/count")).json()["hits"])

    def take(self) -> list[Hit]:
        """Return the hits, (path, webhook-id, monotonic nanoseconds), and have them forgotten."""
        return [tuple(hit) for hit in self.browser.get(self.url("/stats?reset")).json()]

    def rate(self, body: bytes, seconds: float = 0.5) -> float:
        """Return how many requests a second it answers when they come as fast as it takes them."""
        one = b"POST /ok HTTP/1.1\r\nHost: x\r\nwebhook-id: evt_rate\r\nContent-Length: %d\r\n\r\n" % len(
            body
        )
        piece = (one + body) * PIPELINED
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            answered, began = 0, time.monotonic()
            while time.monotonic() - began < seconds:
                connection.sendall(piece)
                ends = 0
                while ends < PIPELINED:
                    ends += connection.recv(65536).count(b"\r\n\r\n")
                answered += ends
            elapsed = time.monotonic() - began
        self.take()
        return answered / elapsed


def wait(true: Callable[[], object], seconds: float = PATIENCE, every: float = 0.01) -> None:
    """Wait until something is so; fail when it does not come."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "It did not come in time."
        time.sleep(every)
