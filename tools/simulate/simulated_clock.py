"""The clock of a simulation: it goes on when the walk says so, and can be set as a machine's can."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from calapp.clock import SystemClock

BEGIN = datetime(2027, 1, 4, 9, 0, tzinfo=UTC)
LEAST = 1e-6  # seconds; less is lost beside the seconds of a long walk


class SimulatedClock(SystemClock):
    """Both clocks of a machine; only `go_on` moves them, so that one step of a walk takes no time."""

    def __init__(self, pause: Callable[[str, float], None]) -> None:
        self.passed = 0.0  # monotonic seconds
        self.set_by = 0.0  # seconds by which the wall clock was set
        self.pause = pause
        self.moved: Callable[[], None] = lambda: None
        self.passing: Callable[[float], None] = lambda _seconds: None

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.passed + self.set_by)

    def monotonic(self) -> float:
        return 1000.0 + self.passed

    def sleep(self, seconds: float) -> None:
        self.pause("sleeps", self.monotonic() + seconds)

    def go_on(self, seconds: float) -> None:
        """Let time pass."""
        self.passing(seconds)
        self.passed += max(seconds, LEAST)
        self.moved()

    def set_wall(self, by: float) -> None:
        """Set the wall clock, forward or back."""
        self.set_by += by
        self.moved()
