"""One attempt over HTTP: the request that is sent, and the response that came back."""

from datetime import datetime
from typing import NamedTuple

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
