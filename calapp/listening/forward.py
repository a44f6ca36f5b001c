"""Forwarding an event to a receiver, signed as a delivery is."""

import time

import requests
from urllib3.exceptions import MaxRetryError

from calapp.clock import now
from calapp.deliveries.parcels import JSON_TYPE, request_headers
from calapp.listening.feed import Away, reason

PATIENCE = 30.0  # seconds for an answer; people stop in debuggers


class Receiver:
    """Where events are forwarded to: the developer's own wish, so no address is refused."""

    def __init__(self, url: str, secret: str) -> None:
        self.url, self.secret = url, secret
        self.session = requests.Session()
        self.session.trust_env = False  # a proxy of the environment is not for one's own machine

    def forward(self, event_id: str, body: str) -> str:
        """Send an event and return in words what was answered; raise Away when nothing was reached.

        Whatever is reached is an answer, even an error or none in time: it is not sent again.
        """
        raw = body.encode()
        begun = time.monotonic()
        try:
            with self.session.post(
                self.url,
                data=raw,
                headers=self._headers(event_id, raw),
                timeout=(5, PATIENCE),
                allow_redirects=False,
                stream=True,
            ) as answer:
                return f"{answer.status_code} in {1000 * (time.monotonic() - begun):.0f} ms"
        except requests.RequestException as error:
            if _not_reached(error):
                raise Away(reason(error)) from None
            if isinstance(error, requests.Timeout):
                return f"no answer within {PATIENCE:.0f} s"
            return f"no answer: {reason(error)}"

    def _headers(self, event_id: str, raw: bytes) -> dict[str, str]:
        made = request_headers(
            event_id, raw, at=now(), secrets=[self.secret], own=[], number=1, content_type=JSON_TYPE
        )
        return dict(made) | {"Connection": "close"}


def _not_reached(error: requests.RequestException) -> bool:
    if isinstance(error, requests.ConnectTimeout):
        return True
    return isinstance(error, requests.ConnectionError) and isinstance(error.args[0], MaxRetryError)
