"""/healthz: what the parts are, quickly, also when one of them hangs."""

import socket
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app import create_app
from calapp import broker
from calapp.clock import now
from calapp.config import Settings
from calapp.db import transaction
from calapp.monitoring import service
from calapp.monitoring.models import Tally
from tests.conftest import on_both_databases
from tests.monitoring.rows import deliveries
from tests.running import wait_until


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "workers_alive", lambda _name=broker.DELIVERIES: 2)
    monkeypatch.setattr(broker, "refusal", str)


@pytest.fixture(autouse=True)
def _never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "last_write", service.LastWrite())


@on_both_databases
@pytest.mark.usefixtures("healthy")
class TestWithEverythingThere:
    def test_a_server_with_all_its_parts_is_ok(self, client: FlaskClient) -> None:
        answer = client.get("/healthz")
        assert (answer.status_code, answer.json["status"], answer.json["problems"]) == (200, "ok", [])
        assert answer.json["workers"] == 2

    def test_a_delivery_that_waits_too_long_degrades_it(self, client: FlaskClient) -> None:
        deliveries("waiting", due_at=now() - timedelta(minutes=5))
        answer = client.get("/healthz").json
        assert answer["status"] == "degraded"
        assert answer["oldest_waiting_seconds"] > 290

    def test_what_waits_for_its_retry_is_no_problem(self, client: FlaskClient) -> None:
        deliveries("waiting", due_at=now() + timedelta(hours=1))
        assert client.get("/healthz").json["status"] == "ok"

    def test_what_a_failing_endpoint_holds_back_is_no_problem(self, client: FlaskClient) -> None:
        hold = now() + timedelta(minutes=30)
        deliveries("waiting", due_at=now() - timedelta(hours=1), backoff_until=hold)
        assert client.get("/healthz").json["oldest_waiting_seconds"] == 0


@pytest.mark.usefixtures("healthy")
def test_o7_a_database_that_cannot_be_written_to_is_down(app: Flask, client: FlaskClient) -> None:
    with transaction() as session:
        session.execute(
            text("CREATE TRIGGER full BEFORE INSERT ON tally BEGIN SELECT raise(ABORT, 'disk is full'); END")
        )
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json["status"]) == (503, "down")
    assert (answer.json["database"], answer.json["writable"]) == (True, False)
    assert answer.json["problems"] == ["The database cannot be written to: nothing can be booked or saved."]


@pytest.mark.usefixtures("healthy")
def test_o7_a_writer_that_nobody_gets_is_a_database_that_cannot_be_written_to(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "WRITES_EVERY", 0.0)
    monkeypatch.setattr(service, "PATIENCE", 0.5)
    with transaction():  # as a process that hangs holds it
        answers = [client.get("/healthz") for _ in range(service.UNKNOWN)]
    assert [answer.json["writable"] for answer in answers[:-1]] == [None] * (service.UNKNOWN - 1)
    assert (answers[-1].status_code, answers[-1].json["writable"]) == (503, False)
    wait_until(lambda: client.get("/healthz").status_code == 200)


def test_o7_a_writer_that_is_busy_now_and_then_is_none() -> None:
    found = [*[None] * (service.UNKNOWN - 1), True] * 3
    last_write, told = service.LastWrite(), []
    for worked in found:
        last_write.due = 0.0
        told.append(last_write.renewed(lambda worked=worked: worked))
    assert told == found


def test_without_a_maintenance_process_it_is_degraded(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "refusal", str)
    found = {broker.DELIVERIES: 2, broker.MAINTENANCE: 0}
    monkeypatch.setattr(broker, "workers_alive", lambda name=broker.DELIVERIES: found[name])
    answer = client.get("/healthz").json
    assert answer["status"] == "degraded"
    assert answer["problems"] == ["No maintenance process is running: emails, reminders and meetings wait."]


def test_o8_what_valkey_says_is_a_problem_and_its_workers_are_not_known(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "refusal", lambda: "OOM command not allowed")
    answer = client.get("/healthz").json
    assert (answer["status"], answer["broker"], answer["workers"]) == ("degraded", False, None)
    assert answer["problems"] == ["Valkey accepts no writes: OOM command not allowed"]


@pytest.mark.usefixtures("healthy")
def test_a_row_is_written_every_ten_seconds_at_most(client: FlaskClient, session: Session) -> None:
    for _ in range(3):
        client.get("/healthz")
    assert session.scalar(select(Tally.value).where(Tally.metric == "healthz")) == 1


def test_without_valkey_pages_are_served_all_the_same(client: FlaskClient) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json["status"]) == (200, "degraded")
    assert answer.json["workers"] is None


def test_without_tables_nothing_can_be_served(settings: Settings, tmp_path: Path) -> None:
    app = create_app(replace(settings, database_url=f"sqlite:///{tmp_path}/empty.sqlite3"))
    answer = app.test_client().get("/healthz")
    assert (answer.status_code, answer.json["status"]) == (503, "down")


def test_a_database_that_hangs_is_given_up_after_its_patience(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(service, "PATIENCE", 0.1)
    monkeypatch.setattr(service, "oldest_waiting", lambda _session: over.wait(20))
    began = time.monotonic()
    assert client.get("/healthz").status_code == 503
    assert time.monotonic() - began < 10
    over.set()


def test_a_valkey_that_hangs_costs_little_time(settings: Settings, app: Flask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        hanging = create_app(replace(settings, redis_url=address, rate_limits="off"))
        began = time.monotonic()
        answer = hanging.test_client().get("/healthz")
    assert (answer.status_code, answer.json["broker"]) == (200, False)
    assert time.monotonic() - began < 3  # redis-py retries for longer, unless it is told not to


def test_many_checks_of_a_database_that_hangs_hold_few_threads() -> None:
    asked = []

    def hang() -> None:
        asked.append(1)
        time.sleep(0.4)

    for _ in range(12):
        with pytest.raises(TimeoutError):
            service.within(0.01, hang)
    assert len(asked) <= 4
