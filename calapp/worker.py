"""The worker: a parent that keeps its children alive, each at one queue, and sweeps."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable

from flask import Flask
from sqlalchemy.exc import DBAPIError

from calapp import broker
from calapp.config import Settings, settings
from calapp.db import db
from calapp.deliveries.upkeep import anything_due
from calapp.errors import Busy
from calapp.processes import Kept, follow_starter, stop
from calapp.queue_worker import GRACE, Trouble
from calapp.stopping import stop_on, stop_requested

SWEEP_EVERY = 1.0  # seconds
CHORES_EVERY = 10.0  # seconds

log = logging.getLogger(__name__)


def supervise(app: Flask) -> None:
    """Keep the children of a worker alive and sweep, until asked to stop; then stop them in order."""
    chosen = settings()
    patience = chosen.webhook_timeout + GRACE
    children: list[Kept] = []
    stop_on(signal.SIGINT, signal.SIGTERM, force=lambda: _kill(children))
    signal.signal(signal.SIGQUIT, lambda *_: _kill(children))
    follow_starter(patience + GRACE)
    children += [_child(broker.DELIVERIES) for _ in range(delivery_processes(chosen))]
    children.append(_child(broker.CHORES))
    Sweeper(app).start()
    while not stop_requested():
        for child in children:
            child.keep_alive()
        time.sleep(0.1)
    stop(children, patience)


def delivery_processes(chosen: Settings) -> int:
    """Return how many children deliver: SQLite has one writer, so more than one gain nothing there."""
    return chosen.worker_processes or (1 if chosen.sqlite else os.cpu_count() or 1)


def _child(queue: str) -> Kept:
    arguments = ("-m", "flask", "worker", "--child", queue)
    return Kept(f"The process of the queue {queue}", *arguments, FLASK_APP="app:create_app(worker=True)")


def _kill(children: list[Kept]) -> None:
    for child in children:
        child.process.kill()
    os._exit(1)


class Sweeper(threading.Thread):
    """Finds once a second what is due, whatever became of nudges, queues and processes."""

    def __init__(self, app: Flask) -> None:
        super().__init__(name="sweeper", daemon=True)
        self.app = app
        self.troubles = {sweep: Trouble(f"The sweep {sweep.__name__}") for sweep in SWEEPS}

    def run(self) -> None:
        """Sweep until this process is asked to stop."""
        while not stop_requested():
            for sweep in SWEEPS:
                self.sweep(sweep)
            time.sleep(SWEEP_EVERY)

    def sweep(self, sweep: Callable[[], None]) -> None:
        """Run one sweep; when it fails, the others still run, and it is tried again a second later."""
        try:
            with self.app.app_context():
                sweep()
        except (DBAPIError, Busy) as error:
            self.troubles[sweep].note(error)
        except Exception as error:
            if self.troubles[sweep].note(error):
                log.exception("The sweep %s failed", sweep.__name__)
        else:
            self.troubles[sweep].over()


def nudge_deliveries() -> None:
    """Have what is due delivered: new events, retries, and what a killed worker left."""
    if anything_due(db.session()):
        broker.nudge(broker.DELIVERIES)


_chores_at = [0.0]


def nudge_chores() -> None:
    """Have the chores done every ten seconds."""
    if time.monotonic() >= _chores_at[0]:
        _chores_at[0] = time.monotonic() + CHORES_EVERY
        broker.nudge(broker.CHORES)


SWEEPS: list[Callable[[], None]] = [nudge_deliveries, nudge_chores]
