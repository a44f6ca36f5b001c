"""`flask listen` against a server that says what a test wants it to say."""

import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask
from standardwebhooks import Webhook

from calapp import listen
from calapp import listen as feeds
from calapp.config import settings
from calapp.deliveries import signing
from calapp.listen import Position, Taken
from tests.receiver import Behaviour, Receiver, answer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
END = answer("401 Unauthorized")  # what ends a listener
Listen = Callable[..., Result]


def saying(*answers: bytes) -> Behaviour:
    """Return a behaviour that gives these answers one after the other, and the last for ever."""
    left = list(answers)

    def behave(receiver: Receiver, connection: socket.socket) -> None:
        if receiver.read(connection) is not None:
            connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return behave


def page(*events: tuple[int, str | None], after: int = 0) -> bytes:
    """Return a page of the feed with these events: number and body."""
    data = [
        {
            "cursor": f"{number}-aaaaaaaa",
            "id": f"evt_{number}",
            "triggerEvent": "BOOKING_CREATED",
            "createdAt": "2027-01-05T10:00:00.000Z",
            "body": body,
        }
        for number, body in events
    ]
    last = data[-1]["cursor"] if data else str(after)
    made = {"status": "success", "data": data, "pagination": {"next": last, "hasMore": False}}
    return answer("200 OK", json.dumps(made).encode(), "Content-Type: application/json")


@pytest.fixture
def server() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def listen(app: Flask, server: Receiver, receiver: Receiver) -> Iterator[Listen]:
    """Return a function that runs the command until the server's answers end it."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*words: str, to: str = "", secret: str = SECRET) -> Result:
        start = ["listen", "--server", server.url(""), "--key", "cal_x", "--forward-to", to or receiver.url()]
        return app.test_cli_runner().invoke(args=[*start, "--secret", secret, *words])

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "LEAST_BETWEEN", 0.0)
    monkeypatch.setattr(feeds, "FIRST_PAUSE", 0.05)


def asked(server: Receiver) -> list[str]:
    return [request.path.partition("?")[2] for request in server.requests]


def test_events_arrive_in_order_with_both_signatures(
    listen: Listen, server: Receiver, receiver: Receiver
) -> None:
    server.behave = saying(page((1, '{"a":"ü"}'), (2, "{}")), END)
    result = listen()
    assert [request.headers["webhook-id"] for request in receiver.requests] == ["evt_1", "evt_2"]
    for request in receiver.requests:
        Webhook(SECRET).verify(request.body, request.headers)
        assert request.headers["x-cal-signature-256"] == signing.sign(SECRET, request.body)
    assert "BOOKING_CREATED  evt_1  200 in " in result.output


def test_the_first_time_it_begins_now(listen: Listen, server: Receiver) -> None:
    server.behave = saying(page(after=7), END)
    listen()
    assert asked(server) == ["take=100&wait=0&after=latest", "take=100&wait=20&after=7"]


def test_the_next_time_it_goes_on_where_it_was(listen: Listen, server: Receiver) -> None:
    server.behave = saying(page((3, "{}")), END)
    listen()
    server.requests.clear()
    listen()
    assert asked(server) == ["take=100&wait=0&after=3-aaaaaaaa"]


@pytest.mark.parametrize(
    ("begin", "query"),
    [("now", "&after=latest"), ("beginning", ""), ("12-abcdef00", "&after=12-abcdef00")],
)
def test_it_begins_where_it_is_told(listen: Listen, server: Receiver, begin: str, query: str) -> None:
    server.behave = saying(page((3, "{}")), END)
    listen()
    server.requests.clear()
    listen("--from", begin)
    assert asked(server)[0] == f"take=100&wait=0{query}"


def test_an_error_counts_as_a_response(listen: Listen, server: Receiver, receiver: Receiver) -> None:
    server.behave = saying(page((1, "{}"), (2, "{}")), END)
    receiver.behave = answer("500 Oops")
    result = listen()
    assert len(receiver.requests) == 2
    assert "evt_1  500 in " in result.output


def test_no_response_in_time_is_not_sent_again(
    listen: Listen, server: Receiver, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "PATIENCE", 0.2)
    server.behave = saying(page((1, "{}")), END)
    receiver.behave = lambda own, connection: (own.read(connection), time.sleep(0.5))
    result = listen()
    assert (len(receiver.requests), "evt_1  no response within" in result.output) == (1, True)


def test_a_connection_that_breaks_after_the_request_is_not_sent_again(
    listen: Listen, server: Receiver, receiver: Receiver
) -> None:
    server.behave = saying(page((1, "{}")), END)
    receiver.behave = lambda own, connection: own.read(connection)
    result = listen()
    assert (len(receiver.requests), "evt_1  no response: " in result.output) == (1, True)


def test_events_wait_while_the_receiver_cannot_be_reached(listen: Listen, server: Receiver) -> None:
    server.behave = saying(page((1, "{}"), (2, "{}")), END)
    late = Receiver()
    late.listener.close()
    late.listener = socket.socket()
    late.listener.bind(("127.0.0.1", late.port))  # refuses until it listens
    threading.Timer(0.3, lambda: (late.listener.listen(), late.__enter__())).start()
    result = listen(to=f"localhost:{late.port}/hook")
    late.__exit__()
    assert [request.headers["webhook-id"] for request in late.requests] == ["evt_1", "evt_2"]
    assert result.output.count("The receiver is not available: Connection refused.") == 1
    assert result.output.count("The receiver is available again.") == 1


def test_a_server_that_is_away_is_waited_for(listen: Listen, server: Receiver, receiver: Receiver) -> None:
    away = [answer("503 Busy"), answer("200 OK", b"<html>"), answer("200 OK", b'{"data": [1]}'), b"", b"HTTP"]
    server.behave = saying(page(after=1), *away, page((2, "{}")), END)
    result = listen()
    assert result.output.count("The server is not available: it responded with 503.") == 1
    assert result.output.count("The server is available again.") == 1
    assert asked(server)[1:7] == ["take=100&wait=20&after=1"] * 6
    assert len(receiver.requests) == 1


def test_too_many_requests_are_waited_out(listen: Listen, server: Receiver) -> None:
    limit = answer("429 Too Many Requests", b"", "Retry-After: 1")
    server.behave = saying(limit, page(), END)
    begun = time.monotonic()
    listen()
    assert time.monotonic() - begun > 1


def test_an_erased_event_is_passed_over(listen: Listen, server: Receiver, receiver: Receiver) -> None:
    server.behave = saying(page((1, None), (2, "{}")), END)
    result = listen()
    assert "evt_1  not forwarded: its visitor and body were erased" in result.output
    assert [request.headers["webhook-id"] for request in receiver.requests] == ["evt_2"]


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("401 Unauthorized", "does not know this key"),
        ("404 Not Found", "no Calapp API"),
        ("400 Bad Request", "does not know this cursor"),
        ("410 Gone", "no longer has the events"),
        ("403 Forbidden", "The server responded with 403: Forbidden"),
    ],
)
def test_a_refusal_is_one_clear_sentence(
    listen: Listen, server: Receiver, status: str, sentence: str
) -> None:
    server.behave = answer(status)
    result = listen()
    assert result.exit_code == 1
    assert sentence in result.output
    assert "Traceback" not in result.output


def test_what_the_server_says_is_shown_without_what_steers_a_terminal(
    listen: Listen, server: Receiver
) -> None:
    server.behave = answer("403 No", json.dumps({"error": {"message": "\x1b[2JLacks read."}}).encode())
    assert "403: [2JLacks read." in listen().output


def test_a_secret_is_made_once_and_kept(listen: Listen, server: Receiver, receiver: Receiver) -> None:
    server.behave = saying(page((1, "{}")), END)
    first = listen(secret="").output
    server.behave = saying(page((2, "{}")), END)
    again = listen(secret="").output
    secret = first.split("server and key: ")[1].split()[0]
    assert f"server and key: {secret}" in again
    for request in receiver.requests:
        Webhook(secret).verify(request.body, request.headers)


def test_a_secret_of_ones_own_is_not_printed(listen: Listen, server: Receiver) -> None:
    server.behave = saying(page(), END)
    assert SECRET not in listen().output


def test_the_key_is_not_kept(listen: Listen, server: Receiver) -> None:
    server.behave = saying(page((1, "{}")), END)
    listen("--key", "cal_quite_secret")
    [file] = (settings().data_dir / "listen").glob("*.json")
    assert "cal_quite_secret" not in file.read_text()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--server", "ftp://example.com"),
        ("--server", "http://[::1"),
        ("--forward-to", "http://"),
        ("--forward-to", "http://127.0.0.1:99999/"),
        ("--forward-to", "http://127.0.0.1:port/"),
    ],
)
def test_an_address_that_is_none_is_named(listen: Listen, option: str, value: str) -> None:
    result = listen(option, value)
    assert (result.exit_code, option in result.output) == (2, True)


def test_two_listeners_with_one_key_would_mix_their_places(tmp_path: Path) -> None:
    first, second = (Position(tmp_path, "https://cal.example.com", "cal_x") for _ in range(2))
    first.open()
    with pytest.raises(Taken, match="already uses this server and key"):
        second.open()
    first.close()
    second.open()
    second.close()


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json", '{"cursor": 1}'])
def test_a_place_that_cannot_be_read_is_a_first_start(tmp_path: Path, text: str) -> None:
    place = Position(tmp_path, "https://cal.example.com", "cal_x")
    place.file.write_text(text)
    place.open()
    place.close()
    assert place.cursor is None


def test_a_place_is_for_its_owner_alone(tmp_path: Path) -> None:
    place = Position(tmp_path / "listen", "https://cal.example.com", "cal_x")
    place.open()
    place.move("1-aaaaaaaa")
    place.close()
    assert (place.file.stat().st_mode & 0o77, place.file.parent.stat().st_mode & 0o77) == (0, 0)
