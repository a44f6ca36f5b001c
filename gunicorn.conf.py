"""How gunicorn serves the pages; it finds this file by itself: gunicorn 'app:create_app()'."""

import atexit
import logging
import os
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from types import FrameType
from typing import Any

from gunicorn.http import message

from calapp.config import WEB_THREADS, BadSetting, prepare
from calapp.logs import configure
from calapp.monitoring.counting import counting
from calapp.processes import follow_starter
from calapp.shutdown import request_stop
from calapp.startup_checks import open_folder, refuse_nameless, refuse_unsafe, refuse_wrong_key

os.umask(0o077)  # what the server writes is for its user alone
try:
    _settings = prepare()
    refuse_nameless(_settings)
    refuse_unsafe(_settings)
    refuse_wrong_key(_settings)
except BadSetting as error:
    sys.exit(error.message)

_host = f"[{_settings.host}]" if ":" in _settings.host else _settings.host
bind = f"{_host}:{_settings.port}"
worker_class = "calapp.serving.PatientWorker"
worker_connections = 800  # of the 1,024 files that most systems allow a process; the rest is for the database
sendfile = False  # a file, too, is sent within the time that an answer has
threads = WEB_THREADS  # a visitor never waits for a receiver, only for the database
graceful_timeout = 10  # seconds to answer what is being asked
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


def on_starting(_server: object) -> None:
    """End with the launcher, however that ended; say what an operator must not overlook."""
    configure(_settings, "web")
    if (warning := open_folder(_settings)) is not None:
        logging.getLogger("calapp").warning("%s", warning)
    if _settings.rate_limits == "off":
        logging.getLogger("calapp.rate_limits").warning(
            "RATE_LIMITS=off: passwords can be guessed and forms sent without a pause"
        )
    follow_starter(graceful_timeout + 2)


_until_exit = ExitStack()


def post_worker_init(worker: Any) -> None:
    """Save what is counted; answer who waits for news of the feed when the web server is asked to stop."""
    _until_exit.enter_context(counting(worker.wsgi))

    def handle(number: int, frame: FrameType | None) -> None:
        request_stop()
        worker.handle_exit(number, frame)

    signal.signal(signal.SIGTERM, handle)
    signal.siginterrupt(signal.SIGTERM, False)  # noqa: FBT003 (as gunicorn has it)


def worker_exit(_server: object, _worker: object) -> None:
    """Save what was counted last."""
    _until_exit.close()
