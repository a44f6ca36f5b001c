"""Processes that cannot be started: attempted again, slower and slower; nobody waits without a limit."""

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from calapp.addresses import resolve
from calapp.deliveries.resolver import Names
from calapp.embedded_valkey import EmbeddedValkey, NoBroker
from calapp.monitoring.service import within
from calapp.processes import FOLLOW, LONGEST_PAUSE, Spawned
from tests.running import wait_until
from tools.faults.parts import ROOT, environment


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Leave this process no file descriptor for a pipe, as a real limit does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_o1_a_start_that_fails_is_attempted_again_slower_and_slower(caplog: pytest.LogCaptureFixture) -> None:
    with no_descriptors():
        kept = Spawned("The sleeper", "-c", "import time; time.sleep(60)")
        pauses = []
        for _ in range(7):
            pauses.append(kept.pause)
            kept.again_at = 0.0
            kept.keep_alive()
    kept.again_at = 0.0
    kept.keep_alive()
    assert kept.alive()
    kept.process.kill()
    kept.close()
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.2, LONGEST_PAUSE)
    assert "The sleeper could not be started (Too many open files); retrying in 0.2 s" in caplog.text


def test_o1_a_worker_that_cannot_go_on_ends_with_a_status_and_leaves_no_child(tmp_path: Path) -> None:
    (tmp_path / "no-thread").write_text("follower")
    staged = environment(tmp_path, STAGE=str(tmp_path), REDIS_URL=f"unix://{tmp_path}/none") | {FOLLOW: "1"}
    command = [sys.executable, "-m", "tools.faults.stage", "calapp.worker"]
    with subprocess.Popen(
        command, cwd=ROOT, env=staged, stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as worker:
        _out, said = worker.communicate(timeout=60)
    assert worker.returncode == 1
    assert b"The worker cannot continue and ends (RuntimeError: can't start new thread)" in said
    left = [one for one in psutil.process_iter(["environ"]) if str(tmp_path) in str(one.info["environ"])]
    assert left == []


def test_o1_an_embedded_valkey_that_cannot_be_started_says_so_and_starts_later(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path)
    with no_descriptors(), pytest.raises(NoBroker, match="could not be started"):
        valkey.start()
    valkey.start()
    assert valkey.running()
    valkey.stop()


def test_o1_names_are_looked_up_once_threads_are_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(timeout=5.0, most=4)
    request = type("WebhookRequest", (), {"host": "localhost", "began": time.monotonic(), "request": None})()
    with monkeypatch.context() as starved:
        starved.setattr("threading.Thread.start", refused)
        names.ask(request)
        assert names.finished() == []
    names.finished()  # the next look, in the engine at the latest after 50 ms
    wait_until(lambda: not names.ended.empty())
    [(waiting, found)] = names.finished()
    names.close()
    assert waiting is request
    assert found.addresses


def test_o1_without_threads_an_address_is_unknown_and_health_can_be_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as starved:
        starved.setattr("threading.Thread.start", refused)
        assert resolve("localhost", 1.0) == []
        for _ in range(20):
            with pytest.raises(RuntimeError):
                within(1.0, lambda: 1)
    assert within(5.0, lambda: 1) == 1


def refused(_thread: object) -> None:
    raise RuntimeError("can't start new thread")
