"""Visitors who book by the form, over connections that are kept."""

import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from urllib.parse import urlencode, urlsplit

STEP = timedelta(minutes=5)


class Visitors:
    """Books times that nobody has asked for yet, at the host's event types."""

    def __init__(self, address: str) -> None:
        self.place = urlsplit(address)
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self.first = midnight + timedelta(days=2)
        self.numbers = count()

    def book(self, slug: str, connection: http.client.HTTPConnection) -> float:
        """Book once; return the seconds that the POST took."""
        start = self.first + next(self.numbers) * STEP
        form = urlencode(
            {
                "start": f"{start:%Y-%m-%dT%H:%M:%SZ}",
                "name": "Ada Byron",
                "email": "ada@example.com",
                "time_zone": "Europe/London",
            }
        )
        began = time.monotonic()
        connection.request(
            "POST", f"/rick/{slug}", form, {"Content-Type": "application/x-www-form-urlencoded"}
        )
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 303, f"A booking was answered {answer.status}."
        return time.monotonic() - began

    def connection(self) -> http.client.HTTPConnection:
        """Return a visitor's connection."""
        return http.client.HTTPConnection(self.place.hostname, self.place.port, timeout=30)

    def one_after_the_other(self, *slugs: str) -> list[float]:
        """Book once at each of these, in this order."""
        connection = self.connection()
        times = [self.book(slug, connection) for slug in slugs]
        connection.close()
        return times

    def rate(self, slug: str, bookings: int, visitors: int = 4) -> float:
        """Return bookings a second of so many visitors at once."""
        began, each = time.monotonic(), visitors * [bookings // visitors * [slug]]
        with ThreadPoolExecutor(visitors) as pool:
            made = list(pool.map(lambda slugs: len(self.one_after_the_other(*slugs)), each))
        return sum(made) / (time.monotonic() - began)
