"""A name server on loopback, in a network of its own; the system's resolver asks it, nothing is patched.

`unshare -rmn python -m tests.addresses.resolver` prints, as JSON, what became of requests to its names.
"""

import json
import socket
import struct
import subprocess
import tempfile
import threading
from pathlib import Path

from calapp.addresses import AddressGuard, check_url
from calapp.config import _networks
from calapp.deliveries.client import Sender
from calapp.deliveries.exchange import WebhookRequest, WebhookResponse
from calapp.errors import Invalid
from tests.receiver import Receiver

GOOD, BAD = "127.0.0.2", "127.0.0.1"
GUARD = AddressGuard(_networks("127.0.0.2/32"))
# What each look-up of a name gives in turn; the last goes on.
NAMES = {
    "steady.test": [[GOOD]],
    "turning.test": [[GOOD], [BAD]],
    "both.test": [[GOOD], [BAD, GOOD]],
    "bad.test": [[BAD]],
    "zero.test": [[GOOD], ["0.0.0.0"]],
    "cloud.test": [[GOOD], ["169.254.169.254"]],
}


def enter() -> None:
    """Bring this network's loopback up and have the system ask the server on it."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write("nameserver 127.0.0.1\noptions timeout:1 attempts:2\n")
    subprocess.run(["mount", "--bind", file.name, Path("/etc/resolv.conf").resolve()], check=True)


def serve(server: socket.socket, looks: dict[str, int]) -> None:
    """WebhookResponse questions for addresses of version 4; the names have no others."""
    while True:
        question, sender = server.recvfrom(512)
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode().lower())
            at += question[at] + 1
        kind = struct.unpack("!H", question[at + 1 : at + 3])[0]
        name = ".".join(labels)
        found = addresses(name, looks) if kind == 1 and name in NAMES else []
        records = [b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(ip) for ip in found]
        flags = b"\x81\x80" if name in NAMES else b"\x81\x83"
        head = question[:2] + flags + struct.pack("!4H", 1, len(records), 0, 0)
        server.sendto(head + question[12 : at + 5] + b"".join(records), sender)


def addresses(name: str, looks: dict[str, int]) -> list[str]:
    """Return what this look-up of a name gives."""
    looks[name] = looks.get(name, 0) + 1
    return NAMES[name][min(looks[name], len(NAMES[name])) - 1]


def saved(url: str) -> bool:
    """Return whether a URL can be saved; it is looked up once."""
    try:
        return check_url(url, GUARD).warning is None
    except Invalid:
        return False


def sent(url: str) -> WebhookResponse:
    """Send to a URL as the worker does; it is looked up once more."""
    sender = Sender(slots=1, timeout=5, guard=GUARD)
    sender.start([WebhookRequest(1, "claim", 1, url, (), b"{}", 1)])
    found: list[WebhookResponse] = []
    while not found:
        found = sender.responses(0.1)
    sender.close()
    return found[0]


def main() -> None:
    """Save and send to each name; print what came of it and who was connected to."""
    enter()
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    threading.Thread(target=serve, args=(server, {}), daemon=True).start()
    came: dict[str, object] = {}
    for name in [*NAMES, "missing.test"]:
        with Receiver(host=GOOD) as good, socket.create_server((BAD, good.port)) as bad:
            bad.setblocking(False)
            url = f"http://{name}:{good.port}/"
            stands, answer = saved(url), sent(url)
            code = answer.failure.code if answer.failure else "delivered"
            came[name] = [stands, code, good.connections, knocked(bad)]
    print(json.dumps(came))


def knocked(listener: socket.socket) -> bool:
    """Return whether anybody has connected."""
    try:
        listener.accept()
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    main()
