"""A reload of the web server by SIGHUP: the new code serves, and no visitor is refused or kept waiting."""

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.running import PATIENCE, ROOT, environment, free_port, wait_until

BEFORE, AFTER = "Valkey does not respond", "Valkey is silent"


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A copy of the code that the test may change."""
    for name in ("calapp", "templates", "static", "docs"):
        shutil.copytree(ROOT / name, tmp_path / "code" / name)
    for name in ("app.py", "gunicorn.conf.py"):
        shutil.copy(ROOT / name, tmp_path / "code" / name)
    return tmp_path / "code"


@pytest.fixture
def server(code: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A web server that runs that copy, without a queue or a worker; gives its process and its address."""
    port = free_port()
    settings = environment(tmp_path / "data", port, REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    subprocess.run([sys.executable, "-m", "flask", "db", "upgrade"], cwd=code, env=settings, check=True)
    words = [sys.executable, "-m", "gunicorn", "app:create_app()"]
    process = subprocess.Popen(words, cwd=code, env=settings)
    address = f"http://127.0.0.1:{port}"
    wait_until(lambda: says(address))
    yield process, address
    process.terminate()
    process.wait(PATIENCE)


def says(address: str) -> str:
    """What /healthz says of the server; nothing while it cannot be reached."""
    try:
        return requests.get(f"{address}/healthz", timeout=PATIENCE).text
    except requests.ConnectionError:
        return ""


def test_o9_a_reload_runs_the_new_code_and_refuses_nobody(
    server: tuple[subprocess.Popen[bytes], str], code: Path
) -> None:
    process, address = server
    seen: list[int | str] = []
    done = threading.Event()

    def visit() -> None:
        while not done.is_set():
            try:
                seen.append(requests.get(f"{address}/login", timeout=PATIENCE).status_code)
            except requests.RequestException as error:
                seen.append(str(error))
            time.sleep(0.05)

    visitor = threading.Thread(target=visit, daemon=True)
    visitor.start()
    for file in (code / "calapp").rglob("*.py"):
        if BEFORE in (text := file.read_text()):
            file.write_text(text.replace(BEFORE, AFTER))
    process.send_signal(signal.SIGHUP)
    try:
        wait_until(lambda: AFTER in says(address))
    finally:
        done.set()
    visitor.join()
    assert set(seen) == {200}
