"""The maintenance process: what is slow in it keeps nothing else waiting."""

import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from flask import Flask
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from calapp import clock, maintenance
from calapp.accounts.models import User
from calapp.calendars.models import CalendarKind, ExternalCalendar
from calapp.calendars.schemas import CalendarInput
from calapp.calendars.service import apply
from calapp.db import db, transaction
from calapp.deliveries.models import Delivery, Event, State
from calapp.mail import Email
from calapp.maintenance import Lane, Task
from calapp.statements import Plain
from calapp.webhooks.models import ParkedDecision, Webhook
from tests.conftest import on_both_databases
from tests.receiver import OK
from tests.running import wait_until
from tools.faults.world import World


@contextmanager
def hanging_mail_server() -> Iterator[tuple[int, list[socket.socket]]]:
    """Yield the port of a server that accepts connections and says nothing, and its connections."""
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connections.append(server.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], connections
        server.shutdown(socket.SHUT_RDWR)
    for one in connections:
        one.close()


def add_calendars(address: str) -> None:
    """Give the host three calendars on one server."""
    with transaction() as session:
        for number in range(3):
            calendar = ExternalCalendar(user_id=session.scalar(select(User.id)), kind=CalendarKind.ICS)
            apply(calendar, CalendarInput(address=f"{address}/{number}.ics"))
            session.add(calendar)


def test_meetings_and_deliveries_keep_their_second_while_mail_server_and_calendars_hang() -> None:
    with hanging_mail_server() as (port, connections):
        smtp = f"smtp://127.0.0.1:{port}?from=bookings@cal.example"
        with World(SMTP_URL=smtp) as world:
            world.webhook()
            world.witness.answers["/hook"] = OK
            add_calendars(f"http://127.0.0.1:{port}")
            world.worker.start()
            world.book(1)
            wait_until(lambda: len(connections) > 3)
            with transaction() as session:
                session.execute(text("UPDATE booking SET starts_at = created_at, ends_at = created_at"))
            ended = select(Event.id).where(Event.trigger == "MEETING_ENDED")
            assert world.wait(lambda: world.session().scalar(ended), 10) < 4.9  # what hangs has five seconds
            assert (
                world.wait(lambda: not world.count(Delivery.state == State.WAITING), 10) < 4.9
            )  # what hangs has five seconds
            assert world.session().scalar(select(Email.sent_at).where(Email.sent_at.is_not(None))) is None
            began = time.monotonic()
            world.worker.terminate()
            assert time.monotonic() - began < 20  # the longest request's 5 s, and some for the children


def test_a_task_that_fails_is_logged_once_and_holds_up_no_other(
    app: Flask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def fail() -> None:
        ran.append("failing")
        raise ValueError("odd")

    monkeypatch.setattr("calapp.maintenance.stop_requested", lambda: len(ran) >= 6)
    tasks = [Task("a", fail, 0.0, "x"), Task("b", lambda: ran.append("other"), 0.0, "x")]
    Lane(app, "x", tasks).run()
    assert ran == ["failing", "other"] * 3
    assert caplog.text.count("The maintenance of a fails, retrying: ValueError: odd") == 1
    db.session.remove()


def looked(app: Flask, *, woken: bool = False) -> dict[str, float]:
    """Let the look find what may have something to do; return how soon each has its turn, by its name."""
    table, lanes = maintenance.tasks(), dict[str, Lane]()
    look = maintenance.LanesLook(table, lanes)
    for task in look.tasks:
        lanes.setdefault(
            task.lane, Lane(app, task.lane, [one for one in look.tasks if one.lane == task.lane])
        )
        lanes[task.lane].began_at[task] = time.monotonic()
    look.woken = woken
    with suppress(DBAPIError):
        look.look()
    look.database.engine.dispose()
    return {
        task.name: due_at - time.monotonic()
        for lane in lanes.values()
        for task, due_at in lane.due_at.items()
        if due_at < math.inf
    }


@on_both_databases
def test_one_statement_finds_for_all_lanes_what_may_have_something_to_do(app: Flask, rick: User) -> None:
    assert looked(app) == {}
    with transaction() as session:
        session.add_all(
            Webhook(
                user_id=rick.id, subscriber_url=f"https://{number}.example", triggers=[], first_failed_at=at
            )
            for number, at in enumerate((None, clock.now()))
        )
        session.execute(update(Webhook).values(parked_decision=ParkedDecision.RELEASE))
    found = looked(app)
    assert found.keys() == {"parked", "failing webhooks"}
    assert found["failing webhooks"] > found["parked"] > 0
    assert max(looked(app, woken=True).values()) < 0
    db.session.remove()


def test_a_look_that_fails_leaves_it_to_each_task_to_say_what_is_wrong(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "which_find", lambda _statements: Plain("SELECT nothing"))
    assert looked(app).keys() == {task.name for task in maintenance.tasks() if task.when is not None}


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """What is set once the process is asked to stop."""
    stopped = threading.Event()
    monkeypatch.setattr(maintenance, "request_stop", stopped.set)
    monkeypatch.setattr(maintenance, "stop_requested", stopped.is_set)
    monkeypatch.setattr(maintenance, "BEAT_EVERY", 0.02)
    return stopped


def test_o1_a_process_of_which_a_task_hangs_ends_for_another_to_be_started(
    app: Flask, stopped: threading.Event, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "HANGS_AFTER", 0.2)
    over = threading.Event()
    lane = Lane(app, "due", [Task("meetings", lambda: over.wait(30), 1.0, "due")])
    lane.start()
    maintenance._beat_until_stopped([lane])
    over.set()
    lane.join(30)
    assert "The maintenance of meetings hangs, and this process ends" in caplog.text


def test_o1_a_task_of_many_steps_does_not_hang(app: Flask, stopped: threading.Event) -> None:
    moved: list[float] = []

    def task() -> None:
        before = lane.moved_at
        maintenance.repeat(lambda _session: 0)
        moved.append(lane.moved_at - before)
        stopped.set()

    lane = Lane(app, "cleanup", [Task("cleanup", task, 1.0, "cleanup")])
    lane.start()
    lane.join(30)
    assert moved[0] > 0
