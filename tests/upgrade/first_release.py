"""A database as the first release left it, and what an upgrade may change in it.

`first_release.sql` is the dump of a SQLite file that the first release wrote on 4 January 2027 (its clock
was set): Rick, his event types, six visitors' bookings, four webhooks whose deliveries are sent, waiting,
behind one another or parked, and a row or more in every table. Its webhooks point to `receiver.test:80`.
"""

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Boolean, Connection, Date, DateTime, MetaData, Table, inspect, text
from sqlalchemy.types import TypeEngine

# Table and column: its type, whether it can be null, and whether the database fills it in.
Schema = dict[tuple[str, str], tuple[TypeEngine[Any], bool, bool]]

DUMP = Path(__file__).with_name("first_release.sql")
RECEIVER = "http://receiver.test:80"
WRITTEN_AT = datetime(2027, 1, 4, 7, 2, tzinfo=UTC)
# The id of each visitor's booking, and the parts of the dump that are secret.
UIDS: dict[str, str] = {
    "ada": "r04QH_0Pnzz8HoDivseztw",
    "bob": "04WLl3B-UMXEfNVsaoj3Qg",
    "cyd": "REDjIzYhbgH9O4L0qqtL-w",
    "dan": "bK1RR5WPIxlIV1C76RMctQ",
    "eve": "r1aP7Qg2n82Z2nEjkdH0eg",
    "fay": "yCW5aop_zeVzUMtXpeMOzA",
}
MOVED_UID = "c0ufEioVqVvSAfxUMlpSxA"  # Eve's new one
API_KEY = "cal_MKCL2HG1KKgwbJTmYb24fEWnA0opdkrTLvQTbGtZ3wY"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@lru_cache
def in_memory() -> sqlite3.Connection:
    """Return the old database in memory."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(DUMP.read_text())
    return connection


def write_sqlite(path: Path) -> None:
    """Write the old database as the file that it was."""
    connection = sqlite3.connect(path)
    connection.executescript(DUMP.read_text())
    connection.close()


@lru_cache
def old_columns() -> dict[str, list[str]]:
    """Return the columns of each of the old tables that have rows, in the order of the dump."""
    connection = in_memory()
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {
        name: [column for _, column, *_ in connection.execute(f'PRAGMA table_info("{name}")')]
        for name in names
        if name != "alembic_version"
    }


def old_tables(connection: Connection) -> Iterator[Table]:
    """Yield the old tables as they are in a database, those first that others refer to."""
    metadata = MetaData()
    metadata.reflect(connection)
    names = old_columns()
    yield from (table for table in metadata.sorted_tables if table.name in names)


def old_rows(table: Table) -> list[dict[str, Any]]:
    """Return the old rows of a table by their columns, as values that fit the table's types."""
    columns = old_columns()[table.name]
    found = in_memory().execute(f'SELECT * FROM "{table.name}" ORDER BY 1')
    return [
        {name: _value(table.columns[name].type, value) for name, value in zip(columns, row, strict=True)}
        for row in found
    ]


def insert_rows(connection: Connection) -> None:
    """Insert the old rows with no more than their old columns, as the first release would."""
    for table in old_tables(connection):
        if rows := old_rows(table):
            connection.execute(table.insert(), rows)
        if connection.dialect.name == "postgresql" and "id" in table.columns:
            following = f"SELECT setval(pg_get_serial_sequence('\"{table.name}\"', 'id'), max(id))"
            connection.execute(text(f'{following} FROM "{table.name}"'))


def _value(kind: TypeEngine[Any], value: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, Boolean):
        return bool(value)
    if isinstance(kind, JSON):
        return json.loads(value)
    if isinstance(kind, DateTime):
        return datetime.fromisoformat(value).replace(tzinfo=UTC if kind.timezone else None)
    return date.fromisoformat(value) if isinstance(kind, Date) else value


def read_rows(connection: Connection, table: Table) -> list[dict[str, Any]]:
    """Return what the first release would read of a table."""
    names = old_columns()[table.name]
    columns = [table.columns[name] for name in names]
    rows = connection.execute(table.select().with_only_columns(*columns).order_by(columns[0]))
    return [dict(row._mapping) for row in rows]


def schema(connection: Connection) -> Schema:
    """Return the columns of a database."""
    found = inspect(connection)
    return {
        (table, column["name"]): (column["type"], column["nullable"], column["default"] is not None)
        for table in found.get_table_names()
        for column in found.get_columns(table)
    }
