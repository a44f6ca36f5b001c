"""The guide's receivers, each run as its reader would, with the engine sending to it."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.clock import now
from calapp.deliveries.models import Delivery
from tests.deliveries.conftest import subscribed
from tests.docs.conftest import OTHER_SECRET, SECRET
from tests.running import free_port, wait_until
from tools.docs.texts import snippet

COMMANDS = {
    "receiver.py": [sys.executable, "-m", "flask", "--app", "receiver", "run", "--port", "{port}"],
    "receiver.mjs": ["node", "receiver.mjs"],
    "receiver.php": ["php", "-S", "127.0.0.1:{port}", "receiver.php"],
}
LANGUAGES = {"receiver.mjs": "Node", "receiver.php": "PHP"}


@dataclass
class Server:
    """A running receiver; `printed` is where what it prints goes."""

    url: str
    printed: Path


@pytest.fixture(scope="module", params=list(COMMANDS))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A receiver of the guide, which knows SECRET."""
    name, port = request.param, free_port()
    command = [part.format(port=port) for part in COMMANDS[name]]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{LANGUAGES[name]} is not on this machine, so {name} cannot be run.")
    folder = tmp_path_factory.mktemp("receiver")
    (folder / name).write_text(snippet(name))
    environment = os.environ | {"CALAPP_SECRET": SECRET, "PORT": str(port)}
    with (folder / "printed").open("w") as printed:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=printed, stderr=printed)
    try:
        wait_until(lambda: _listens(port, process))
        yield Server(f"http://127.0.0.1:{port}/hook", folder / "printed")
    finally:
        process.kill()
        process.wait()


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "The receiver ended."
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def status(
    server: Server, rick: User, book: Callable, deliver: Callable, saved: Callable, session: Session
) -> Callable[..., int | None]:
    """Return a function that books, and gives the receiver's answer to the delivery."""

    def send(secret: str | None, **values: object) -> int | None:
        saved(subscribed(rick, server.url, secret=secret, **values))
        book(user_id="42")
        deliver()
        return session.scalar(select(Delivery.last_status))

    return send


def test_the_receiver_takes_a_signed_event(status: Callable, server: Server) -> None:
    assert status(SECRET) == 204
    assert "BOOKING_CREATED 42" in server.printed.read_text()


def test_the_receiver_goes_on_while_secrets_overlap(status: Callable) -> None:
    overlap = {"old_secret": SECRET, "old_secret_until": now() + timedelta(hours=1)}
    assert status(OTHER_SECRET, **overlap) == 204


@pytest.mark.parametrize("secret", [OTHER_SECRET, None])
def test_the_receiver_refuses_what_is_not_signed_by_its_secret(status: Callable, secret: str | None) -> None:
    assert status(secret) == 400
