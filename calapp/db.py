"""The database object, the instant column type, and the only place that commits."""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from select import POLLIN, poll
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session as FlaskSession
from sqlalchemy import DateTime, Dialect, Index, MetaData, String, Text, TextClause, event, func, select, text
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import DisconnectionError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session, SessionTransaction
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeDecorator, TypeEngine

from calapp.clock import now
from calapp.config import Settings
from calapp.direct import (
    WEB_WAITS,
    AnySession,
    Direct,
    begin_writing,
    in_turn,
    is_locked,
    run_after_commit,
)
from calapp.errors import Busy
from calapp.text import ACCENTS, PLAIN_LETTERS, unaccented

AfterCommit = Callable[[], None]


class Model(DeclarativeBase):
    """Base of every table; constraints have the same names on both databases, so migrations find them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class PlainSession(FlaskSession):
    """A session that knows its engine, and its connection (`connection_of`), and need not look for them."""

    engine: Engine | None = None

    def get_bind(self, *_about: Any, **_more: Any) -> Engine:
        """Return the engine of this app, which has one database."""
        if self.engine is None:
            self.engine = self._db.engine
        return self.engine


@event.listens_for(PlainSession, "after_begin")
def _note_connection(session: Session, _transaction: object, connection: Connection) -> None:
    session.info["connection"] = connection


@event.listens_for(PlainSession, "after_transaction_end")
def _forget_connection(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop("connection", None)


def connection_of(session: Session) -> Connection:
    """Return the connection of a session's transaction, which it begins when there is none."""
    known: Connection | None = session.info.get("connection")
    return known or session.connection()


def read_alone(session: Session) -> None:
    """Have each select of a read that begins here be by itself, which spares PostgreSQL BEGIN and ROLLBACK.

    There, what one transaction reads is of as many moments as it has statements anyway.
    """
    if not session.in_transaction() and not is_sqlite(session):
        session.connection(execution_options={"alone": True})


db = SQLAlchemy(model_class=Model, session_options={"class_": PlainSession})

ASKED_AFTER = 5.0  # seconds that a connection of the web has not been used

LARGEST = 2**31 - 1  # whole number that a column of ids holds on PostgreSQL

WORKER_WAITS = 30.0  # seconds for SQLite's writer

SQLITE_DELIVERS = ("PRAGMA synchronous = NORMAL",)
POSTGRESQL_DELIVERS = (
    "SET synchronous_commit TO off",
    "SET enable_seqscan TO off",
    "SET plan_cache_mode TO force_generic_plan",
)
POSTGRESQL_LOOKS = (
    "SET plan_cache_mode TO force_generic_plan",
    "SET enable_seqscan TO off",
    "SET jit TO off",  # before 18, what it cannot do without going through a table seems dear enough for it
)

# Where systems keep the certificates that they trust (the list of Go's crypto/x509, root_linux.go).
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # RHEL
    "/etc/ssl/cert.pem",  # Alpine without ca-certificates, macOS
)

log = logging.getLogger(__name__)


class UTCDateTime(TypeDecorator[datetime]):
    """An instant: aware in Python, UTC in the database; a naive value is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("An instant must be aware of its zone.")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class SealedText(TypeDecorator[str]):
    """A text that may be stored encrypted, which makes it longer than it says; SQLite knows no length."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        return dialect.type_descriptor(Text() if dialect.name == "postgresql" else self.impl_instance)


def partial_index(name: str, *columns: str, where: str | TextClause, unique: bool = False) -> Index:
    """Return an index of the rows for which a condition holds, in both databases."""
    condition = text(where) if isinstance(where, str) else where
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


@contextmanager
def transaction() -> Iterator[Session]:
    """Open the one write transaction of a request, job or command; commit at its end, else roll back.

    On SQLite it is BEGIN IMMEDIATE, so that what is read inside still holds when it is written. Callables
    given to `after_commit` run when it is committed. Raises Busy when the database stays locked.
    """
    session = db.session()
    if session.info.get("writing"):
        raise RuntimeError("A transaction is open already.")
    session.rollback()  # ends the read snapshot, which on SQLite cannot be raised to a write transaction
    session.info["writing"] = True
    session.info["after_commit"] = {}
    try:
        with in_turn(session.get_bind(), sqlite=is_sqlite(session)):
            try:
                session.connection(execution_options={"write": True})
                yield session
                session.commit()
            finally:
                session.rollback()  # so that the next thread finds the writer free, also after an error
    except OperationalError as error:
        if is_locked(error):
            raise Busy() from error
        raise
    finally:
        session.info["writing"] = False
    run_after_commit(session.info)


def after_commit(session: AnySession, name: str, call: AfterCommit) -> None:
    """Run a callable once after the open transaction has committed; a name that is there already is kept."""
    session.info.setdefault("after_commit", {}).setdefault(name, call)


def one_at_a_time(session: Session, name: str) -> None:
    """Wait until no other process is in a transaction of this name; SQLite lets one write anyhow."""
    if not is_sqlite(session):
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(name))))


def is_sqlite(session: AnySession) -> bool:
    """Return whether this session's database is SQLite."""
    return session.get_bind().dialect.name == "sqlite"


def database_now(session: AnySession) -> datetime:
    """Return the current instant by the clock that all processes share: that of the database server."""
    if is_sqlite(session):
        return now()
    if isinstance(session, Direct):
        moment: datetime = session.run("SELECT clock_timestamp()")[0][0]
        return moment
    return session.scalar(select(func.clock_timestamp(type_=UTCDateTime))) or now()


class Unaccented(GenericFunction[str]):
    """`text.unaccented` of a column, worked out by the database."""

    type = Text()
    name = "calapp_unaccented"  # as SQLite's connections know it
    inherit_cache = True


@compiles(Unaccented, "postgresql")
def _unaccented_by_postgresql(element: Unaccented, compiler: Any, **options: Any) -> str:
    text = compiler.process(element.clauses, **options)
    bare = f"regexp_replace(normalize(lower({text}), NFD), '{ACCENTS}', '', 'g')"
    for letter, plain in PLAIN_LETTERS.items():
        bare = f"replace({bare}, '{letter}', '{plain}')"
    # Only a database in UTF-8 takes letters apart.
    return f"CASE WHEN getdatabaseencoding() = 'UTF8' THEN {bare} ELSE lower({text}) END"


def connection_options(settings: Settings) -> dict[str, int | str]:
    """Return how libpq connects: limits for a server that has gone silent, and the system's certificates.

    Without the limits a request waits for a server that vanished until the system gives its connection up,
    which takes a quarter of an hour; those in DATABASE_URL have precedence. With `sslrootcert=system`, the
    libpq of psycopg's wheel looks for the certificates where they were on the machine that built it.
    https://www.postgresql.org/docs/current/libpq-connect.html
    """
    silent = settings.database_network_timeout
    chosen = {
        "connect_timeout": settings.database_connect_timeout,
        "tcp_user_timeout": 1000 * silent,  # milliseconds; for what was sent and is not acknowledged
        "keepalives_idle": max(1, silent // 2),  # seconds; for who waits for the answer
        "keepalives_interval": max(1, silent // 5),
        "keepalives_count": 3,
    }
    said = make_url(settings.database_url).query
    limits: dict[str, int | str] = {name: value for name, value in chosen.items() if name not in said}
    if said.get("sslrootcert") == "system" and (bundle := next(filter(os.path.exists, BUNDLES), None)):
        limits |= {"sslrootcert": bundle, "sslmode": "verify-full"}
    return limits


def _limit_statements(engine: Engine, seconds: int, silent: int) -> None:
    """Set the limit of statements on each new connection: PgBouncer refuses it among the start-up options.

    A server that is frozen keeps no limit, and its system goes on to acknowledge packets: so a connection
    that is silent for that long and `silent` seconds more is given up here, too.
    """
    if not seconds:
        return

    @event.listens_for(engine, "do_connect")
    def do_connect(dialect: Any, _record: Any, arguments: Any, named: Any) -> Any:
        driver = dialect.loaded_dbapi
        return _given_up(driver.Connection, seconds + silent).connect(*arguments, **named)

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.execute(f"SET statement_timeout TO {1000 * seconds}")
        connection.commit()


@cache
def _given_up(connection: Any, seconds: int) -> Any:
    """Return psycopg's class of connections, of which one is closed when a response takes that long."""

    class GivenUp(connection):  # psycopg is loaded only where PostgreSQL is used
        def wait(self, *arguments: Any, timeout: float | None = None, **named: Any) -> Any:
            until = time.monotonic() + seconds
            try:
                return super().wait(*arguments, timeout=seconds if timeout is None else timeout, **named)
            except self.OperationalError:
                if timeout is None and time.monotonic() >= until:
                    self.pgconn.finish()
                raise

    return GivenUp


def _prepare_postgresql(engine: Engine, *, asks: bool) -> None:
    """Let `read_alone` do so, and by choice ask a connection whether it is still there.

    A person should not see that a connection broke while nobody used it. One that was used a moment ago need
    not be asked: a server that ends says so, and then there is something to read.
    """

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver: Any = connection.connection.dbapi_connection
        options = connection.get_execution_options()
        alone = bool(options.get("alone"))
        if driver.autocommit != alone and "isolation_level" not in options:
            driver.autocommit = alone

    if not asks:
        return

    @event.listens_for(engine, "checkin")
    def checkin(_driver: Any, record: Any) -> None:
        record.info["used"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def checkout(driver: Any, record: Any, _proxy: Any) -> None:
        used = record.info.get("used")
        if used is None or (time.monotonic() - used < ASKED_AFTER and not _is_readable(driver)):
            return
        try:
            engine.dialect.do_ping(driver)
        except driver.Error as error:
            raise DisconnectionError from error  # the pool takes another one


def _is_readable(driver: Any) -> bool:
    """Return whether the server has said something that nobody has asked for."""
    looks = poll()
    looks.register(driver.fileno(), POLLIN)
    return bool(looks.poll(0))


def prepare_engine(engine: Engine, *, worker: bool, statement_seconds: int, network_seconds: int) -> None:
    """Set what each connection needs: on PostgreSQL the longest that a statement may take (0: no limit).

    On SQLite the web waits 5 s for the other threads of its process and 5 s for the writer, a worker 30 s.
    Commits wait for the disk, since a confirmation and an event's id must outlive a power cut.
    """
    if engine.dialect.name != "sqlite":
        _limit_statements(engine, statement_seconds, network_seconds)
        _prepare_postgresql(engine, asks=not worker)
        return
    waits = WORKER_WAITS if worker else WEB_WAITS
    engine.update_execution_options(waits=waits)
    pragmas = (
        f"PRAGMA busy_timeout = {1000 * waits:.0f}",
        "PRAGMA journal_mode = WAL",
        "PRAGMA foreign_keys = ON",
        "PRAGMA synchronous = FULL",
    )

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # sqlite3 must not begin transactions behind our back
        for pragma in pragmas:
            connection.execute(pragma)
        connection.create_function(Unaccented.name, 1, unaccented, deterministic=True)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get("write"):
            connection.exec_driver_sql("BEGIN")
            return
        driver: Any = connection.connection.dbapi_connection
        try:
            begin_writing(driver, waits)
        except sqlite3.OperationalError as error:
            raise OperationalError("BEGIN IMMEDIATE", None, error) from error


def prepare_to_deliver(engine: Engine) -> None:
    """Set what suits a process that only delivers.

    Its commits do not wait for the disk: what a power cut takes with them comes due again, and is sent twice.
    It looks rows up by their keys, few at a time; PostgreSQL, which takes random reads for dear, would rather
    go through a table of some thousand rows each time, and would plan some of the statements again each time.
    """
    sqlite = engine.dialect.name == "sqlite"
    statements = SQLITE_DELIVERS if sqlite else POSTGRESQL_DELIVERS

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def prepare_to_look(engine: Engine) -> None:
    """Have PostgreSQL plan once what is asked every second: to plan a long statement costs ten times it.

    Without knowing the time that is asked for, it would go through tables for a row that is not there.
    """
    if engine.dialect.name == "sqlite":
        return

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        for statement in POSTGRESQL_LOOKS:
            connection.execute(statement)
        connection.commit()
