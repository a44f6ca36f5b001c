"""Processes that start others: none outlives the one that started it, however that one ended."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # where app.py is
# Says that standard input is a pipe whose other end the starting process holds, and never writes to.
FOLLOW = "CALAPP_STDIN_IS_STARTER"
FAST_DEATH = 10.0  # seconds; a process that lived shorter is started again after a growing pause
LONGEST_PAUSE = 5.0  # seconds

log = logging.getLogger(__name__)


class Kept:
    """A Python process in a session of its own, which is started again when it dies."""

    def __init__(self, name: str, *arguments: str, **environ: str) -> None:
        self.name = name
        self.arguments = arguments
        self.environ = environ
        self.pause = 0.0
        self.start()

    def start(self) -> None:
        """Start the process; it can follow this one (follow_starter)."""
        self.again_at: float | None = None
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, *self.arguments],
            cwd=ROOT,
            env=os.environ | {FOLLOW: "1"} | self.environ,
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches this process alone, which stops the others in order
        )

    def alive(self) -> bool:
        """Say whether the process is there."""
        return self.process.poll() is None

    def keep_alive(self) -> None:
        """Start the process again when it has died; later when it dies again and again."""
        if self.alive():
            return
        at = time.monotonic()
        if self.again_at is None:
            fast = at - self.started_at < FAST_DEATH
            self.pause = min(2 * self.pause + 0.2, LONGEST_PAUSE) if fast else 0.0
            self.again_at = at + self.pause
            log.warning("%s ended with %d; starting another", self.name, self.process.returncode)
        if at >= self.again_at:
            self._close()
            self.start()

    def _close(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()


def stop(processes: list[Kept], patience: float) -> None:
    """Ask processes to stop, all at once, and kill those that are still there after `patience` seconds."""
    for kept in processes:
        kept.process.terminate()
    until = time.monotonic() + patience
    while any(kept.alive() for kept in processes) and time.monotonic() < until:
        time.sleep(0.02)
    for kept in processes:
        kept.process.kill()
        kept.process.communicate()


def follow_starter(grace: float) -> None:
    """Stop when the process that started this one ends, at the latest `grace` seconds after it.

    Does nothing in a process that was started by hand.
    """
    if os.environ.pop(FOLLOW, None):
        threading.Thread(target=_follow, args=(grace,), name="follower", daemon=True).start()


def _follow(grace: float) -> None:
    while os.read(0, 64):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os._exit(1)
