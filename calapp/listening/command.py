"""The command `flask listen`."""

import signal
import time
from collections.abc import Callable
from typing import TypeVar

import click
import requests

from calapp.clock import now
from calapp.config import settings
from calapp.deliveries.feed import LATEST
from calapp.listening.feed import Away, Batch, Event, Feed, Refused, printable
from calapp.listening.forward import Receiver
from calapp.listening.place import Place, Taken
from calapp.webhooks.forms import SECRET_PREFIX, secret_problem

Answer = TypeVar("Answer")

FIRST_PAUSE = 0.5  # seconds; doubled from try to try
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
        raise click.BadParameter("Please give an address that begins with http:// or https://.")
    return url


def _server(context: click.Context, option: click.Parameter, value: str) -> str:
    return _address(context, option, value).rstrip("/")


def _secret(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    problem = secret_problem(value) if value and value.startswith(SECRET_PREFIX) else None
    if problem:
        raise click.BadParameter(problem)
    return value


@click.command("listen")
@click.option("--server", required=True, callback=_server, help="The Calapp server, https://cal.example.com.")
@click.option("--key", required=True, envvar="CALAPP_KEY", help="An API key, cal_…; or set CALAPP_KEY.")
@click.option(
    "--forward-to", required=True, callback=_address, help="Your receiver: http://127.0.0.1:3000/hook."
)
@click.option(
    "--secret",
    callback=_secret,
    help="What signs; without it one is made, kept for the next time, and printed.",
)
@click.option(
    "--from",
    "begin",
    metavar="now|beginning|CURSOR",
    help="Where to begin. Default: where the last run with this server and key ended, the first time now.",
)
def listen(server: str, key: str, forward_to: str, secret: str | None, begin: str | None) -> None:
    """Forward the events of a server, signed, to a receiver on your own machine.

    Each event is sent in order, and printed with the answer. An answer is an answer, even an error: it is
    not sent again. While the receiver cannot be reached, events wait. An event whose answer was cut off by
    Ctrl-C comes once more at the next start, with the same webhook-id.
    """
    place = Place(settings().data_dir / "listen", server, key)
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

    def __init__(self, feed: Feed, place: Place, receiver: Receiver) -> None:
        self.feed, self.place, self.receiver = feed, place, receiver

    def run(self, begin: str | None) -> None:
        """Begin at `now`, `beginning`, a cursor, or where the last run ended; raise Refused."""
        after = FROM.get(begin, begin) if begin else self.place.cursor or LATEST
        batch = self._read(after, 0)  # settles where now is, before anything can be lost
        if self.receiver.secret == self.place.secret:
            click.echo(f"Signing secret, made for this server and key: {self.receiver.secret}")
        say(f"Following {self.feed.address}, forwarding to {self.receiver.url}. Ctrl-C stops.")
        while True:
            self._forward_all(batch)
            batch = self._read(self.place.cursor)

    def _read(self, after: str | None, *wait: int) -> Batch:
        return patiently("server", lambda: self.feed.read(after, *wait))

    def _forward_all(self, batch: Batch) -> None:
        for event in batch.events:
            came = self._forward(event)
            self.place.move(event.cursor)
            say(f"{printable(event.trigger)}  {printable(event.id)}  {came}")
        self.place.move(batch.next)

    def _forward(self, event: Event) -> str:
        body = event.body
        if body is None:
            return "not forwarded: its visitor was erased, and the body with it"
        return patiently("receiver", lambda: self.receiver.forward(event.id, body))


def patiently(who: str, call: Callable[[], Answer]) -> Answer:
    """Call until the other side is there; say once that it is away, and once that it is back."""
    pause, away = FIRST_PAUSE, False
    while True:
        try:
            answer = call()
        except Away as error:
            if not away:
                say(f"The {who} is away: {error}. Waiting until it is back.")
            away = True
            time.sleep(max(pause, error.retry_after))
            pause = min(2 * pause, LONGEST_PAUSE[who])
        else:
            if away:
                say(f"The {who} is back.")
            return answer
