"""Where the contestants are measured: a database, a Valkey, a worker and a web server of Calapp's own."""

import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
from flask_migrate import upgrade
from sqlalchemy import text

from app import create_app
from calapp import broker, config
from calapp.db import db, transaction
from calapp.event_types.models import EventType
from calapp.webhooks.models import OF_BOOKINGS, Webhook
from tools.bench.receiving import Receiving, wait
from tools.faults.parts import PostgreSQL, Valkey, Web, Worker, environment, free_port
from tools.faults.world import migrated_sqlite, seed

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOOPBACK = "127.0.0.0/8,::1/128"
FAR = "2999-01-01 00:00:00.000000"
BODY = '{"triggerEvent":"BOOKING_CREATED","payload":{"description":"' + 1900 * "x" + '"}}'

# Events and their deliveries in bulk, spread evenly over webhooks with ids that follow each other.
COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
EVENTS = f"""INSERT INTO event
  (uid, user_id, number, trigger, chain, sequence, subject, search, body, created_at)
{COUNT} SELECT 'evt_bench' || (:before + i), :host, :before + i, 'BOOKING_CREATED', 'b' || (:before + i), 1,
  'b' || (:before + i), '', :body, CURRENT_TIMESTAMP FROM n"""
DELIVERIES = """INSERT INTO delivery
  (event_id, webhook_id, chain, state, due_at, attempts, tries, manual, created_at)
SELECT id, :first + number % :webhooks, chain, 'waiting', created_at, 0, 0, {no}, created_at
FROM event WHERE number > :before"""
WAITING = "SELECT 1 FROM delivery WHERE state = 'waiting' AND due_at IS NOT NULL{more} LIMIT 1"


@dataclass(frozen=True)
class Drained:
    """One drain: deliveries, seconds from the release to the last row, CPU seconds of the worker."""

    count: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Deliveries a second."""
        return self.count / self.seconds


class Ground:
    """The processes of one Calapp and a way into its database; `with Ground(receiver) as ground`."""

    def __init__(self, receiver: Receiving, *, postgresql: bool = False, **settings: str) -> None:
        self.receiver = receiver
        self.name = "PostgreSQL" if postgresql else "SQLite"
        self.folder = Path(tempfile.mkdtemp(prefix="calapp-b"))
        self.postgresql = PostgreSQL(self.folder) if postgresql else None
        own = {
            "PORT": str(free_port()),
            "REDIS_URL": f"unix://{self.folder}/valkey.sock",
            "RATE_LIMITS": "off",
            "WEBHOOK_ALLOWED_NETWORKS": LOOPBACK,
            "WORKER_PROCESSES": "1",
        }
        if self.postgresql:
            own["DATABASE_URL"] = self.postgresql.url
        self.environment = environment(self.folder, **(own | settings))
        self.address = f"http://127.0.0.1:{own['PORT']}"
        self.valkey = Valkey(self.folder, self.environment)
        self.web = Web(self.folder, self.environment)
        self.worker = Worker(self.folder, self.environment)
        self.settings = config.prepare(self.environment)
        self.events = 0
        self.rates: dict[int, int] = {}  # the first of so many webhooks
        self.stack = ExitStack()

    def __enter__(self) -> Self:
        self.stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        if self.postgresql:
            self.stack.callback(self.postgresql.stop)
        self._make_database()
        self.stack.callback(self.valkey.stop)
        for program in (self.worker, self.web):
            self.stack.callback(program.kill)  # it would wait for receivers that hang
        self.valkey.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self.app.app_context():
            db.engine.dispose()
        self.stack.close()

    def _make_database(self) -> None:
        if self.settings.sqlite:
            shutil.copy(migrated_sqlite(), self.folder / "calapp.sqlite3")
        else:
            with create_app(self.settings).app_context():
                upgrade()
            logging.getLogger("alembic").setLevel(logging.WARNING)
        self.app = create_app(self.settings, worker=True)
        with self.here():
            self.host_id, self.event_type_id = seed("demo")

    @contextmanager
    def here(self) -> Iterator[None]:
        """Work with this ground's database and Valkey."""
        config.use(self.settings)
        with self.app.app_context():
            yield
            db.session.remove()

    def event_type(self, slug: str) -> int:
        """Add an event type of the host; return its id."""
        with self.here(), transaction() as session:
            made = EventType(
                user_id=self.host_id, title=slug, slug=slug, length=5, step=5, notice=0, max_days=365
            )
            session.add(made)
            session.flush()
            return made.id

    def webhooks(self, *paths: str, event_type_ids: tuple[int, ...] = ()) -> int:
        """Add webhooks that lead to the receiver's paths; return the first of their ids, which go on by one.

        Those of an event type are told what happens with it; the others only what `fill` lets wait.
        """
        triggers = [str(trigger) for trigger in OF_BOOKINGS] if event_type_ids else []
        with self.here(), transaction() as session:
            made = [
                Webhook(
                    user_id=self.host_id,
                    subscriber_url=self.receiver.url(path),
                    triggers=triggers,
                    secret=SECRET,
                    event_type_id=event_type_ids[index] if event_type_ids else None,
                )
                for index, path in enumerate(paths)
            ]
            for webhook in made:
                session.add(webhook)
                session.flush()
            return made[0].id

    def fill(self, first: int, webhooks: int, count: int, body: str = BODY) -> None:
        """Let `count` deliveries wait for webhooks that are on hold until `release`."""
        with self.here():
            self.hold(first, webhooks)
            with transaction() as session:
                before = session.scalar(text("SELECT coalesce(max(number), 0) FROM event"))
                if not self.settings.sqlite:
                    session.execute(text("SET LOCAL statement_timeout TO 0"))
                values = {"count": count, "before": before, "host": self.host_id, "body": body}
                session.execute(text(EVENTS), values)
                no = "0" if self.settings.sqlite else "false"
                values = {"first": first, "webhooks": webhooks, "before": before}
                session.execute(text(DELIVERIES.format(no=no)), values)
                session.execute(text('UPDATE "user" SET last_event_number = :n'), {"n": before + count})
            if not self.settings.sqlite:  # what autovacuum would do in the midst of a measurement
                with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    connection.execute(text("VACUUM ANALYZE delivery, event"))

    def hold(self, first: int, webhooks: int, until: str | None = FAR) -> None:
        """Have webhooks wait, or take them off their hold with `until` None."""
        statement = text("UPDATE webhook SET hold_until = :until WHERE id >= :first AND id < :last")
        with transaction() as session:
            session.execute(statement, {"until": until, "first": first, "last": first + webhooks})

    def release(self, first: int, webhooks: int) -> None:
        """Take webhooks off their hold, and wake the worker."""
        with self.here():
            self.hold(first, webhooks, None)
            broker.wake_workers()

    def drained(self, first: int = 0, last: int = 1 << 30) -> bool:
        """Return whether nothing waits for the webhooks from `first` to before `last`."""
        query = text(WAITING.format(more=" AND webhook_id >= :first AND webhook_id < :last"))
        with db.engine.connect() as connection:
            return connection.execute(query, {"first": first, "last": last}).first() is None

    def drain(self, first: int, webhooks: int, count: int) -> Drained:
        """Fill, release, and wait until every delivery is sent and its rows are written."""
        self.fill(first, webhooks, count)
        self.settle()
        cpu = self.worker_cpu()
        began = time.monotonic()
        self.release(first, webhooks)
        with self.here():
            wait(lambda: self.drained(first, first + webhooks))
        return Drained(count, time.monotonic() - began, self.worker_cpu() - cpu)

    def restart_worker(self, processes: int = 1) -> None:
        """Put a fresh worker in the place of the one that runs, which is ended at once."""
        if self.worker.all():
            self.worker.kill()
        self.worker.environment = self.environment | {"WORKER_PROCESSES": str(processes)}
        self.worker.start()

    def start_afresh(self) -> None:
        """End the worker at once, remove what waits, and start another."""
        self.worker.kill()
        self.forget_waiting()
        self.restart_worker()

    def forget_waiting(self) -> None:
        """Remove what still waits; no worker may be running."""
        with self.here(), transaction() as session:
            waiting = "SELECT id FROM delivery WHERE state = 'waiting'"
            session.execute(text(f"DELETE FROM attempt WHERE delivery_id IN ({waiting})"))
            session.execute(text("DELETE FROM delivery WHERE state = 'waiting'"))
            session.execute(text("UPDATE webhook SET hold_until = NULL, failures = 0, failing_since = NULL"))

    def settle(self) -> None:
        """Let what was begun before come to its end."""
        time.sleep(0.3)

    def worker_cpu(self) -> float:
        """Return the CPU seconds of the worker so far, with those of each of its processes."""
        times = [process.cpu_times() for process in self.worker.all()]
        return sum(one.user + one.system for one in times)

    def database_cpu(self) -> float:
        """Return the CPU seconds of the PostgreSQL server so far, with backends that have ended."""
        if self.postgresql is None:
            return 0.0
        server = psutil.Process(self.postgresql.server.get_pid())
        ended = server.cpu_times()
        times = [ended, *(one.cpu_times() for one in server.children(recursive=True))]
        return ended.children_user + ended.children_system + sum(one.user + one.system for one in times)
