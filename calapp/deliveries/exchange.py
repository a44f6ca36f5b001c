"""One attempt over HTTP: the request that is sent, the response that came back, and who carries both."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from calapp.deliveries.failures import Failure


class WebhookRequest(NamedTuple):
    """One attempt of a delivery, ready to be sent: the exact bytes and headers; `number` counts attempts."""

    delivery_id: int
    claim: str
    webhook_id: int
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    number: int


class Timings(NamedTuple):
    """Milliseconds, each phase alone; `first_byte` is the wait between request and response."""

    name: float
    connect: float
    tls: float
    first_byte: float
    total: float


class WebhookResponse(NamedTuple):
    """What became of a request; `failure` is None when the receiver took it, `retry_after` is in seconds."""

    request: WebhookRequest
    at: datetime
    status: int | None
    failure: Failure | None
    timings: Timings
    headers: str
    body: str
    retry_after: int | None


class WakeSource(Protocol):
    """What wakes who waits in a poll: a socket, and who reads it."""

    def fileno(self) -> int:
        """Return the file descriptor to be watched."""

    def woken(self) -> bool:
        """Take what has come; return whether there was a wake."""

    def ask(self) -> None:
        """Ask for a sign of life; raise RedisError when the one before was not answered."""


class Transport(Protocol):
    """What carries requests side by side: `client.Sender`, or the receivers of a simulation."""

    def busy(self) -> bool:
        """Return whether anything is in flight, or has come back and is not taken yet."""

    def expects(self, seconds: float) -> bool:
        """Return whether anything is out that was sent within the last so many seconds."""

    def held(self) -> set[int]:
        """Return the ids of the deliveries that are in flight, or have come back and are not taken yet."""

    def in_flight(self) -> Mapping[int, Sequence[float]]:
        """Return, for each webhook, the ages in seconds of its transfers that are out."""

    def start(self, requests: Sequence[WebhookRequest]) -> bool:
        """Send requests off; return whether any was given."""

    def responses(self, wait: float) -> list[WebhookResponse]:
        """Return the responses that have come, at most `wait` seconds later; a wake ends the wait."""

    def listen(self, wakes: WakeSource | None) -> None:
        """Have these wakes end a wait; None: nothing any more."""

    def wake(self) -> None:
        """End the wait, from any thread."""

    def was_woken(self) -> bool:
        """Return whether it was woken since this was last asked."""

    def rest(self, seconds: float) -> None:
        """Wait for a wake, up to that many seconds."""

    def close(self) -> None:
        """Break off what is out."""
