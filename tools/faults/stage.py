"""Run one of Calapp's programs with a clock and name servers of the experiment's.

`python -m tools.faults.stage calapp.worker`; the folder STAGE holds `clock`, the seconds by which now() is
moved, and `names.json`, which gives each name's addresses. While it holds `no-fork` no process can be forked,
and while it holds `no-thread` no thread of the name in it started, as under a limit of processes.
"""

import errno
import json
import os
import runpy
import socket
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from calapp import clock

FOLDER = Path(os.environ.get("STAGE", "."))
real_getaddrinfo = socket.getaddrinfo
real_fork = os.fork
real_start = threading.Thread.start


def moved_now() -> datetime:
    """Return the instant on the stage."""
    try:
        seconds = float((FOLDER / "clock").read_text())
    except (OSError, ValueError):
        seconds = 0.0
    return datetime.now(UTC) + timedelta(seconds=seconds)


def staged_getaddrinfo(host: Any, port: Any, *more: Any, **named: Any) -> list[Any]:
    """Look a name up: on the stage first; what is not there has no address, but for literals."""
    try:
        names = json.loads((FOLDER / "names.json").read_text())
    except (OSError, ValueError):
        names = {}
    if host not in names:
        return real_getaddrinfo(host, port, *more, **named)
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port or 0)) for ip in names[host]]


def staged_fork() -> int:
    """Fork, unless the stage has no place for a process."""
    if (FOLDER / "no-fork").exists():
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return real_fork()


def staged_start(thread: threading.Thread) -> None:
    """Start a thread, unless the stage has no place for one."""
    refused = FOLDER / "no-thread"
    if refused.exists() and thread.name == refused.read_text():
        raise RuntimeError("can't start new thread")
    real_start(thread)


if __name__ == "__main__":
    clock.now = moved_now  # before anybody has taken the real one
    socket.getaddrinfo = staged_getaddrinfo
    os.fork = staged_fork
    threading.Thread.start = staged_start
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
