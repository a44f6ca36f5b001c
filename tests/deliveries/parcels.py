"""Parcels and senders for the tests of the sender."""

import time

from calapp.addresses import AddressGuard
from calapp.config import _networks
from calapp.deliveries.sender import Answer, Parcel, Sender

LOOPBACK = AddressGuard(_networks("127.0.0.0/8,::1/128"))
HOST = "hooks.example.com"
TO_LOOPBACK = (f"{HOST}::127.0.0.1:",)  # the name leads to this machine, whatever the port


def parcel(url: str, number: int = 1, **changes: object) -> Parcel:
    values = {
        "delivery_id": number,
        "claim": "claim",
        "webhook_id": number,
        "url": url,
        "headers": (("Content-Type", "application/json"), ("webhook-id", f"evt_{number}")),
        "body": b'{"triggerEvent":"PING"}',
        "number": 1,
    }
    return Parcel(**(values | changes))


def send(sender: Sender, *parcels: Parcel, seconds: float = 5.0) -> list[Answer]:
    """Send parcels and return the answers, ordered by delivery."""
    sender.start(parcels)
    until = time.monotonic() + seconds
    answers: list[Answer] = []
    while sender.busy() and time.monotonic() < until:
        answers.extend(sender.answers(0.05))
    return sorted(answers, key=lambda one: one.parcel.delivery_id)


def send_one(url: str, *, guard: AddressGuard = LOOPBACK, timeout: float = 0.5, **entries: object) -> Answer:
    """Send one parcel with a sender of its own."""
    sender = Sender(slots=4, timeout=timeout, guard=guard, **entries)
    try:
        return send(sender, parcel(url), seconds=timeout + 2)[0]
    finally:
        sender.close()
