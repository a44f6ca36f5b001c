"""The driver's own connections: transactions and statements without what SQLAlchemy does for each of them.

A session's transaction with one update costs a process twenty times what the database needs for it. So those
that do little but statements which stand as they are (`statements.Plain`) are written here.
"""

import logging
import select
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self

from sqlalchemy import PoolProxiedConnection
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from calapp.errors import Busy

WEB_WAITS = 5.0  # seconds for SQLite's writer
WRITER_PAUSE = 0.0005  # seconds between two looks whether it is free

# What psycopg waits for (psycopg.waiting.Wait: to read, to write, either), as a poll has it.
EVENTS = {1: select.POLLIN, 2: select.POLLOUT, 3: select.POLLIN | select.POLLOUT}

Meanwhile = Callable[[int, int], None]

_turn = threading.Lock()

log = logging.getLogger(__name__)


class Rows(list[Any]):
    """What a statement gave: its rows as tuples, and how many it changed."""

    rowcount = -1

    def all(self) -> Self:
        """Return the rows."""
        return self

    def first(self) -> Any:
        """Return the first row, or None."""
        return self[0] if self else None


class Direct:
    """What stands for a session where `Plain`, `ByIds` and `ByRows` are run; not for two threads at a time.

    Outside of a transaction each statement is one by itself. Errors are those of SQLAlchemy.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.sqlite = engine.dialect.name == "sqlite"
        self.driver: Any = engine.dialect.loaded_dbapi
        self.info: dict[str, Any] = {}
        self.pooled: PoolProxiedConnection | None = None  # that of the open transaction
        self.connection: Any = None  # the driver's
        self.begun = False
        self.unasked = False  # whether nobody waits for what the statements give, see `unasked`
        self.queue: list[tuple[str, Any]] = []  # sent to PostgreSQL with the next one that somebody waits for

    def get_bind(self) -> Engine:
        """Return the engine, as a session does."""
        return self.engine

    @contextmanager
    def transaction(self, meanwhile: Meanwhile | None = None) -> Iterator[Self]:
        """Open a write transaction; commit at its end, else roll back, as `db.transaction` does.

        `meanwhile` works while PostgreSQL does, until it has nothing to do or the descriptor that it is given
        is ready for one of some events of `select.poll`; it raises nothing.
        """
        if self.connection is not None:
            raise RuntimeError("A transaction is open already.")
        self.info["after_commit"] = {}
        with in_turn(self.engine, sqlite=self.sqlite):
            self._connect()
            try:
                if self.sqlite:
                    self._begin()
                elif meanwhile:
                    _work_while_waiting(self.connection, meanwhile)
                yield self
                self._commit()
            except BaseException as error:
                self._roll_back()
                if is_locked(error):
                    raise Busy() from error
                raise
            finally:
                self._release()
        run_after_commit(self.info)

    def run(self, statement: str, values: Mapping[str, Any] | None = None) -> Rows:
        """Execute a statement in the driver's words, in the open transaction or by itself."""
        if self.connection is not None:
            return self._run_in_transaction(statement, values)
        self._connect()
        try:
            return self._execute(statement, values)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        finally:
            self._release()
        self._connect()  # the server was restarted since: on a new connection once more
        try:
            return self._execute(statement, values)
        finally:
            self._release()

    def _run_in_transaction(self, statement: str, values: Mapping[str, Any] | None) -> Rows:
        first = not self.begun
        if first:
            self._begin()
        if self.unasked and not self.sqlite:
            self.queue.append((statement, values))
            return Rows()
        try:
            return self._execute(statement, values)
        except DBAPIError as error:
            if not (first and error.connection_invalidated):
                raise
        self._connect()  # the server was restarted since
        self._begin()
        return self._execute(statement, values)

    def run_each(self, statement: str, rows: Sequence[Sequence[Any]]) -> int:
        """Execute a statement for each of some rows, in SQLite's transaction; return how many it changed."""
        if len(rows) == 1:
            return self._execute(statement, rows[0]).rowcount
        try:
            return int(self.connection.executemany(statement, rows).rowcount)
        except self.driver.Error as error:
            raise self._as_of_sqlalchemy(error, statement) from error

    def _execute(self, statement: str, values: Mapping[str, Any] | Sequence[Any] | None = None) -> Rows:
        """Execute a statement, on PostgreSQL in one round trip with those that are queued."""
        try:
            if self.sqlite:
                cursor = self.connection.execute(statement, values or ())
            elif self.queue:
                queue, self.queue = self.queue, []
                with self.connection.pipeline():
                    for one in queue:
                        self.connection.execute(*one)
                    cursor = self.connection.execute(statement, values)
            else:
                cursor = self.connection.execute(statement, values)
            found = Rows(cursor.fetchall() if self.sqlite or cursor.description else ())
        except self.driver.Error as error:
            raise self._as_of_sqlalchemy(error, statement) from error
        found.rowcount = cursor.rowcount
        return found

    def _connect(self) -> None:
        self.pooled = self.engine.raw_connection()
        self.connection = self.pooled.dbapi_connection
        if not self.sqlite:
            self.connection.autocommit = True  # BEGIN and COMMIT are ours
        self.begun = False

    def _begin(self) -> None:
        if self.sqlite:
            try:
                begin_writing(self.connection, self.engine.get_execution_options().get("waits", WEB_WAITS))
            except self.driver.Error as error:
                raise self._as_of_sqlalchemy(error, "BEGIN IMMEDIATE") from error
        else:
            self.queue = [("BEGIN", None)]
        self.begun = True

    def _commit(self) -> None:
        if self.begun:
            self._execute("COMMIT")

    def _roll_back(self) -> None:
        unsent = bool(self.queue) and self.queue[0][0] == "BEGIN"
        self.queue = []
        if self.connection is not None and self.begun and not unsent:
            with suppress(DBAPIError):
                self._execute("ROLLBACK")

    def _release(self) -> None:
        """Give the connection back to the pool, which closes one that is broken."""
        pooled, self.pooled = self.pooled, None
        connection, self.connection = self.connection, None
        self.begun = False
        if pooled is None:
            return
        if not self.sqlite:
            vars(connection).pop("wait", None)
            with suppress(self.driver.Error):
                connection.autocommit = False
        pooled.close()

    def _as_of_sqlalchemy(self, error: Any, statement: str) -> Exception:
        """Return a driver's error as SQLAlchemy raises it; a connection that is lost is not used again."""
        lost = self.engine.dialect.is_disconnect(error, self.connection, None)
        if lost and self.pooled is not None:
            self.engine.pool._invalidate(self.pooled, error)  # noqa: SLF001 (and all that are as old)
            self.pooled = None
        made: Exception = DBAPIError.instance(
            statement,
            None,
            error,
            self.driver.Error,
            connection_invalidated=lost,
            dialect=self.engine.dialect,
        )
        return made


AnySession = Session | Direct


def _work_while_waiting(connection: Any, meanwhile: Meanwhile) -> None:
    """Have psycopg's connection do something else when it waits for what a statement gives.

    Its `wait` drives a generator, which yields for what it waits.
    """
    wait = connection.wait

    def work_and_wait(generator: Any, *arguments: Any, **named: Any) -> Any:
        return wait(_worked(generator, connection.pgconn.socket, meanwhile), *arguments, **named)

    connection.wait = work_and_wait


def _worked(generator: Any, fd: int, meanwhile: Meanwhile) -> Any:
    try:
        wanted = next(generator)
        while True:
            meanwhile(fd, EVENTS[wanted])
            wanted = generator.send((yield wanted))
    except StopIteration as end:
        return end.value


@contextmanager
def unasked(session: AnySession) -> Iterator[None]:
    """Run statements of whose results nobody needs anything, so that none is waited for by itself."""
    if not isinstance(session, Direct):
        yield
        return
    session.unasked = True
    try:
        yield
    finally:
        session.unasked = False


@contextmanager
def in_turn(engine: Any, *, sqlite: bool) -> Iterator[None]:
    """Let the threads of one process write to SQLite one after the other; raise Busy after a long wait.

    SQLite's own wait is a lottery of growing pauses, in which some threads draw blanks for seconds.
    """
    if not sqlite:
        yield
        return
    if not _turn.acquire(timeout=engine.get_execution_options().get("waits", WEB_WAITS)):
        raise Busy()
    try:
        yield
    finally:
        _turn.release()


def begin_writing(connection: sqlite3.Connection, waits: float) -> None:
    """Begin SQLite's write transaction; raise its OperationalError when the writer is busy for so long (s).

    SQLite would look for it in growing pauses of up to 0.1 s, and beside a process that writes all the time
    find it busy for seconds.
    """
    until = 0.0
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                moment = time.monotonic()
                until = until or moment + waits
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or moment >= until:
                    raise
            else:
                return
            time.sleep(WRITER_PAUSE)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {1000 * waits:.0f}")


def is_locked(error: BaseException) -> bool:
    """Return whether SQLite's writer was busy for too long."""
    of_driver = getattr(error, "orig", None)
    return isinstance(of_driver, sqlite3.OperationalError) and "locked" in str(of_driver)


def run_after_commit(info: dict[str, Any]) -> None:
    """Run what waited for the commit, in order."""
    calls: dict[str, Callable[[], None]] = info.pop("after_commit")
    for name, call in calls.items():
        try:
            call()
        except Exception:  # what was committed is so, whatever becomes of what follows
            log.exception("After a commit, “%s” failed", name)
