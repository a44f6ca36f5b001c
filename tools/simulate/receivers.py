"""Simulated receivers, and the transport that carries requests to them instead of libcurl."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pycurl

from calapp import clock
from calapp.deliveries.exchange import (
    Failure,
    Timings,
    Trouble,
    WakeSource,
    WebhookRequest,
    WebhookResponse,
    of_status,
    of_trouble,
)

TIMEOUT = 8.0  # seconds: WEBHOOK_TIMEOUT


@dataclass(frozen=True)
class Behaviour:
    """How a receiver responds: a status, or libcurl's error; after how many seconds."""

    status: int | None = None
    seconds: float = 0.02
    error: int = 0
    reached: str = "answer"
    about_event: bool = False  # its failure speaks about the event

    def failure(self, url: str) -> Failure | None:
        """Return why it is no success."""
        if self.status is not None and not self.error:
            return of_status(self.status)
        return of_trouble(Trouble(self.error, "", url, self.reached, TIMEOUT))


LATE = pycurl.E_OPERATION_TIMEDOUT
BEHAVIOURS = {
    "accepts": Behaviour(200),
    "accepts slowly": Behaviour(204, 2.0),
    "rejects": Behaviour(400, about_event=True),
    "denies": Behaviour(401, about_event=True),
    "fails": Behaviour(500, about_event=True),
    "rejects slowly": Behaviour(422, 6.0),
    "is away": Behaviour(503),
    "is busy": Behaviour(429),
    "is gone": Behaviour(410),
    "redirects": Behaviour(302),
    "hangs": Behaviour(None, TIMEOUT, LATE),
    "drips": Behaviour(200, TIMEOUT, LATE, "body"),
    "resets": Behaviour(None, 0.01, pycurl.E_RECV_ERROR),
    "takes it and dies": Behaviour(None, 0.3, pycurl.E_GOT_NOTHING),
    "refuses connections": Behaviour(None, 0.0, pycurl.E_COULDNT_CONNECT, "connect"),
}


@dataclass
class Receiver:
    """The receiver of a URL."""

    behaviour: str = "accepts"
    retry_after: int = 0  # seconds that it asks for while it is busy


@dataclass(eq=False)
class Flight:
    """One request that was handed to the transport, and what is to come of it."""

    request: WebhookRequest
    worker: str
    at: datetime
    began: float
    ends: float
    behaviour: Behaviour
    response: WebhookResponse
    facts: dict[str, object] = field(default_factory=dict)  # what the checks know of it
    lost: bool = False  # its worker died before it had stored the response

    @property
    def key(self) -> tuple[int, int]:
        """The delivery and the number of the attempt."""
        return self.request.delivery_id, self.request.number


class SimulatedSender:
    """The transport of one worker; `pause` lets the walk go on elsewhere, until a moment if one is given."""

    def __init__(
        self,
        worker: str,
        receivers: Mapping[str, Receiver],
        sees: Callable[[Sequence[WebhookRequest]], None],
        send: Callable[[Flight], None],
        pause: Callable[[str, float | None], None],
    ) -> None:
        self.worker, self.receivers, self.sees, self.send, self.pause = worker, receivers, sees, send, pause
        self.out: list[Flight] = []
        self.woken = False

    def busy(self) -> bool:
        return bool(self.out)

    def expects(self, seconds: float) -> bool:
        since = clock.monotonic() - seconds
        return any(flight.began > since for flight in self.out)

    def held(self) -> set[int]:
        return {flight.request.delivery_id for flight in self.out}

    def in_flight(self) -> dict[int, list[float]]:
        ages: dict[int, list[float]] = {}
        for flight in self.out:
            ages.setdefault(flight.request.webhook_id, []).append(clock.monotonic() - flight.began)
        return ages

    def start(self, requests: Sequence[WebhookRequest]) -> bool:
        if not requests:
            return False
        self.sees(requests)
        self.pause("is about to send", None)
        for request in requests:
            flight = self._flight(request)
            self.out.append(flight)
            self.send(flight)
        return True

    def _flight(self, request: WebhookRequest) -> Flight:
        receiver = self.receivers[request.url]
        how = BEHAVIOURS[receiver.behaviour]
        at, began = clock.now(), clock.monotonic()
        milliseconds = how.seconds * 1000
        response = WebhookResponse(
            request,
            at,
            how.status,
            how.failure(request.url),
            Timings(0, 0, 0, milliseconds, milliseconds),
            "",
            "",
            receiver.retry_after if how.status == 429 and receiver.retry_after else None,
        )
        return Flight(request, self.worker, at, began, began + how.seconds, how, response)

    def responses(self, wait: float) -> list[WebhookResponse]:
        until = clock.monotonic() + wait
        while self.out and not self.woken and not (done := self._done()):
            if clock.monotonic() >= until:
                break
            self.pause("waits for responses", min(until, *(flight.ends for flight in self.out)))
        done = self._done()
        self.out = [flight for flight in self.out if flight not in done]
        return [flight.response for flight in done]

    def _done(self) -> list[Flight]:
        return [flight for flight in self.out if flight.ends <= clock.monotonic()]

    def listen(self, wakes: WakeSource | None) -> None:
        """Nothing: the walk wakes by `wake`."""

    def wake(self) -> None:
        self.woken = True

    def was_woken(self) -> bool:
        woken, self.woken = self.woken, False
        return woken

    def rest(self, seconds: float) -> None:
        until = clock.monotonic() + seconds
        if not self.woken:
            self.pause("rests", until)

    def close(self) -> None:
        self.out.clear()


class SilentWakes:
    """What an engine listens to in a simulation."""

    def fileno(self) -> int:
        return -1

    def woken(self) -> bool:
        return False

    def ask(self) -> None:
        """Valkey is always there; what it says may be lost."""
