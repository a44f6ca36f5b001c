"""Processes that start others: none outlives the one that started it, however that one ended."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent  # where app.py is
# Says that standard input is a pipe whose other end the starting process holds, and never writes to.
FOLLOW = "CALAPP_STDIN_IS_STARTER"
FAST_DEATH = 10.0  # seconds; a process that lived shorter is started again after a growing pause
LONGEST_PAUSE = 5.0  # seconds
REAPED_WITHIN = 5.0  # seconds for a killed process to go; one that hangs in the kernel is not waited for

log = logging.getLogger(__name__)


class RecurringError:
    """Something that fails again and again: a line in the log when it begins, one when it works again."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.logged = ""

    def note(self, error: BaseException) -> bool:
        """Log an error, unless it is the one that was logged last; return whether it was logged."""
        text = f"{type(error).__name__}: {first_line(error)}"
        if text == self.logged:
            return False
        self.logged = text
        log.warning("%s fails, retrying: %s", self.what, text)
        return True

    def over(self) -> None:
        """Log that it works again, if it did not."""
        if self.logged:
            log.warning("%s works again", self.what)
        self.logged = ""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says."""
    return str(error).strip().partition("\n")[0]


class Kept(ABC):
    """A process that is started again when it ends, or when it could not be started.

    The pause before the next start doubles, up to LONGEST_PAUSE, for as long as starts fail (no process,
    memory or descriptor left) or what was started ends within FAST_DEATH.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.pause = 0.0
        self.again_at: float | None = None
        self.start()

    def start(self) -> bool:
        """Start the process; when that fails, say so, set the time of the next attempt and return False."""
        self.started_at = time.monotonic()
        try:
            self._start()
        except (OSError, MemoryError) as error:
            self._lengthen_pause()
            self.again_at = time.monotonic() + self.pause
            words = getattr(error, "strerror", None) or type(error).__name__
            log.warning("%s could not be started (%s); retrying in %.1f s", self.name, words, self.pause)
            return False
        self.again_at = None
        return True

    def keep_alive(self) -> None:
        """Start the process again when it has ended; later when it ends again and again."""
        if self.alive():
            return
        at = time.monotonic()
        if self.again_at is None:
            if at - self.started_at < FAST_DEATH:
                self._lengthen_pause()
            else:
                self.pause = 0.0
            self.again_at = at + self.pause
            log.warning("%s ended; starting another", self.name)
        if at >= self.again_at:
            self.close()
            self.start()

    def _lengthen_pause(self) -> None:
        self.pause = min(2 * self.pause + 0.2, LONGEST_PAUSE)

    @abstractmethod
    def _start(self) -> None: ...

    @abstractmethod
    def alive(self) -> bool:
        """Return whether the process is there."""

    @abstractmethod
    def send(self, number: signal.Signals) -> None:
        """Send the process a signal, if it is still there."""

    @abstractmethod
    def close(self) -> None:
        """Wait up to REAPED_WITHIN for a process that has ended or was killed, and forget it."""


class Spawned(Kept):
    """A Python program in a session of its own, so that Ctrl-C reaches only the one that started it."""

    process: subprocess.Popen[bytes] | None = None

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
        """Return whether the process is there."""
        return self.process is not None and self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal, if it is still there."""
        if self.process is not None:
            self.process.send_signal(number)

    def close(self) -> None:
        """Wait up to REAPED_WITHIN for a process that has ended or was killed, and forget it."""
        if self.process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self.process.communicate(timeout=REAPED_WITHIN)
        self.process = None


class Forked(Kept):
    """A function in a process that shares what this one has loaded, and so is there at once.

    Such a child begins with `follow_forker`. The process that forks keeps to one thread that takes locks.
    It forks by itself rather than by multiprocessing, which waits at exit, without a limit, for every child.
    """

    pid: int | None = None
    ended = -1  # a file that is readable when the process has ended

    def __init__(self, name: str, target: Callable[..., None], *arguments: object) -> None:
        self.target = target
        self.arguments = arguments
        super().__init__(name)

    def _start(self) -> None:
        _lifeline()
        sys.stdout.flush()  # what is buffered would be written by both
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._be_child()
        self.pid = pid
        self.ended = os.pidfd_open(pid)

    def _be_child(self) -> NoReturn:
        code = 1
        try:
            signal.signal(
                signal.SIGQUIT, signal.SIG_DFL
            )  # the parent's handler would kill its other children
            self.target(*self.arguments)
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:  # noqa: BLE001 (whatever it is, it may not return into the parent's code)
            traceback.print_exc()
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def alive(self) -> bool:
        """Return whether the process is there."""
        if self.pid is None:
            return False
        try:
            ended, _status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            ended = self.pid
        if ended:
            self.pid = None
        return self.pid is not None

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal, if it is still there."""
        if self.alive() and self.pid is not None:
            os.kill(self.pid, number)

    def close(self) -> None:
        """Wait up to REAPED_WITHIN for a process that has ended or was killed, and forget it."""
        until = time.monotonic() + REAPED_WITHIN
        while self.alive() and time.monotonic() < until:
            time.sleep(0.01)
        self.pid = None
        if self.ended >= 0:
            os.close(self.ended)
            self.ended = -1


def stop(processes: Sequence[Kept], patience: float) -> None:
    """Ask processes to stop, all at once, and kill those that are still there after `patience` seconds."""
    for kept in processes:
        kept.send(signal.SIGTERM)
    until = time.monotonic() + patience
    while any(kept.alive() for kept in processes) and time.monotonic() < until:
        time.sleep(0.02)
    for kept in processes:
        kept.send(signal.SIGKILL)
    for kept in processes:
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

    Does nothing in a process that was started manually.
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
