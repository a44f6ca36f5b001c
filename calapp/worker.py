"""The worker: a parent that keeps its children alive, of which each works one queue and one sweeps.

The parent itself touches neither database nor Valkey, so that nothing that hangs keeps it from its children.
"""

import logging
import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta

from flask import Flask
from sqlalchemy.exc import DBAPIError

from calapp import broker, clock
from calapp.bookings.jobs import tell_meetings
from calapp.chores import continue_parked
from calapp.config import Settings, settings
from calapp.db import db, transaction
from calapp.deliveries.jobs import continue_releases, continue_replays, free_left_behind
from calapp.deliveries.upkeep import anything_due, bring_forward
from calapp.errors import Busy
from calapp.monitoring import tally
from calapp.processes import Forked, Kept, follow_forker, follow_starter, stop
from calapp.queue_worker import GRACE, Trouble, work
from calapp.stopping import rest, stop_on, stop_requested

SWEEP_EVERY = 1.0  # seconds
CHORES_EVERY = 10.0  # seconds
FREE_EVERY = 3.0  # seconds
SET_BACK = 5.0  # seconds; less is a clock that is being kept right
COUNT_EVERY = 5.0  # seconds; longer than any transaction that writes what is counted

log = logging.getLogger(__name__)


def supervise(make_app: Callable[..., Flask]) -> None:
    """Keep the processes of a worker alive until asked to stop; then stop them in order.

    Raises what this process cannot go on after, once its children are stopped: it then ends with status 1,
    and whoever started it (systemd, the launcher) starts another.
    """
    chosen = settings()
    patience = chosen.webhook_timeout + GRACE
    children: list[Kept] = []
    stop_on(signal.SIGINT, signal.SIGTERM, force=lambda: _kill(children))
    signal.signal(signal.SIGQUIT, lambda *_: _kill(children))
    try:
        queues = [*[broker.DELIVERIES] * delivery_processes(chosen), broker.CHORES]
        children.extend(
            Forked(f"The process of the queue {queue}", work, make_app, queue) for queue in queues
        )
        children.append(Forked("The sweeper", sweep, make_app))
        follow_starter(patience + GRACE)
        while not stop_requested():
            for child in children:
                child.keep_alive()
            rest(0.1)
    except Exception as error:
        log.critical("The worker cannot go on and ends (%s: %s)", type(error).__name__, error)
        raise
    finally:
        stop(children, patience)


def delivery_processes(chosen: Settings) -> int:
    """Return how many children deliver: SQLite has one writer, so more than one gain nothing there."""
    return chosen.worker_processes or (1 if chosen.sqlite else os.cpu_count() or 1)


def _kill(children: list[Kept]) -> None:
    for child in children:
        child.send(signal.SIGKILL)
    os._exit(1)


def sweep(make_app: Callable[..., Flask]) -> None:
    """Find once a second what is due, whatever became of nudges, queues and processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    follow_forker(GRACE)
    stop_on(signal.SIGTERM)
    app = make_app(settings(), worker=True)
    troubles = {step: Trouble(f"The sweep {step.__name__}") for step in SWEEPS}
    while not stop_requested():
        for step, trouble in troubles.items():
            sweep_once(app, step, trouble)
        rest(SWEEP_EVERY)


def sweep_once(app: Flask, step: Callable[[], None], trouble: Trouble) -> None:
    """Run one sweep; when it fails, the others still run, and it is tried again a second later."""
    try:
        with app.app_context():
            step()
    except (DBAPIError, Busy) as error:
        trouble.note(error)
    except Exception as error:
        if trouble.note(error):
            log.exception("The sweep %s failed", step.__name__)
    else:
        trouble.over()


def nudge_deliveries() -> None:
    """Have what is due delivered: new events, retries, and what a killed worker left."""
    if anything_due(db.session()):
        broker.nudge(broker.DELIVERIES)


_next: dict[str, float] = {}


def _again(name: str, every: float) -> bool:
    """Say whether something that is done every so many seconds is to be done now."""
    if time.monotonic() < _next.get(name, 0.0):
        return False
    _next[name] = time.monotonic() + every
    return True


_began: list[float] = []


def mind_the_clock() -> None:
    """When the clock was set back, bring forward by as much what was to be tried by the former one.

    On PostgreSQL it is the server's clock that counts, and its operator's to mind.
    """
    began = clock.now().timestamp() - time.monotonic()
    back = _began[0] - began if _began else 0.0
    if back > SET_BACK and settings().sqlite:
        log.warning("The clock was set back by %.0f s; what waits is brought forward by as much", back)
        with transaction() as session:
            bring_forward(session, timedelta(seconds=back))
    _began[:] = [began]


def nudge_chores() -> None:
    """Have the chores done every ten seconds."""
    if _again("chores", CHORES_EVERY):
        broker.nudge(broker.CHORES)


def free_waiting() -> None:
    """Free every few seconds what waits behind nothing any more."""
    if _again("free", FREE_EVERY):
        free_left_behind()


def count_rows() -> None:
    """Count new rows into the counters of /metrics every few seconds."""
    if not _again("count", COUNT_EVERY):
        return
    if not tally.anything_new(db.session()):
        return
    counted = tally.STEP
    while counted == tally.STEP and not stop_requested():
        with transaction() as session:
            counted = tally.count_new(session)


SWEEPS: list[Callable[[], None]] = [
    mind_the_clock,
    tell_meetings,
    continue_replays,
    continue_parked,
    continue_releases,
    free_waiting,
    nudge_deliveries,
    nudge_chores,
    count_rows,
]
