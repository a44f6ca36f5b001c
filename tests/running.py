"""Calapp as a newcomer starts it: web server, worker and Valkey as real processes."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

ROOT = Path(__file__).parents[1]
TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
PATIENCE = 60.0  # seconds; the machine may be busy


@dataclass
class Running:
    """A running Calapp and its address."""

    process: subprocess.Popen[str]
    address: str
    data_dir: Path
    printed: str

    def signed_in(self) -> requests.Session:
        """Return a browser in which the demo host is signed in."""
        browser = requests.Session()
        token = TOKEN.search(browser.get(f"{self.address}/login").text)[1]
        form = {"username": "rick", "password": "demo", "csrf_token": token}
        answer = browser.post(f"{self.address}/login", data=form)
        assert answer.status_code == 200, answer.text
        return browser

    def processes(self) -> list[psutil.Process]:
        """Return every process that the start has begun, and their children."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


# One machine books everything here.
MANY_BOOKINGS = {"OPEN_BOOKINGS_PER_ADDRESS": "0", "OPEN_BOOKINGS_PER_EMAIL": "0"}


def environment(data_dir: Path, port: int, **settings: str) -> dict[str, str]:
    own = {"CALAPP_DATA_DIR": str(data_dir), "PORT": str(port), "WEBHOOK_TIMEOUT": "5"}
    return {**os.environ, **MANY_BOOKINGS, **own, **settings}


def launch(data_dir: Path, port: int, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "calapp.launcher"],
        cwd=ROOT,
        env=environment(data_dir, port, **settings),
        stdout=subprocess.PIPE,
        text=True,
    )


def what_it_prints(process: subprocess.Popen[str]) -> str:
    """Return what the start prints, until it says how to stop it or ends."""
    printed = []
    for line in process.stdout:
        printed.append(line)
        if "Ctrl-C" in line:
            break
    return "".join(printed)


@contextmanager
def running(data_dir: Path, **settings: str) -> Iterator[Running]:
    """Run Calapp in a folder; stop it at the end, whatever happened to it."""
    port = free_port()
    process = launch(data_dir, port, **settings)
    try:
        yield Running(process, f"http://127.0.0.1:{port}", data_dir, what_it_prints(process))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        process.stdout.close()


@contextmanager
def shared(make_folder: Callable[[], Path], **settings: str) -> Iterator[Callable[[], Running]]:
    """Give a function that returns a running Calapp: that of before, or another when a test has ended it."""
    with ExitStack() as stack:
        started: list[Running] = []

        def get() -> Running:
            if not started or started[-1].process.poll() is not None:
                started.append(stack.enter_context(running(make_folder(), **settings)))
            return started[-1]

        yield get


def wait_until(true: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something is so, and fail when it does not come."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "It did not come in time."
        time.sleep(0.02)
