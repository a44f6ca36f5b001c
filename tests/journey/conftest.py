"""Calapp as a newcomer starts it: web server, worker and Valkey as real processes."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).parents[2]
TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


@dataclass
class Running:
    """A running Calapp and its address."""

    process: subprocess.Popen[str]
    address: str
    data_dir: Path

    def signed_in(self) -> requests.Session:
        """Return a browser in which the demo host is signed in."""
        browser = requests.Session()
        token = TOKEN.search(browser.get(f"{self.address}/login").text)[1]
        form = {"username": "rick", "password": "demo", "csrf_token": token}
        answer = browser.post(f"{self.address}/login", data=form)
        assert answer.status_code == 200, answer.text
        return browser


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def calapp(tmp_path: Path) -> Iterator[Running]:
    """Calapp started by its launcher in an empty folder, stopped at the end."""
    port = free_port()
    environ = {
        **os.environ,
        "CALAPP_DATA_DIR": str(tmp_path / "data"),
        "PORT": str(port),
        "WEBHOOK_TIMEOUT": "5",
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "calapp.launcher"], cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if "Ctrl-C" in line:
            break
    yield Running(process, f"http://127.0.0.1:{port}", tmp_path / "data")
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    process.stdout.close()
