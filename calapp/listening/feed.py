"""The feed of a server, read over HTTP by long poll."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import requests

TAKE = 100  # events in one answer
WAIT = 20  # seconds for which the server holds an answer back until there is one
PATIENCE = (10, WAIT + 20)  # seconds to connect and to read
# Between two empty answers: the server answers at once when too many others wait.
LEAST_BETWEEN = 2.0
BEGIN_ANEW = "Begin anew with --from beginning (the oldest that is kept) or --from now."
REFUSALS = {
    400: f"This is no cursor of the server’s feed. Was the server restored from a back-up? {BEGIN_ANEW}",
    401: (
        "The server does not know this key, or it was revoked. "
        "On the server, flask create-api-key NAME makes one; so does its integrations page."
    ),
    404: "At {address} is no API of Calapp. Please check --server.",
    410: f"Events behind this place are no longer kept by the server. {BEGIN_ANEW}",
}


class Away(Exception):
    """The other side could not be reached, or cannot answer now; the message says why in a few words."""

    def __init__(self, why: str, retry_after: float = 0) -> None:
        super().__init__(why)
        self.retry_after = retry_after  # seconds


class Refused(Exception):
    """The server says no, and will say it again; the message is a sentence."""


@dataclass(frozen=True)
class Event:
    """Something that happened; without a body when it is no longer kept."""

    cursor: str
    id: str
    trigger: str
    body: str | None


@dataclass(frozen=True)
class Batch:
    """Events in order, and the cursor to go on from."""

    events: Sequence[Event]
    next: str


class Feed:
    """The events of a key's host."""

    def __init__(self, server: str, key: str) -> None:
        self.address = f"{server}/v2/events"
        self.headers = {"Authorization": f"Bearer {key}", "Connection": "close"}

    def read(self, after: str | None, wait: int = WAIT) -> Batch:
        """Return what came behind a cursor, after `wait` seconds at most; raise Away or Refused."""
        asked = {"take": TAKE, "wait": wait} | ({} if after is None else {"after": after})
        begun = time.monotonic()
        try:
            answer = requests.get(self.address, params=asked, headers=self.headers, timeout=PATIENCE)
        except requests.RequestException as error:
            raise Away(reason(error)) from None
        batch = self._batch(answer)
        if wait and not batch.events and time.monotonic() - begun < LEAST_BETWEEN:
            time.sleep(LEAST_BETWEEN)
        return batch

    def _batch(self, answer: requests.Response) -> Batch:
        if answer.status_code in {408, 429} or answer.status_code >= 500:
            raise Away(f"it answers {answer.status_code}", _retry_after(answer))
        if answer.status_code != 200:
            raise Refused(self._refusal(answer))
        try:
            made = answer.json()
            return Batch([_event(one) for one in made["data"]], str(made["pagination"]["next"]))
        except (ValueError, KeyError, TypeError):
            raise Away("its answer is not one of Calapp") from None

    def _refusal(self, answer: requests.Response) -> str:
        if known := REFUSALS.get(answer.status_code):
            return known.format(address=self.address)
        return f"The server answers {answer.status_code}: {_message(answer)}"


def _event(made: Any) -> Event:
    body = made["body"]
    if not isinstance(body, str | None):
        raise TypeError
    return Event(str(made["cursor"]), str(made["id"]), str(made["triggerEvent"]), body)


def reason(error: requests.RequestException) -> str:
    """Return in a few words why a request came to nothing."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    deepest: BaseException | None = error
    words = ""
    while deepest is not None:
        words = getattr(deepest, "verify_message", "") or getattr(deepest, "strerror", "") or words
        deepest = deepest.__cause__ or deepest.__context__
    return printable(words) or "the connection broke"


def printable(text: str) -> str:
    """Return a text without what could steer a terminal."""
    return "".join(letter for letter in text if letter.isprintable())


def _message(answer: requests.Response) -> str:
    try:
        return printable(str(answer.json()["error"]["message"]))
    except (ValueError, KeyError, TypeError):
        return answer.reason


def _retry_after(answer: requests.Response) -> float:
    text = answer.headers.get("Retry-After", "")
    return min(float(text), 300) if text.isascii() and text.isdigit() else 0
