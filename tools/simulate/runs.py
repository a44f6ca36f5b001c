"""Runs of many seeds: a database for each, one app for all."""

import logging
import multiprocessing
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
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
AT_ONCE = 25  # seeds that a process walks before it takes the next


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


def prepared(migrated: Path | None = None, *, postgresql: bool = False) -> AbstractContextManager[Ground]:
    """Make a ground on the database that is asked for."""
    return on_postgresql() if postgresql else ground(migrated)


def walk_some(
    seeds: Sequence[int],
    *,
    steps: int = STEPS,
    migrated: Path | None = None,
    postgresql: bool = False,
    keep_going: bool = False,
) -> list[Failed]:
    """Walk seeds in this process; return those that failed, or the first of them."""
    failed = []
    with prepared(migrated, postgresql=postgresql) as here:
        for seed in seeds:
            if found := failure(here, seed, steps):
                failed.append(found)
                if not keep_going:
                    break
    return failed


def walk_all(
    walk: Callable[[Sequence[int]], list[Failed]], seeds: range, processes: int
) -> Iterator[list[Failed]]:
    """Have processes walk seeds in parts; give the failures of each part, in the order of the seeds."""
    parts = [seeds[at : at + AT_ONCE] for at in range(0, len(seeds), AT_ONCE)]
    if processes == 1:
        yield from map(walk, parts)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            yield from pool.map(walk, parts)
        finally:
            pool.shutdown(cancel_futures=True)
