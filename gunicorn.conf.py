"""How gunicorn serves the pages; it finds this file by itself: gunicorn 'app:create_app()'.

On SIGHUP, gunicorn runs this file again and replaces its workers, which then run the code that is installed
now: so the master, which stays, imports few libraries, and none of Calapp's modules twice from memory.
"""

import atexit
import logging
import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

from gunicorn.http import message

for _name in [name for name in sys.modules if name.split(".")[0] == "calapp"]:
    del sys.modules[_name]  # as it was before SIGHUP

from calapp.config import KEY_IS_KEPT, WEB_THREADS, BadSetting, prepare  # noqa: E402
from calapp.logs import configure  # noqa: E402
from calapp.processes import follow_starter  # noqa: E402

os.umask(0o077)  # what the server writes is for its user alone
try:
    _settings = prepare()
except BadSetting as error:
    sys.exit(error.message)
if not os.environ.get(KEY_IS_KEPT):  # `make run` has checked before it starts this
    _checked = subprocess.run(
        [sys.executable, "-m", "calapp.startup_checks"], cwd=Path(__file__).parent, check=False
    )
    if _checked.returncode:
        sys.exit(_checked.returncode)

_host = f"[{_settings.host}]" if ":" in _settings.host else _settings.host
bind = f"{_host}:{_settings.port}"
worker_class = "calapp.serving.PatientWorker"
worker_connections = 800  # of the 1,024 files that most systems allow a process; the rest is for the database
sendfile = False  # a file, too, is sent within the time that an answer has
threads = WEB_THREADS  # a visitor never waits for a receiver, only for the database
graceful_timeout = 20  # seconds to answer what is being asked; a statement may take 15
loglevel = "warning"
# A booking link with 50 metadata values of 500 characters, each escaped as %C3%BC or so. gunicorn's own most
# is 8190, beyond which it knows only "no limit", and a line without an end would fill the memory.
message.MAX_REQUEST_LINE = limit_request_line = 98_304
control_socket_disable = True


# The counters of all processes of this server are files in a folder of its own; set before anything counts.
_counters = tempfile.mkdtemp(prefix="calapp-metrics-")
os.environ["PROMETHEUS_MULTIPROC_DIR"] = _counters
_master = os.getpid()


def _remove_counters() -> None:
    if os.getpid() == _master:
        shutil.rmtree(_counters, ignore_errors=True)


atexit.register(_remove_counters)


def on_starting(server: Any) -> None:
    """End with the launcher, however that ended; say what an operator must not overlook."""
    server.handover = Handover()
    configure(_settings, "web")
    if _settings.rate_limits == "off":
        logging.getLogger("calapp.incoming").warning(
            "RATE_LIMITS=off: passwords and forms can be sent without limit"
        )
    if _settings.sqlite and server.cfg.workers > 1:
        logging.getLogger("calapp").warning(
            "WEB_CONCURRENCY=%s: on SQLite, more processes only wait for each other. Use 1, or PostgreSQL.",
            server.cfg.workers,
        )
    follow_starter(graceful_timeout + 2)


HANDOVER = 30.0  # seconds that a worker goes on serving for the one that replaces it to be ready
LEFTOVERS = 60  # seconds that a replaced worker has for its last responses: nobody waits for it to end
_until_exit = ExitStack()


class Handover:
    """Which workers are to be replaced and which are ready, by their ages, for all processes of a server."""

    def __init__(self) -> None:
        self._ages = mmap.mmap(-1, 16)

    def replace(self, age: int) -> None:
        """Note that the workers up to this age are to be replaced."""
        self._ages[:8] = age.to_bytes(8, "big")

    def is_ready(self, age: int) -> None:
        """Note that a worker of this age serves."""
        self._ages[8:] = age.to_bytes(8, "big")

    def is_replaced(self, age: int) -> bool:
        """Return whether a worker of this age is to be replaced."""
        return age <= int.from_bytes(self._ages[:8], "big")

    def is_early(self, age: int) -> bool:
        """Return whether a worker of this age is to be replaced, and no newer one is ready yet."""
        replaced, ready = (int.from_bytes(self._ages[at : at + 8], "big") for at in (0, 8))
        return age <= replaced and ready <= replaced


def on_reload(server: Any) -> None:
    """Remember which workers SIGHUP replaces."""
    server.handover.replace(server.worker_age)


def post_fork(server: Any, worker: Any) -> None:
    """Give a worker what it shares with those before and after it."""
    worker.handover = server.handover


def post_worker_init(worker: Any) -> None:
    """Save what is counted, and end without a request that is refused.

    gunicorn stops the workers that SIGHUP replaces before the new ones have loaded the app: without a wait
    every visitor would wait for that. Who waits for news of the feed gets a response when a worker stops.
    """
    from calapp.monitoring.service import counting  # noqa: PLC0415 (imported by the workers alone)
    from calapp.shutdown import request_stop  # noqa: PLC0415

    _until_exit.enter_context(counting(worker.wsgi))
    waited = threading.Event()

    def stop_when_replaced() -> None:
        until = time.monotonic() + HANDOVER
        while worker.handover.is_early(worker.age) and time.monotonic() < until:
            time.sleep(0.1)
        waited.set()
        os.kill(worker.pid, signal.SIGTERM)

    def handle(number: int, frame: FrameType | None) -> None:
        if worker.handover.is_early(worker.age) and not waited.is_set():
            threading.Thread(target=stop_when_replaced, daemon=True).start()
            return
        if worker.handover.is_replaced(worker.age):
            worker.cfg.set("graceful_timeout", LEFTOVERS)
        request_stop()
        worker.handle_exit(number, frame)

    signal.signal(signal.SIGTERM, handle)
    signal.siginterrupt(signal.SIGTERM, False)  # noqa: FBT003 (as gunicorn has it)
    worker.handover.is_ready(worker.age)


def worker_exit(_server: object, _worker: object) -> None:
    """Save what was counted last."""
    _until_exit.close()
