"""Whether this process was asked to stop; loops that could go on ask it."""

import os
import signal
import time
from collections.abc import Callable
from types import FrameType

# Make, a terminal and a service manager may each pass on one wish to stop; that is not a second wish.
SAME_WISH = 1.0  # seconds

_asked_at: list[float] = []


def request_stop() -> None:
    """Ask this process to stop: claim nothing more, finish what is begun."""
    _asked_at.append(time.monotonic())


def stop_requested() -> bool:
    """Return whether this process was asked to stop."""
    return bool(_asked_at)


def rest(seconds: float) -> None:
    """Sleep, but no longer than until this process is asked to stop."""
    until = time.monotonic() + seconds
    while not stop_requested() and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))


def _exit_now() -> None:
    os._exit(1)


def stop_on(
    *signals: signal.Signals, wake: Callable[[], None] | None = None, force: Callable[[], None] = _exit_now
) -> None:
    """Let these signals ask for a stop; `wake` runs at the first of them, `force` at a second wish."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop_requested():
            if time.monotonic() - _asked_at[0] > SAME_WISH:
                force()
            return
        request_stop()
        if wake is not None:
            wake()

    for number in signals:
        signal.signal(number, handle)
