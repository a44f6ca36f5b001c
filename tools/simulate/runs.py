"""Runs of many seeds: a database for each, one app for all."""

import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import text

from calapp.db import db
from tests import postgres
from tools.simulate.walk import STEPS, Walk
from tools.simulate.world import copy_database, make_app

MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Failed:
    """A seed that broke an invariant, with its trace."""

    seed: int
    words: str
    trace: Sequence[str]

    def __str__(self) -> str:
        lines = "\n".join(self.trace)
        return f"{lines}\n\nseed {self.seed}: {self.words}"


@cache
def migrated_database() -> Path:
    """Return an empty SQLite database with every migration applied, to be copied."""
    folder = new_folder()
    app = make_app(folder)
    with app.app_context():
        upgrade()
        db.session.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        db.session.remove()
        db.engine.dispose()
    return folder / "calapp.sqlite3"


def new_folder() -> Path:
    """Make a folder in memory, where there is room."""
    parent = MEMORY if MEMORY.is_dir() else None
    return Path(tempfile.mkdtemp(prefix="calapp-s", dir=parent))


# What tells PostgreSQL the time of the simulation: found before the real one, by the search path.
DATABASE_CLOCK = (
    "CREATE TABLE moved.at (moment timestamptz)",
    "INSERT INTO moved.at VALUES (pg_catalog.clock_timestamp())",
    """CREATE OR REPLACE FUNCTION moved.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
    'SELECT moment FROM moved.at'""",
)


class Ground:
    """The app and the folder in which seed after seed is walked; on SQLite unless a database is given."""

    def __init__(self, migrated: Path | None = None, database: postgres.Database | None = None) -> None:
        self.migrated = migrated
        self.database = database
        self.folder = new_folder()
        self._empty()
        self._log = logging.getLogger("calapp")
        self._level = self._log.level
        self._log.setLevel(logging.CRITICAL)  # a walk's failures are what it is for
        self.app: Flask = make_app(self.folder, database.address if database else "")

    def _empty(self) -> None:
        if self.database:
            self.database.empty()
        else:
            copy_database(self.migrated or migrated_database(), self.folder)

    def walk(self, seed: int, steps: int = STEPS) -> Walk:
        """Walk a seed on an empty database; raise what it raises, with the trace as a note."""
        self._empty()
        walk = Walk(self.app, seed)
        try:
            walk.run(steps)
        except BaseException as error:
            error.trace = walk.trace  # type: ignore[attr-defined]
            raise
        return walk

    def close(self) -> None:
        self._log.setLevel(self._level)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def ground(migrated: Path | None = None) -> Iterator[Ground]:
    made = Ground(migrated)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def on_postgresql() -> Iterator[Ground]:
    """Make a ground on a PostgreSQL server of its own."""
    folder = new_folder()
    with postgres.server(folder) as address:
        database = postgres.Database(address)
        postgres.run_sql(database.address, *DATABASE_CLOCK)
        database.shape = database._read_shape()
        made = Ground(database=database)
        try:
            yield made
        finally:
            made.close()
            database.close()
    shutil.rmtree(folder, ignore_errors=True)


def failure(here: Ground, seed: int, steps: int = STEPS) -> Failed | None:
    """Walk a seed; return how it failed."""
    try:
        here.walk(seed, steps)
    except Exception as error:  # noqa: BLE001 (an error of the product is a finding, too)
        return Failed(seed, f"{type(error).__name__}: {error}", getattr(error, "trace", ()))
    return None
