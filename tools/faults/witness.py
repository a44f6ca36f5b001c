"""The receiver of the experiments: it notes each event's id, when it came and whether its signature holds."""

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.receiver import OK, Receiver, Request

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(frozen=True)
class Hit:
    """One request that came in: the event's id, the booking's uid, and whether the signature holds."""

    path: str
    event_id: str
    trigger: str
    uid: str
    signed: bool
    attempt: int
    at: float = field(default_factory=time.monotonic)
    clock: float = field(default_factory=time.time)


def signature_holds(request: Request, secret: str) -> bool:
    """Check webhook-signature, whatever the time, since experiments move clocks."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode()
    digest = hmac.new(key, content + request.body, hashlib.sha256).digest()
    wanted = f"v1,{base64.b64encode(digest).decode()}"
    return wanted in request.headers.get("webhook-signature", "").split()


Answer = bytes | Callable[[socket.socket], None] | None


class Witness(Receiver):
    """A receiver whose paths answer as told: bytes, a function of the connection, or None for never."""

    def __init__(self, **answers: Answer) -> None:
        super().__init__(Witness.speak)
        self.answers: dict[str, Answer] = {f"/{name}": answer for name, answer in answers.items()}
        self.secrets: dict[str, str] = {}
        self.delay = 0.0  # seconds before each answer
        self.delays: dict[str, float] = {}  # seconds before those of a path
        self.hits: list[Hit] = []
        self.noting = threading.Lock()

    def speak(self, connection: socket.socket) -> None:
        """Answer the requests of a connection."""
        while (request := self.read(connection)) is not None:
            answer = self._note(request)
            if delay := self.delays.get(request.path, self.delay):
                self.ended.wait(delay)
            if answer is None:
                self.ended.wait(600)
                return
            if callable(answer):
                answer(connection)
                return
            connection.sendall(answer)

    def _note(self, request: Request) -> Answer:
        body = json.loads(request.body)
        headers = request.headers
        signed = signature_holds(request, self.secrets.get(request.path, SECRET))
        hit = Hit(
            request.path,
            headers["webhook-id"],
            body["triggerEvent"],
            body["payload"].get("uid", ""),
            signed,
            int(headers["x-calapp-attempt"]),
        )
        with self.noting:
            self.hits.append(hit)
        self.requests.clear()  # the hits are what counts
        return self.answers.get(f"/{request.path.split('/')[1]}", OK)

    def of(self, path: str) -> list[Hit]:
        """Return the hits of a path."""
        return [hit for hit in self.hits if hit.path == path]

    def doubles(self) -> int:
        """Count the hits beyond the first of each event at each path."""
        counts = Counter((hit.path, hit.event_id) for hit in self.hits)
        return sum(count - 1 for count in counts.values())
