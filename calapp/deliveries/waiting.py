"""Waiting for news of the feed, in few threads of the web server and with no connection held."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from calapp.config import WEB_THREADS
from calapp.deliveries import feed
from calapp.stopping import stop_requested

LOOK = 0.2  # seconds between looks, each the read of one row by its key
MOST_PER_KEY = 2


class Places:
    """Who may wait: each holds a thread of the web server, so there are few places, and two for a key."""

    def __init__(self, most: int, most_per_key: int) -> None:
        self.most, self.most_per_key = most, most_per_key
        self._taken: Counter[int] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, key_id: int) -> Iterator[bool]:
        """Hold a place for a key, and say whether there was one."""
        with self._lock:
            free = self._taken.total() < self.most and self._taken[key_id] < self.most_per_key
            self._taken[key_id] += free
        try:
            yield free
        finally:
            with self._lock:
                self._taken[key_id] -= free


places = Places(WEB_THREADS // 4, MOST_PER_KEY)


def wait_for_news(session: Session, user_id: int, number: int, seconds: float) -> None:
    """Wait until a host has an event behind this number, for so long at most.

    Ends the session's read before each pause: nothing is held while waiting.
    """
    until = time.monotonic() + seconds
    while feed.newest(session, user_id) <= number and not stop_requested():
        session.rollback()
        if (left := until - time.monotonic()) <= 0:
            return
        time.sleep(min(left, LOOK))
