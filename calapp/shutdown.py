"""Whether this process was asked to stop; loops that could go on ask it."""

import os
import select
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

# Make, a terminal and a service manager may each pass on one wish to stop; that is not a second wish.
SAME_WISH = 1.0  # seconds
POLL = 0.05  # seconds; only where `stop_on` was not called


class _Stop:
    asked_at: float | None = None  # monotonic seconds


class _Signals:
    """A socket pair that Python's own C handler writes to, whichever thread a signal has come to.

    A handler in Python runs only when the main thread does, so it could not end that thread's wait.
    """

    pair: tuple[socket.socket, socket.socket] | None = None
    pid = 0  # of the process whose pair it is: a forked child has inherited its parent's


def request_stop() -> None:
    """Ask this process to stop: claim nothing more, finish what is begun."""
    if _Stop.asked_at is None:
        _Stop.asked_at = time.monotonic()


def stop_requested() -> bool:
    """Return whether this process was asked to stop."""
    return _Stop.asked_at is not None


def rest(seconds: float) -> None:
    """Sleep, but no longer than until this process is asked to stop, or a child that it watches has ended.

    It costs nothing meanwhile. For the main thread alone: what has woken one thread wakes no other.
    """
    if _Signals.pair is None or _Signals.pid != os.getpid():
        until = time.monotonic() + seconds
        while not stop_requested() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, POLL))
        return
    reader, _writer = _Signals.pair
    if not stop_requested() and select.select([reader], [], [], seconds)[0]:
        reader.recv(4096)


def watch_children() -> None:
    """Have a child of this process that ends wake `rest`; call `stop_on` as well."""
    signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler nothing is written


def stop_on(
    *signals: signal.Signals, wake: Callable[[], None] | None = None, force: Callable[[], None] | None = None
) -> None:
    """Let these signals ask for a stop; `wake` runs at the first of them.

    At a second wish `force` runs; without one this process ends with status 1. Call it again in a forked
    child, and from the main thread only.
    """

    def handle(_number: int, _frame: FrameType | None) -> None:
        if _Stop.asked_at is not None:
            if time.monotonic() - _Stop.asked_at > SAME_WISH:
                force() if force is not None else os._exit(1)
            return
        request_stop()
        if wake is not None:
            wake()

    if _Signals.pid != os.getpid():
        pair = socket.socketpair()
        for end in pair:
            end.settimeout(0)
        signal.set_wakeup_fd(pair[1].fileno(), warn_on_full_buffer=False)
        _Signals.pair, _Signals.pid = pair, os.getpid()  # closes what was inherited
    for number in signals:
        signal.signal(number, handle)
