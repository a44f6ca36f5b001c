"""Whether this process was asked to stop; loops that could go on ask it."""

import os
import select
import signal
import time
from collections.abc import Callable
from types import FrameType

# Make, a terminal and a service manager may each pass on one wish to stop; that is not a second wish.
SAME_WISH = 1.0  # seconds


class _Stop:
    asked_at: float | None = None  # monotonic seconds
    wake_fd = os.eventfd(0, os.EFD_CLOEXEC)  # readable from then on, for all that rest


def _get_own_wake_fd() -> None:
    _Stop.wake_fd = os.eventfd(
        0, os.EFD_CLOEXEC
    )  # else a child that is asked to stop would wake who forked it


os.register_at_fork(after_in_child=_get_own_wake_fd)


def request_stop() -> None:
    """Ask this process to stop: claim nothing more, finish what is begun."""
    if _Stop.asked_at is None:
        _Stop.asked_at = time.monotonic()
        os.eventfd_write(_Stop.wake_fd, 1)


def stop_requested() -> bool:
    """Return whether this process was asked to stop."""
    return _Stop.asked_at is not None


def rest(seconds: float, *files: int) -> None:
    """Sleep, but no longer than until this process is asked to stop or one of these files is readable."""
    if not stop_requested():
        select.select([_Stop.wake_fd, *files], [], [], seconds)


def stop_on(
    *signals: signal.Signals, wake: Callable[[], None] | None = None, force: Callable[[], None] | None = None
) -> None:
    """Let these signals ask for a stop; `wake` runs at the first of them.

    At a second wish `force` runs; without one this process ends with status 1.
    """

    def handle(_number: int, _frame: FrameType | None) -> None:
        if _Stop.asked_at is not None:
            if time.monotonic() - _Stop.asked_at > SAME_WISH:
                force() if force is not None else os._exit(1)
            return
        request_stop()
        if wake is not None:
            wake()

    for number in signals:
        signal.signal(number, handle)
