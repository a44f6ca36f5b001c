"""A network between Calapp and its PostgreSQL that can lose every packet without a word.

The database's end lies in a network namespace, where `python -m tools.faults.silence ADDRESS PORT SOCKET`
passes on what comes to the server's socket. `silence` takes that end its address, so that whatever is sent to
it is lost, and no error comes back.
"""

import itertools
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from sqlalchemy.engine import make_url

from tools.faults.parts import PATIENCE, ROOT
from tools.faults.report import CannotRun

HERE, THERE, PORT = "10.213.77.1", "10.213.77.2", 5432
_numbers = itertools.count()


class Network:
    """The way to a PostgreSQL server by TCP; `url` leads through it."""

    def __init__(self, url: str) -> None:
        if os.geteuid() or not shutil.which("ip"):
            raise CannotRun("needs root and the program ip (iproute2), to make a network namespace")
        address = make_url(url)
        self.socket = f"{address.query['host']}/.s.PGSQL.{address.port or 5432}"
        rest = {name: value for name, value in address.query.items() if name != "host"}
        self.url = address.set(host=THERE, port=PORT, query=rest).render_as_string(hide_password=False)
        self.name = f"calapp{os.getpid()}n{next(_numbers)}"
        self.near, self.far = f"ca{os.getpid()}a"[:15], f"ca{os.getpid()}b"[:15]

    def __enter__(self) -> Self:
        try:
            self._connect()
        except subprocess.CalledProcessError as error:
            self._remove()
            raise CannotRun(f"no network namespace can be made here: {error}") from error
        words = ["ip", "netns", "exec", self.name, sys.executable, "-m", "tools.faults.silence"]
        self.relay = subprocess.Popen([*words, THERE, str(PORT), self.socket], cwd=ROOT)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with suppress(OSError):
                socket.create_connection((THERE, PORT), timeout=1).close()
                break
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.relay.kill()
        self.relay.wait()
        self._remove()

    def _connect(self) -> None:
        ip("netns", "add", self.name)
        ip("link", "add", self.near, "type", "veth", "peer", "name", self.far, "netns", self.name)
        ip("addr", "add", f"{HERE}/30", "dev", self.near)
        ip("link", "set", self.near, "up")
        ip("-n", self.name, "link", "set", "lo", "up")
        ip("-n", self.name, "link", "set", self.far, "up")
        self.let_through()
        # Known for good, or the system would notice within seconds that nobody has that address any more.
        words = ip("-n", self.name, "-o", "link", "show", self.far).split()
        hardware = words[words.index("link/ether") + 1]
        ip("neigh", "replace", THERE, "lladdr", hardware, "dev", self.near, "nud", "permanent")

    def _remove(self) -> None:
        for words in (("link", "del", self.near), ("netns", "del", self.name)):
            subprocess.run(["ip", *words], stderr=subprocess.DEVNULL, check=False)

    def silence(self) -> None:
        """Lose every packet from now on."""
        ip("-n", self.name, "addr", "del", f"{THERE}/30", "dev", self.far)

    def let_through(self) -> None:
        """Let packets through again."""
        ip("-n", self.name, "addr", "add", f"{THERE}/30", "dev", self.far)


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


def relay(address: str, port: int, path: str) -> None:
    """Pass each connection on to a socket, for ever."""
    listener = socket.create_server((address, port), backlog=128)
    while True:
        outside = listener.accept()[0]
        inside = socket.socket(socket.AF_UNIX)
        try:
            inside.connect(path)
        except OSError:
            outside.close()
            continue
        for source, target in ((outside, inside), (inside, outside)):
            threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    relay(sys.argv[1], int(sys.argv[2]), sys.argv[3])
