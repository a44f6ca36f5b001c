"""Statements that are given to the driver as they are: what every booking page asks, and batches of rows.

SQLAlchemy builds a select for each request, and then an object for each row: a lookup of three rows
costs it eight times as much CPU as the database. A batch is one statement for many rows, which costs a
fraction of what a statement for each row costs.
"""

import json
import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from calapp.db import connection_of, is_sqlite
from calapp.direct import AnySession, Direct, Rows

NAME = re.compile(r":(\w+)")
AMONG_SQLITE = "IN (SELECT value FROM json_each(:ids))"
AMONG_POSTGRESQL = "= ANY(CAST(:ids AS integer[]))"
COLUMN = re.compile(r"\br\.(\w+)")


def for_psycopg(statement: str) -> str:
    """Return a statement with its `:name`s as psycopg writes them."""
    return NAME.sub(r"%(\1)s", statement.replace("%", "%%"))


def execute(session: AnySession, statement: str, values: Any) -> Rows:
    """Execute a statement in the driver's words; errors are those of SQLAlchemy."""
    if isinstance(session, Direct):
        return session.run(statement, values)
    connection = connection_of(session)
    driver: Any = connection.connection.dbapi_connection
    try:
        each = isinstance(values, list)  # of rows, on SQLite
        cursor = driver.executemany(statement, values) if each else driver.execute(statement, values)
        found = Rows(cursor.fetchall() if cursor.description else ())
    except connection.dialect.loaded_dbapi.Error as error:
        connection._handle_dbapi_exception(error, statement, values, None, None)  # noqa: SLF001 (raises)
    found.rowcount = cursor.rowcount
    return found


class Plain:
    """A statement in which `:name` stands for a value; PostgreSQL may have words of its own."""

    def __init__(self, sqlite: str, postgresql: str | None = None) -> None:
        self.words = (sqlite, postgresql or sqlite)
        self.sqlite = sqlite
        self.postgresql = for_psycopg(postgresql or sqlite)

    def run(self, session: AnySession, **values: Any) -> Rows:
        """Execute it and return its rows; instants are as the driver gives them, see `instant`."""
        if is_sqlite(session):
            return execute(session, self.sqlite, {name: stored(value) for name, value in values.items()})
        return execute(session, self.postgresql, values)

    def read(self, session: Session, **values: Any) -> Rows:
        """Execute it after what the session still has to write, as a select of the ORM does."""
        if session.autoflush:
            session.flush()
        return self.run(session, **values)


def which_find(statements: Sequence[Plain]) -> Plain:
    """Return a statement that says in one row, of each of these, whether it gives a row, which is 1.

    Not by EXISTS, in which PostgreSQL overlooks an ORDER BY, and with it the index that has it.
    """
    each = zip(*(one.words for one in statements), strict=True)
    return Plain(*(f"SELECT {', '.join(f'({words}) IS NOT NULL' for words in of_kind)}" for of_kind in each))


class ByIds:
    """A statement for the rows whose id is one of some: `WHERE id {among}`.

    Its text is always the same, so the database need not read it again, as with `IN (?, ?, …)`. `lock` is how
    PostgreSQL locks the rows; SQLite has one writer.
    """

    def __init__(self, statement: str, lock: str = "") -> None:
        sqlite, postgresql = (statement.format(among=among) for among in (AMONG_SQLITE, AMONG_POSTGRESQL))
        self.statement = Plain(sqlite, f"{postgresql} {lock}")

    def run(self, session: AnySession, ids: Collection[int], **values: Any) -> Any:
        """Execute it for these ids and return the result."""
        among = list(ids)
        return self.statement.run(session, ids=json.dumps(among) if is_sqlite(session) else among, **values)


class ByRows:
    """A statement for rows that are given: they come in `{from_rows}`, and `r.name` is a column of theirs.

    It takes PostgreSQL's types of the columns, whose names and values `{columns}` and `{values}` stand for.
    PostgreSQL takes all rows as one value, SQLite executes it for each. Instants are given as `writer` writes
    them.
    """

    def __init__(self, statement: str, **columns: str) -> None:
        self.names = tuple(columns)
        places = {name: f"?{place}" for place, name in enumerate(columns, 1)}
        given = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        parts = {"columns": ", ".join(columns), "values": ", ".join(f"r.{name}" for name in columns)}
        self.given = f"json_to_recordset(CAST(:rows AS json)) AS r({given})"  # for a longer statement
        rows = f"FROM {self.given}"
        self.sqlite = COLUMN.sub(lambda match: places[match[1]], statement.format(from_rows="", **parts))
        self.postgresql = for_psycopg(statement.format(from_rows=rows, **parts))

    def run(self, session: AnySession, rows: Sequence[tuple[Any, ...]]) -> int:
        """Execute it for these rows, with values in the order of the columns; return how many it changed."""
        if is_sqlite(session):
            if isinstance(session, Direct):
                return session.run_each(self.sqlite, rows)
            return execute(session, self.sqlite, list(rows)).rowcount
        return execute(session, self.postgresql, {"rows": self.encoded(rows)}).rowcount

    def encoded(self, rows: Sequence[tuple[Any, ...]]) -> str:
        """Return rows as PostgreSQL takes them, in one value."""
        return json.dumps([dict(zip(self.names, row, strict=True)) for row in rows], ensure_ascii=False)


def written(at: datetime, *, sqlite: bool) -> str:
    """Return an instant, which must be in UTC, as the database reads it: SQLite keeps no zone."""
    text = at.isoformat(" ", "microseconds")
    return text[:26] if sqlite else text


def stored(value: Any) -> Any:
    """Return a value as SQLite's driver takes it."""
    if isinstance(value, datetime):
        return written(value, sqlite=True)
    return value.isoformat() if isinstance(value, date) else value


def instant(value: str | datetime) -> datetime:
    """Return an aware instant from what a driver gave: SQLite's gives text without a zone."""
    return datetime.fromisoformat(value).replace(tzinfo=UTC) if isinstance(value, str) else value


def day(value: str | date) -> date:
    """Return a date from what a driver gave: SQLite's gives text."""
    return date.fromisoformat(value) if isinstance(value, str) else value


def writer(session: AnySession) -> Callable[[datetime], str]:
    """Return how instants are written for the rows of a statement."""
    return partial(written, sqlite=is_sqlite(session))
