"""Processes that start others: none outlives the one that started it, however that one ended."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # where app.py is
# Says that standard input is a pipe whose other end the starting process holds, and never writes to.
FOLLOW = "CALAPP_STDIN_IS_STARTER"
FAST_DEATH = 10.0  # seconds; a process that lived shorter is started again after a growing pause
LONGEST_PAUSE = 5.0  # seconds

log = logging.getLogger(__name__)


class Kept(ABC):
    """A process that is started again when it dies."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pause = 0.0
        self.start()

    def start(self) -> None:
        """Start the process."""
        self.again_at: float | None = None
        self.started_at = time.monotonic()
        self._start()

    def keep_alive(self) -> None:
        """Start the process again when it has died; later when it dies again and again."""
        if self.alive():
            return
        at = time.monotonic()
        if self.again_at is None:
            fast = at - self.started_at < FAST_DEATH
            self.pause = min(2 * self.pause + 0.2, LONGEST_PAUSE) if fast else 0.0
            self.again_at = at + self.pause
            log.warning("%s ended; starting another", self.name)
        if at >= self.again_at:
            self.close()
            self.start()

    @abstractmethod
    def _start(self) -> None: ...

    @abstractmethod
    def alive(self) -> bool:
        """Say whether the process is there."""

    @abstractmethod
    def send(self, number: signal.Signals) -> None:
        """Send the process a signal, if it is still there."""

    @abstractmethod
    def close(self) -> None:
        """Wait for a process that has ended, and forget it."""


class Spawned(Kept):
    """A Python program in a session of its own, so that Ctrl-C reaches only the one that started it."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.arguments = arguments
        super().__init__(name)

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *self.arguments],
            cwd=ROOT,
            env=os.environ | {FOLLOW: "1"},
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def alive(self) -> bool:
        """Say whether the process is there."""
        return self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal, if it is still there."""
        self.process.send_signal(number)

    def close(self) -> None:
        """Wait for a process that has ended, and forget it."""
        self.process.communicate()


class Forked(Kept):
    """A function in a process that shares what this one has loaded, and so is there at once.

    Such a child begins with `follow_forker`. The process that forks keeps to one thread that takes locks.
    """

    def __init__(self, name: str, target: Callable[..., None], *arguments: object) -> None:
        self.target = target
        self.arguments = arguments
        super().__init__(name)

    def _start(self) -> None:
        _lifeline()
        fork = multiprocessing.get_context("fork")
        self.process = fork.Process(target=self.target, args=self.arguments, name=self.name)
        self.process.start()

    def alive(self) -> bool:
        """Say whether the process is there."""
        return self.process.is_alive()

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal, if it is still there."""
        if self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, number)

    def close(self) -> None:
        """Wait for a process that has ended, and forget it."""
        self.process.join()
        self.process.close()


def stop(processes: Sequence[Kept], patience: float) -> None:
    """Ask processes to stop, all at once, and kill those that are still there after `patience` seconds."""
    for kept in processes:
        kept.send(signal.SIGTERM)
    until = time.monotonic() + patience
    while any(kept.alive() for kept in processes) and time.monotonic() < until:
        time.sleep(0.02)
    for kept in processes:
        kept.send(signal.SIGKILL)
        kept.close()


@cache
def _lifeline() -> tuple[int, int]:
    """Return the pipe that forked children read; it ends when its writer, who forked them, has gone."""
    return os.pipe()


def follow_forker(grace: float) -> None:
    """Stop when the process that forked this one ends, at the latest `grace` seconds after it."""
    reader, writer = _lifeline()
    os.close(writer)
    os.setsid()  # a terminal's signals are for the one that forked, which stops its children in order
    _follow(reader, grace)


def follow_starter(grace: float) -> None:
    """Stop when the process that started this one ends, at the latest `grace` seconds after it.

    Does nothing in a process that was started by hand.
    """
    if os.environ.pop(FOLLOW, None):
        _follow(sys.stdin.fileno(), grace)


def _follow(pipe: int, grace: float) -> None:
    def wait() -> None:
        while os.read(pipe, 64):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace)
        os._exit(1)

    threading.Thread(target=wait, name="follower", daemon=True).start()
