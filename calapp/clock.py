"""The only reader of the clock, so that tests have one thing to replace, and the only writer of instants."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime


class SystemClock:
    """The clock of this machine; a simulation puts another in its place (`ruled_by`)."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds from some moment on, which no setting of the clock changes."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        time.sleep(seconds)


_ruling = [SystemClock()]


@contextmanager
def ruled_by(clock: SystemClock) -> Iterator[None]:
    """Have another clock give the time of this process, for a simulation."""
    _ruling.append(clock)
    try:
        yield
    finally:
        _ruling.pop()


def now() -> datetime:
    """Return the current instant, aware, in UTC."""
    return _ruling[-1].now()


def monotonic() -> float:
    """Return seconds that only measure spans: of the delivery engine and of what is simulated with it."""
    return _ruling[-1].monotonic()


def sleep(seconds: float) -> None:
    """Let so many seconds pass, by the clock of `monotonic`."""
    _ruling[-1].sleep(seconds)


def iso_seconds(instant: datetime) -> str:
    """Write an instant as payloads do: 2027-01-05T10:00:00Z."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_milliseconds(instant: datetime) -> str:
    """Write an instant as createdAt, the API and JSON logs do: 2027-01-04T09:30:00.000Z."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
