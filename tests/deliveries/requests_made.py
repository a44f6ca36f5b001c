"""Parcels and senders for the tests of the sender."""

import socket
import time

import pytest

from calapp.addresses import AddressGuard
from calapp.config import _networks
from calapp.deliveries import resolver
from calapp.deliveries.client import Sender
from calapp.deliveries.exchange import WebhookRequest, WebhookResponse

LOOPBACK = AddressGuard(_networks("127.0.0.0/8,::1/128"))
PATIENCE = 20.0  # seconds; the machine may be busy
HOST = "hooks.example.com"
TO_LOOPBACK = (f"{HOST}::127.0.0.1:",)  # the name leads to this machine, whatever the port


class NameServer:
    """Stands in for the system's name servers: names and their addresses, seconds in which they answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.seconds: dict[str, float] = {}
        self.asked: list[str] = []
        monkeypatch.setattr(resolver.socket, "getaddrinfo", self.getaddrinfo)

    def getaddrinfo(self, host: str, *_args: object, **_options: object) -> list[tuple]:
        self.asked.append(host)
        time.sleep(self.seconds.get(host, 0))
        if host not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, 0, 0, "", (ip, 0)) for ip in self.addresses[host]]


def webhook_request(url: str, number: int = 1, **changes: object) -> WebhookRequest:
    values = {
        "delivery_id": number,
        "claim": "claim",
        "webhook_id": number,
        "url": url,
        "headers": (("Content-Type", "application/json"), ("webhook-id", f"evt_{number}")),
        "body": b'{"triggerEvent":"PING"}',
        "number": 1,
    }
    return WebhookRequest(**(values | changes))


def send(sender: Sender, *requests: WebhookRequest, seconds: float = PATIENCE) -> list[WebhookResponse]:
    """Send requests and return the answers, ordered by delivery."""
    sender.start(requests)
    until = time.monotonic() + seconds
    answers: list[WebhookResponse] = []
    while sender.busy() and time.monotonic() < until:
        answers.extend(sender.responses(0.05))
    return sorted(answers, key=lambda one: one.request.delivery_id)


def send_one(
    url: str, *, guard: AddressGuard = LOOPBACK, timeout: float = PATIENCE, **entries: object
) -> WebhookResponse:
    """Send one request with a sender of its own."""
    sender = Sender(slots=4, timeout=timeout, guard=guard, **entries)
    try:
        return send(sender, webhook_request(url), seconds=timeout + 2)[0]
    finally:
        sender.close()
