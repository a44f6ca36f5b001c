"""Adding what this process has counted to the counters that all processes share."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from sqlalchemy.exc import DBAPIError

from calapp import counters
from calapp.db import transaction
from calapp.errors import Busy
from calapp.monitoring import service
from calapp.processes import RecurringError

EVERY = 5.0  # seconds; a process that is killed takes up to so many seconds of its counts with it

log = logging.getLogger(__name__)


def save_counts() -> None:
    """Add what this process has counted to the table; what cannot be added is kept for the next time."""
    counts = counters.take()
    if not counts:
        return
    try:
        with transaction() as session:
            service.add_counts(session, counts)
    except BaseException:
        counters.add(counts)
        raise


@contextmanager
def counting(app: Flask) -> Iterator[None]:
    """Save what this process counts every few seconds, and once more at the end."""
    over = threading.Event()
    errors = RecurringError("Saving the counters")

    def save_until_over() -> None:
        ended = False
        while not ended:
            ended = over.wait(EVERY)
            try:
                with app.app_context():
                    save_counts()
            except (DBAPIError, Busy) as error:
                errors.note(error)
            except Exception as error:
                if errors.note(error):
                    log.exception("The counters could not be saved")
            else:
                errors.over()

    thread = threading.Thread(target=save_until_over, name="counters", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
