"""The simulated world: a database, hosts' data, workers as coroutines, and what people do to them."""

import logging
import random
import shutil
import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Self

import greenlet
import psycopg
from flask import Flask
from sqlalchemy import event, select
from sqlalchemy.engine import Connection

from app import create_app
from calapp import broker, clock, config
from calapp.accounts.models import User
from calapp.availability.models import WeeklyHours
from calapp.bookings.models import Booking
from calapp.db import db, transaction
from calapp.deliveries.engine import LEASE_MARGIN, Engine
from calapp.deliveries.exchange import WebhookRequest
from calapp.direct import Direct, Meanwhile, Rows
from calapp.event_types.models import EventType
from calapp.statements import instant
from calapp.webhooks.models import SUBSCRIBABLE, Webhook
from tools.simulate.receivers import TIMEOUT, Flight, Receiver, SilentWakes, SimulatedSender
from tools.simulate.simulated_clock import SimulatedClock

SCHEDULE = (5, 30, 120, 300, 600)
SLOTS, PER_ENDPOINT = 8, 4
LEASE = TIMEOUT + LEASE_MARGIN
SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")


TIMES = ("_at", "_until", "_since")


@cache
def row_of(names: tuple[str, ...]) -> Any:
    """Return the type of a row with these columns."""
    return namedtuple("Row", names)


class Killed(BaseException):
    """Kill -9: nothing that catches errors catches it."""


def make_app(folder: Path, database_url: str = "") -> Flask:
    """Return the app on a migrated database; SQLite's is `calapp.sqlite3` in the folder."""
    more = {"database_url": database_url} if database_url else {}
    settings = config.prepare(
        {},
        data_dir=folder,
        webhook_timeout=TIMEOUT,
        webhook_retry_schedule=SCHEDULE,
        webhook_concurrency=SLOTS,
        webhook_concurrency_per_endpoint=PER_ENDPOINT,
        webhook_allowed_networks=config._networks("127.0.0.0/8"),
        open_bookings_per_address=0,
        open_bookings_per_email=0,
        **more,
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return create_app(settings)


class WorkersDatabase(Direct):
    """A worker's way to the database: others may go on between its look and its claim, and commits kill."""

    def __init__(self, world: "World") -> None:
        super().__init__(db.engine)
        self.world = world
        self.has_looked = False

    def run(self, statement: str, values: Any = None) -> Rows:
        self.has_looked = self.has_looked or self.connection is None
        return super().run(statement, values)

    @contextmanager
    def transaction(self, meanwhile: Meanwhile | None = None) -> Iterator[Self]:
        running, looked, self.has_looked = self.world.running, self.has_looked, False
        if looked and running is not None and self.world.pauses_after_look:
            running.pause("has looked")
        with super().transaction(meanwhile):
            yield self

    def _commit(self) -> None:
        if self.world.running is not None and self.world.running.dies_in_commit:
            raise Killed
        super()._commit()


class Worker:
    """A worker process: its engine in a coroutine, which the walk lets go on, stops or kills."""

    def __init__(self, world: "World", name: str) -> None:
        self.world, self.name = world, name
        self.sender = SimulatedSender(name, world.receivers, world.sees, world.sent, self.pause)
        self.stopping = False
        self.engine = Engine(config.settings(), self.sender, lambda: self.stopping)
        self.engine.database = WorkersDatabase(world)
        self.where, self.until = "starts", None
        self.dies_in_commit = self.dies_after_commit = False
        self.killed = False
        self.coroutine = greenlet.greenlet(self._run)

    def _run(self) -> None:
        with self.world.app.app_context():
            try:
                self.engine.deliver(SilentWakes())
            except Killed:
                self.killed = True

    def pause(self, where: str, until: float | None = None) -> None:
        """Let the walk go on elsewhere: until a moment, or for as long as it likes."""
        if self.killed:
            return
        if self.dies_after_commit:
            raise Killed
        self.where, self.until = where, until
        self.world.hub.switch()

    @property
    def over(self) -> bool:
        return bool(self.coroutine.dead) or (self.killed and not self.coroutine)

    def ready(self) -> bool:
        """Return whether it has something to do now."""
        woken = self.sender.woken and self.where in {"rests", "waits for responses"}
        return not self.over and (self.until is None or woken or self.until <= clock.monotonic())

    def go_on(self) -> None:
        """Let it run until it pauses; what it raises, but for its death, is a fault."""
        with self.world.run_as(self):
            self.coroutine.switch()

    def kill(self) -> None:
        """Kill it where it is; what it had not stored is lost."""
        self.killed = True
        for flight in self.world.flights:
            flight.lost = flight.lost or (flight.worker == self.name and not flight.facts.get("stored"))
        if self.coroutine:  # it has begun and is not over
            with self.world.run_as(self):
                self.coroutine.throw(Killed)


@dataclass
class Hook:
    """What the walk knows of a webhook that it made."""

    id: int
    url: str
    triggers: set[str]
    event_type_id: int | None = None
    secrets: tuple[str, ...] = ()
    deleted: bool = False
    healthy: bool = False  # its receiver always accepts, and nobody touches it


class World:
    """One simulated Calapp on an empty, migrated database; `with world:`."""

    def __init__(self, app: Flask, rng: random.Random) -> None:
        self.app, self.rng = app, rng
        self.clock = SimulatedClock(
            lambda where, until: self.running.pause(where, until) if self.running else None
        )
        self.receivers: dict[str, Receiver] = {}
        self.hooks: dict[int, Hook] = {}
        self.workers: list[Worker] = []
        self.flights: list[Flight] = []
        self.running: Worker | None = None
        self.hub = greenlet.getcurrent()
        self.user_dies_in_commit = False
        self.wakes = "heard"
        self.started = 0
        self.on_sees: Callable[[str, Sequence[WebhookRequest]], None] = lambda _worker, _requests: None
        self.on_sent: Callable[[Flight], None] = lambda _flight: None
        self.pauses_after_look = False
        self.reader: Any = None
        self.sqlite = config.settings().sqlite
        self.version = -1

    @contextmanager
    def going(self) -> Iterator["World"]:
        """Have this world's clock, wakes and deaths rule this process."""
        with ExitStack() as stack:
            stack.enter_context(clock.ruled_by(self.clock))
            stack.enter_context(broker.wakes_taken_by(self._wake))
            stack.enter_context(self.app.app_context())
            event.listen(db.engine, "commit", self._on_commit)
            stack.callback(event.remove, db.engine, "commit", self._on_commit)
            stack.callback(self._end)
            if not self.sqlite:
                self.reader = self._connect()
                self.clock.moved = self._move_database
                self._move_database()
            self._seed()
            yield self

    def _end(self) -> None:
        for worker in self.workers:
            worker.kill()
        db.session.remove()
        db.engine.dispose()
        if self.reader is not None:
            self.reader.close()

    def _seed(self) -> None:
        with transaction() as session:
            host = User(
                username="rick",
                name="Rick",
                email="rick@example.com",
                password_hash="-",
                time_zone="UTC",
                session_token="session",
                calendar_token="calendar",
            )
            session.add(host)
            session.flush()
            for day in range(7):
                session.add(WeeklyHours(user_id=host.id, weekday=day, start_minute=0, end_minute=1440))
            kinds = [
                EventType(user_id=host.id, title=name, slug=name, length=15, notice=0, max_days=3000, **more)
                for name, more in (("chat", {}), ("visit", {"requires_confirmation": True}))
            ]
            session.add_all(kinds)
            session.flush()
            self.host_id = host.id
            self.event_types = [kind.id for kind in kinds]

    # Workers

    @contextmanager
    def run_as(self, worker: Worker | None) -> Iterator[None]:
        """Note who is running, for what dies in a commit."""
        before, self.running = self.running, worker
        try:
            yield
        finally:
            self.running = before

    def start_worker(self) -> Worker:
        self.started += 1
        worker = Worker(self, f"worker {self.started}")
        self.workers.append(worker)
        return worker

    def living(self) -> list[Worker]:
        return [worker for worker in self.workers if not worker.over]

    def _on_commit(self, connection: Connection) -> None:
        writes = connection.get_execution_options().get("write")
        if writes and self.running is None and self.user_dies_in_commit:
            self.user_dies_in_commit = False
            raise Killed

    def _wake(self, name: str) -> None:
        if name != broker.DELIVERIES or self.wakes == "lost":
            return
        for worker in self.living():
            worker.sender.wake()

    def sees(self, requests: Sequence[WebhookRequest]) -> None:
        self.on_sees(self.running.name if self.running else "", requests)

    def sent(self, flight: Flight) -> None:
        self.flights.append(flight)
        self.on_sent(flight)

    # Rows

    def read(self, statement: str) -> Sequence[Any]:
        """Return rows as they are committed, by a connection of the checks' own."""
        if self.reader is None:
            self.reader = self._connect()
        cursor = self.reader.cursor()
        cursor.execute(statement)
        names = [column[0] for column in cursor.description]
        make = row_of(tuple(names))
        times = [place for place, name in enumerate(names) if name.endswith(TIMES)]
        rows = []
        for found in cursor.fetchall():
            values = list(found)
            for place in times:
                if values[place] is not None:
                    values[place] = instant(values[place])
            rows.append(make(*values))
        cursor.close()
        return rows

    def _connect(self) -> Any:
        url = config.settings().database_url
        if self.sqlite:
            return sqlite3.connect(config.settings().data_dir / "calapp.sqlite3", isolation_level=None)
        return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)

    def _move_database(self) -> None:
        """Set PostgreSQL's clock, which `runs.on_postgresql` has put before the real one."""
        self.reader.execute("UPDATE moved.at SET moment = %s", [self.clock.now()])

    def changed(self) -> bool:
        """Return whether anything was committed since this was last asked; on PostgreSQL always."""
        if not self.sqlite:
            return True
        before, self.version = self.version, self.read("PRAGMA data_version")[0][0]
        return before != self.version

    def highest(self, column: str, table: str) -> int:
        return self.read(f"SELECT max({column}) AS most FROM {table}")[0].most or 0

    def add_hook(
        self,
        event_type_id: int | None = None,
        *,
        healthy: bool = False,
        triggers: Sequence[str] = (),
        url: str | None = None,
    ) -> Hook:
        url = url or f"https://receiver{len(self.receivers) + 1}.example/hook"
        wanted = list(triggers) or [str(one) for one in SUBSCRIBABLE]
        with transaction() as session:
            row = Webhook(
                user_id=self.host_id, subscriber_url=url, triggers=wanted, event_type_id=event_type_id
            )
            row.secret = SECRETS[0]
            session.add(row)
            session.flush()
            hook = Hook(row.id, url, set(wanted), event_type_id, (SECRETS[0],), healthy=healthy)
        self.receivers.setdefault(url, Receiver())
        self.hooks[hook.id] = hook
        return hook

    def booking(self, uid: str) -> Booking:
        session = db.session()
        found = session.scalar(select(Booking).where(Booking.uid == uid))
        assert found is not None
        return found

    def wall(self) -> datetime:
        return self.clock.now()


def copy_database(migrated: Path, folder: Path) -> None:
    """Put an empty, migrated SQLite database into a folder."""
    for left in folder.glob("calapp.sqlite3*"):
        left.unlink()
    shutil.copy(migrated, folder / "calapp.sqlite3")
