"""The RQ job lasts as long as its worker: it rests, is woken, waits for retries, and ends when asked to."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from flask import Flask
from redis import RedisError

from calapp import broker
from calapp.config import Settings
from calapp.deliveries import engine as engine_module
from calapp.deliveries.engine import Engine
from calapp.embedded_valkey import EmbeddedValkey
from tests.conftest import on_both_databases
from tests.receiver import answer
from tests.running import wait_until

pytestmark = on_both_databases


@pytest.fixture
def valkey(app: Flask, settings: Settings) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(settings.data_dir)
    server.start()
    broker.ask_again()
    yield server
    server.server.send_signal(signal.SIGCONT)
    server.stop()


class Job(threading.Thread):
    """The job as a worker process runs it; counts how often it looks for what is due."""

    def __init__(self, app: Flask, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.app, self.engine = app, engine
        self.looks = 0
        self.stopping = threading.Event()
        self.failure: Exception | None = None
        self.resting = threading.Event()
        monkeypatch.setattr(engine, "stopping", self.stopping.is_set)
        look, rest = engine_module.look, engine.rest

        def counted(*given: object) -> object:
            self.looks += 1
            return look(*given)

        def noted(wakes: broker.Wakes) -> None:
            self.resting.set()
            rest(wakes)

        monkeypatch.setattr(engine_module, "look", counted)
        monkeypatch.setattr(engine, "rest", noted)

    def run(self) -> None:
        try:
            with self.app.app_context(), closing(broker.Wakes()) as wakes:
                self.engine.deliver(wakes)
        except RedisError as error:
            self.failure = error

    def stop(self) -> None:
        """Ask it to stop, as a signal does; return once it has ended."""
        self.stopping.set()
        self.engine.sender.wake()
        self.join(10)
        assert not self.is_alive()


@pytest.fixture
def job(app: Flask, valkey: EmbeddedValkey, engine: Engine, monkeypatch) -> Iterator[Job]:
    """The job, at rest."""
    job = Job(app, engine, monkeypatch)
    job.start()
    assert job.resting.wait(30)
    yield job
    job.stop()


def test_an_event_wakes_the_job_and_puts_none_into_the_queue(job, webhook, receiver, happen) -> None:
    for number in range(3):
        happen(f"chain {number}")
        wait_until(lambda wanted=number + 1: len(receiver.requests) == wanted)
    assert broker.queue().count == 0


@pytest.mark.parametrize("settings", [(1, 300)], indirect=True)
def test_a_retry_is_made_when_it_is_due_without_a_wake_and_without_looking_all_the_time(
    job, webhook, receiver, happen
) -> None:
    receiver.behave = answer("500 Internal Server Error")
    happen()
    wait_until(lambda: len(receiver.requests) == 1)
    failed_at, looks = time.monotonic(), job.looks
    wait_until(lambda: len(receiver.requests) == 2)
    assert time.monotonic() - failed_at > 0.75
    assert job.looks <= looks + 4


def test_the_job_rests_while_nothing_happens(job) -> None:
    looks = job.looks
    time.sleep(0.5)
    assert job.looks == looks


def test_what_is_in_flight_is_finished_when_the_job_is_asked_to_stop(
    job, webhook, receiver, happen, session
) -> None:
    def late(receiver, connection) -> None:
        receiver.read(connection)
        receiver.ended.wait(0.5)
        connection.sendall(answer())

    receiver.behave = late
    happen()
    wait_until(job.engine.sender.busy)
    job.stop()
    assert not job.engine.busy()
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_valkey_that_ends_or_hangs_ends_the_job(job, valkey, number: signal.Signals) -> None:
    valkey.server.send_signal(number)
    job.join(10)
    assert job.failure
