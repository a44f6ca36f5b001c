"""The command `flask listen`: follows the feed of a server and forwards its events to a local receiver."""

import fcntl
import hashlib
import json
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

import click
import requests
from urllib3.exceptions import MaxRetryError

from calapp.clock import now
from calapp.config import settings
from calapp.deliveries.feed import LATEST
from calapp.deliveries.signing import JSON_TYPE, new_secret, request_headers
from calapp.errors import Invalid
from calapp.text import printable, whole_number
from calapp.webhooks.schemas import SECRET_PREFIX, check_secret

TAKEN = (
    "Another listener already uses this server and key. "
    "Please stop it, or create a separate key with: flask create-api-key NAME"
)


class Taken(Exception):
    """Another process has this position; the message is a sentence."""


class Position:
    """A listener's cursor, and the secret that was made for it; by server and key, never the key itself."""

    def __init__(self, folder: Path, server: str, key: str) -> None:
        name = hashlib.sha256(f"{server}\n{key}".encode()).hexdigest()[:16]
        self.server = server
        self.file = folder / f"{name}.json"
        self.lock: IO[str] | None = None
        self.cursor: str | None = None
        self.secret = new_secret()

    def open(self) -> None:
        """Take the place for this process and read where it is; raise Taken when another has it."""
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.lock = self.file.with_suffix(".lock").open("w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise Taken(TAKEN) from None
        self._read()

    def close(self) -> None:
        """Leave the place to the next process."""
        if self.lock is not None:
            self.lock.close()

    def move(self, cursor: str) -> None:
        """Note that everything up to this cursor has been forwarded."""
        if cursor == self.cursor:
            return
        self.cursor = cursor
        draft = self.file.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps({"server": self.server, "cursor": cursor, "secret": self.secret}))
        draft.replace(self.file)  # whole or not at all, whenever this process ends

    def _read(self) -> None:
        try:
            kept = json.loads(self.file.read_text())
            self.cursor, self.secret = str(kept["cursor"]), str(kept["secret"])
        except (OSError, ValueError, KeyError, TypeError):
            return  # the first start, or a file that somebody has changed


TAKE = 100  # events in one response
WAIT = 20  # seconds for which the server holds a response back until there is an event
FEED_PATIENCE = (10, WAIT + 20)  # seconds to connect and to read
# Between two empty responses: the server responds immediately when too many others wait.
LEAST_BETWEEN = 2.0
BEGIN_AGAIN = "Start again with --from beginning (the oldest stored event) or --from now."
REFUSALS = {
    400: f"The server does not know this cursor. Was it restored from a backup? {BEGIN_AGAIN}",
    401: (
        "The server does not know this key, or it was revoked. "
        "Create one with flask create-api-key NAME, or on its integrations page."
    ),
    404: "There is no Calapp API at {address}. Please check --server.",
    410: f"The server no longer has the events after this cursor. {BEGIN_AGAIN}",
}


class Away(Exception):
    """The other side could not be reached, or cannot respond now; the message says why in a few words."""

    def __init__(self, why: str, retry_after: float = 0) -> None:
        super().__init__(why)
        self.retry_after = retry_after  # seconds


class Refused(Exception):
    """The server says no, and will say it again; the message is a sentence."""


@dataclass(frozen=True)
class ForwardedEvent:
    """Something that happened; without a body when it is no longer kept."""

    cursor: str
    id: str
    trigger: str
    body: str | None


@dataclass(frozen=True)
class Batch:
    """Events in order, and the cursor to go on from."""

    events: Sequence[ForwardedEvent]
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
            response = requests.get(self.address, params=asked, headers=self.headers, timeout=FEED_PATIENCE)
        except requests.RequestException as error:
            raise Away(reason(error)) from None
        batch = self._batch(response)
        if wait and not batch.events and time.monotonic() - begun < LEAST_BETWEEN:
            time.sleep(LEAST_BETWEEN)
        return batch

    def _batch(self, response: requests.Response) -> Batch:
        if response.status_code in {408, 429} or response.status_code >= 500:
            pause = min(whole_number(response.headers.get("Retry-After", "")) or 0, 300)
            raise Away(f"it responded with {response.status_code}", pause)
        if known := REFUSALS.get(response.status_code):
            raise Refused(known.format(address=self.address))
        if response.status_code != 200:
            try:
                said = printable(str(response.json()["error"]["message"]))
            except (ValueError, KeyError, TypeError):
                said = response.reason
            raise Refused(f"The server responded with {response.status_code}: {said}")
        try:
            made = response.json()
            return Batch([_event(one) for one in made["data"]], str(made["pagination"]["next"]))
        except (ValueError, KeyError, TypeError):
            raise Away("the response is not from Calapp") from None


def _event(made: Any) -> ForwardedEvent:
    body = made["body"]
    if not isinstance(body, str | None):
        raise TypeError
    return ForwardedEvent(str(made["cursor"]), str(made["id"]), str(made["triggerEvent"]), body)


def reason(error: requests.RequestException) -> str:
    """Return in a few words why a request came to nothing."""
    if isinstance(error, requests.Timeout):
        return "no response in time"
    deepest: BaseException | None = error
    words = ""
    while deepest is not None:
        words = getattr(deepest, "verify_message", "") or getattr(deepest, "strerror", "") or words
        deepest = deepest.__cause__ or deepest.__context__
    return printable(words) or "the connection broke"


PATIENCE = 30.0  # seconds for a response; people stop in debuggers


class Receiver:
    """Where events are forwarded to: the developer's own wish, so no address is refused."""

    def __init__(self, url: str, secret: str) -> None:
        self.url, self.secret = url, secret
        self.session = requests.Session()
        self.session.trust_env = False  # a proxy of the environment is not for one's own machine

    def forward(self, event_id: str, body: str) -> str:
        """Send an event and return in words what came back; raise Away when nothing was reached.

        Whatever is reached counts, even an error or no response in time: the event is not sent again.
        """
        raw = body.encode()
        signed = request_headers(
            event_id, raw, at=now(), secrets=[self.secret], custom=[], number=1, content_type=JSON_TYPE
        )
        begun = time.monotonic()
        try:
            with self.session.post(
                self.url,
                data=raw,
                headers=dict(signed) | {"Connection": "close"},
                timeout=(5, PATIENCE),
                allow_redirects=False,
                stream=True,
            ) as response:
                return f"{response.status_code} in {1000 * (time.monotonic() - begun):.0f} ms"
        except requests.RequestException as error:
            # Whatever has been reached may have taken the event, so only this is attempted again.
            broken = isinstance(error, requests.ConnectionError) and isinstance(error.args[0], MaxRetryError)
            if broken or isinstance(error, requests.ConnectTimeout):
                raise Away(reason(error)) from None
            if isinstance(error, requests.Timeout):
                return f"no response within {PATIENCE:.0f} s"
            return f"no response: {reason(error)}"


Result = TypeVar("Result")

FIRST_PAUSE = 0.5  # seconds; doubled each time
LONGEST_PAUSE = {"server": 30.0, "receiver": 5.0}
FROM = {"now": LATEST, "beginning": None}


def _address(_context: click.Context, _option: click.Parameter, value: str) -> str:
    """Read an address; http:// may be left out, as in localhost:3000/hook."""
    url = value if "://" in value else f"http://{value}"
    try:
        requests.Request("POST", url).prepare()
    except (requests.RequestException, UnicodeError):
        raise click.BadParameter(f"{value} is not an address such as http://127.0.0.1:3000/hook.") from None
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("Must begin with http:// or https://.")
    return url


def _secret(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    try:
        check_secret(value if value and value.startswith(SECRET_PREFIX) else "")
    except Invalid as error:
        raise click.BadParameter(error.message) from None
    return value


@click.command("listen")
@click.option(
    "--server", required=True, callback=_address, help="URL of the Calapp server, https://cal.example.com."
)
@click.option("--key", required=True, envvar="CALAPP_KEY", help="An API key, cal_…; or set CALAPP_KEY.")
@click.option(
    "--forward-to", required=True, callback=_address, help="URL of your receiver, http://127.0.0.1:3000/hook."
)
@click.option(
    "--secret",
    callback=_secret,
    help="Signing secret. Default: one is generated, kept for next time and printed.",
)
@click.option(
    "--from",
    "begin",
    metavar="now|beginning|CURSOR",
    help="Where to start. Default: where the last run with this server and key ended; now on the first run.",
)
def listen(server: str, key: str, forward_to: str, secret: str | None, begin: str | None) -> None:
    """Forward the events of a server, signed, to a receiver on your own machine.

    Each event is sent in order, and printed with the response. Any response counts, even an error: the
    event is not sent again. While the receiver cannot be reached, events wait. An event whose response was
    cut off by Ctrl-C is sent again at the next start, with the same webhook-id.
    """
    server = server.rstrip("/")
    place = Position(settings().data_dir / "listen", server, key)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        place.open()
        receiver = Receiver(forward_to, secret or place.secret)
        Listener(Feed(server, key), place, receiver).run(begin)
    except (Refused, Taken) as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        say("Stopped.")
    finally:
        place.close()


def say(words: str) -> None:
    """Print a line with the time of this machine's clock."""
    click.echo(f"{now().astimezone():%H:%M:%S}  {words}")


class Listener:
    """Follows a feed and forwards what comes, one event after the other, until it is interrupted."""

    def __init__(self, feed: Feed, place: Position, receiver: Receiver) -> None:
        self.feed, self.place, self.receiver = feed, place, receiver

    def run(self, begin: str | None) -> None:
        """Begin at `now`, `beginning`, a cursor, or where the last run ended; raise Refused."""
        after = FROM.get(begin, begin) if begin else self.place.cursor or LATEST
        batch = self._read(after, 0)  # decides where now is, before anything can be lost
        if self.receiver.secret == self.place.secret:
            click.echo(f"Signing secret for this server and key: {self.receiver.secret}")
        say(f"Following {self.feed.address}, forwarding to {self.receiver.url}. Ctrl-C stops.")
        while True:
            for event in batch.events:
                outcome = "not forwarded: its visitor and body were erased"
                if event.body is not None:
                    outcome = patiently("receiver", partial(self.receiver.forward, event.id, event.body))
                self.place.move(event.cursor)
                say(f"{printable(event.trigger)}  {printable(event.id)}  {outcome}")
            self.place.move(batch.next)
            batch = self._read(self.place.cursor)

    def _read(self, after: str | None, *wait: int) -> Batch:
        return patiently("server", lambda: self.feed.read(after, *wait))


def patiently(who: str, call: Callable[[], Result]) -> Result:
    """Call until the other side is there; say once that it is away, and once that it is back."""
    pause, away = FIRST_PAUSE, False
    while True:
        try:
            result = call()
        except Away as error:
            if not away:
                say(f"The {who} is not available: {error}. Waiting until it is.")
            away = True
            time.sleep(max(pause, error.retry_after))
            pause = min(2 * pause, LONGEST_PAUSE[who])
        else:
            if away:
                say(f"The {who} is available again.")
            return result
