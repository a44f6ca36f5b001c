"""A developer's machine follows a running server, and a client asks it for all that was sent, over HTTP."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from standardwebhooks import Webhook

from tests.receiver import Receiver
from tests.running import PATIENCE, ROOT, environment, free_port, launch, wait_until, what_it_prints

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Server:
    """A server on a port and a folder of its own, which can be stopped and started again."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir, self.port = data_dir, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.start()
        self.key = self.make_key()

    def start(self) -> None:
        self.process = launch(self.data_dir, self.port, RATE_LIMITS="off")
        what_it_prints(self.process)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        self.process.stdout.close()

    def make_key(self) -> str:
        words = [sys.executable, "-m", "flask", "create-api-key", "rick"]
        env = environment(self.data_dir, self.port)
        return subprocess.run(
            words, cwd=ROOT, env=env, capture_output=True, text=True, check=True
        ).stdout.strip()

    def ask(self, method: str, path: str, *, status: int = 200, **more: Any) -> Any:
        """Send a request with the key; return the answer's data."""
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = requests.request(method, f"{self.address}{path}", headers=headers, timeout=PATIENCE, **more)
        assert answer.status_code == status, answer.text
        return answer.json().get("data")

    def book(self) -> str:
        """Book the next free time; return the booking's uid."""
        [event_type] = [one for one in self.ask("GET", "/v2/event-types") if one["slug"] == "quick-chat"]
        today = datetime.now(UTC).date()
        days = {"start": str(today + timedelta(days=1)), "end": str(today + timedelta(days=8))}
        free = self.ask("GET", "/v2/slots", params={"eventTypeId": event_type["id"], **days})
        start = next(slot["start"] for slots in free.values() for slot in slots)
        attendee = {"name": "Ada", "email": "ada@example.com", "timeZone": "Europe/London"}
        wish = {"eventTypeId": event_type["id"], "start": start, "attendee": attendee}
        return self.ask("POST", "/v2/bookings", status=201, json=wish)["uid"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("server") / "data")
    yield started
    started.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


class Listener:
    """`flask listen` in a process and a data folder of its own, and what it has printed."""

    def __init__(self, server: Server, receiver: Receiver, folder: Path) -> None:
        words = ["--server", server.address, "--forward-to", receiver.url(), "--secret", SECRET]
        # It needs no database: this one is nowhere.
        own = {"CALAPP_DATA_DIR": str(folder), "DATABASE_URL": "postgresql+psycopg://127.0.0.1:1/none"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flask", "listen", *words],
            cwd=ROOT,
            env={**os.environ, **own, "CALAPP_KEY": server.key},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.thread = threading.Thread(target=lambda: self.lines.extend(self.process.stdout))
        self.thread.start()
        self.wait_for("Following")

    def wait_for(self, words: str) -> None:
        wait_until(lambda: any(words in line for line in self.lines) or self.process.poll() is not None)
        assert self.process.poll() is None, self.lines

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(10)
        self.thread.join()
        self.process.stdout.close()
        return code


@contextmanager
def listening(server: Server, receiver: Receiver, folder: Path) -> Iterator[Listener]:
    listener = Listener(server, receiver, folder)
    try:
        yield listener
    finally:
        if listener.process.poll() is None:
            listener.process.kill()


def told(receiver: Receiver) -> list[str]:
    """Return the ids of the events that came, each with good signatures."""
    for request in receiver.requests:
        Webhook(SECRET).verify(request.body, request.headers)
    return [request.headers["webhook-id"] for request in receiver.requests]


def test_every_event_arrives_once_though_the_server_and_the_listener_restart(
    server: Server, receiver: Receiver, tmp_path: Path
) -> None:
    with listening(server, receiver, tmp_path) as listener:
        for _ in range(2):
            server.book()
        wait_until(lambda: len(receiver.requests) == 2)
        server.stop()
        listener.wait_for("The server is not available")
        server.start()
        server.book()
        wait_until(lambda: len(receiver.requests) == 3)
        listener.wait_for(told(receiver)[-1])  # its place is kept by then
        assert listener.stop(signal.SIGTERM) == 0
    server.book()
    with listening(server, receiver, tmp_path) as listener:
        wait_until(lambda: len(receiver.requests) == 4)
        listener.wait_for(told(receiver)[-1])
        assert listener.stop(signal.SIGINT) == 0
    assert told(receiver) == [event["id"] for event in server.ask("GET", "/v2/events")]
    assert "Stopped." in listener.lines[-1]


def test_a_client_sees_resends_and_replays_what_was_sent(server: Server, receiver: Receiver) -> None:
    hook = {
        "subscriberUrl": receiver.url(),
        "triggers": ["BOOKING_CREATED"],
        "active": True,
        "secret": SECRET,
    }
    webhook = f"/v2/webhooks/{server.ask('POST', '/v2/webhooks', status=201, json=hook)['id']}"
    uid = server.book()
    wait_until(lambda: server.ask("GET", f"{webhook}/deliveries")[0]["state"] == "delivered")
    [row] = server.ask("GET", f"{webhook}/deliveries?bookingUid={uid}")
    assert server.ask("GET", f"/v2/deliveries/{row['id']}")["attempts"][0]["status"] == 200
    server.ask("POST", f"/v2/deliveries/{row['id']}/resend", status=202)
    wait_until(lambda: len(receiver.requests) == 2)
    wait_until(lambda: server.ask("GET", f"{webhook}/deliveries")[0]["state"] == "delivered")  # is recorded
    window = {"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z", "onlyFailed": False}
    server.ask("POST", f"{webhook}/replay", status=202, json=window)
    wait_until(lambda: server.ask("GET", f"{webhook}/replay")["state"] == "done")
    wait_until(lambda: len(receiver.requests) == 3)
    assert set(told(receiver)) == {row["eventId"]}
    assert server.ask("DELETE", f"{webhook}/replay")["state"] == "done"
    assert server.ask("POST", f"{webhook}/ping")["status"] == 200


def test_a_long_poll_answers_soon_after_a_booking(server: Server) -> None:
    head = requests.get(
        f"{server.address}/v2/events?after=latest", headers={"Authorization": f"Bearer {server.key}"}
    ).json()["pagination"]["next"]
    threading.Timer(0.5, server.book).start()
    begun = time.monotonic()
    events = server.ask("GET", f"/v2/events?after={head}&wait=20")
    assert (len(events), time.monotonic() - begun < 10) == (1, True)


def test_a_key_of_nobody_gets_nothing(server: Server) -> None:
    answer = requests.get(f"{server.address}/v2/events", headers={"Authorization": "Bearer cal_nobody"})
    assert (answer.status_code, answer.json().get("data")) == (401, None)
