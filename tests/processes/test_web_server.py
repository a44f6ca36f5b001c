"""How many processes the web server has, and the threads of its own that answer /healthz."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.running import PATIENCE, ROOT, environment, free_port, wait_until

CONFIG = """
worker_class = "calapp.serving.PatientWorker"
threads = 1
control_socket_disable = True
"""
HANGS = "hangs"  # a file that there is once a page hangs

checked = threading.Event()


def app(environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Hang in every page until somebody has asked /healthz."""
    if environ["PATH_INFO"] == "/healthz":
        checked.set()
    else:
        (Path(os.environ["CALAPP_DATA_DIR"]) / HANGS).touch()
    answer = b"after a check" if checked.wait(PATIENCE) else b"without a check"
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A server of that app with one thread."""
    port = free_port()
    (tmp_path / "conf.py").write_text(f'bind = "127.0.0.1:{port}"\n{CONFIG}')
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--config", str(tmp_path / "conf.py"), f"{__name__}:app"],
        cwd=ROOT,
        env=environment(tmp_path, port),
    )
    wait_until(lambda: listens(port))
    yield port
    process.terminate()
    process.wait(PATIENCE)


def listens(port: int) -> bool:
    """Whether somebody accepts connections."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_healthz_answers_while_all_threads_hang(port: int, tmp_path: Path, method: str) -> None:
    address, pages = f"http://127.0.0.1:{port}", []

    def visit() -> None:
        pages.append(requests.get(f"{address}/page", timeout=2 * PATIENCE).text)

    with ThreadPoolExecutor() as visitors:
        for _ in range(3):
            visitors.submit(visit)
        wait_until((tmp_path / HANGS).exists)
        answer = requests.request(method, f"{address}/healthz?from=proxy", timeout=2 * PATIENCE)
    assert answer.status_code == 200
    assert pages == ["after a check"] * 3


def web_starts(folder: Path, **settings: str) -> str:
    """Start a web server, wait until it serves, and stop it; return what it says."""
    port = free_port()
    asked = environment(folder, port, **settings)
    with (folder / "said").open("w") as said:
        words = (sys.executable, "-m", "gunicorn", "app:create_app()")
        process = subprocess.Popen(words, cwd=ROOT, env=asked, stderr=said)
    try:
        wait_until(lambda: listens(port))
    finally:
        process.terminate()
        process.wait(PATIENCE)
    return (folder / "said").read_text()


def test_o12_a_web_server_has_one_process_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    words = [sys.executable, "-m", "gunicorn", "--print-config", "app:create_app()"]
    asked = environment(tmp_path, free_port())
    printed = subprocess.run(words, cwd=ROOT, env=asked, capture_output=True, text=True, check=True)
    assert re.search(r"^workers += 1$", printed.stdout, re.MULTILINE)


def test_o12_more_processes_on_sqlite_are_warned_of(tmp_path: Path) -> None:
    assert "WEB_CONCURRENCY=2: on SQLite, more" in web_starts(tmp_path, WEB_CONCURRENCY="2")
