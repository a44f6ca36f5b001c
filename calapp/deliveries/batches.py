"""Batches: one statement for many rows, which costs a fraction of what a statement for each row costs."""

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from calapp.db import is_sqlite

AMONG_SQLITE = "IN (SELECT value FROM json_each(:ids))"
AMONG_POSTGRESQL = "= ANY(CAST(:ids AS integer[]))"


class ByIds:
    """A statement for the rows whose id is one of some: `WHERE id {among}`.

    Its text is always the same, so the database and SQLAlchemy need not read it anew, as with `IN (?, ?, …)`.
    """

    def __init__(self, statement: str, *types: Any, **columns: Any) -> None:
        parts = [text(statement.format(among=among)) for among in (AMONG_SQLITE, AMONG_POSTGRESQL)]
        typed = [part.bindparams(*types) for part in parts]
        self.sqlite, self.postgresql = [part.columns(**columns) if columns else part for part in typed]

    def run(self, session: Session, ids: Collection[int], **values: Any) -> Any:
        """Execute it for these ids and return the result."""
        if is_sqlite(session):
            return session.execute(self.sqlite, {"ids": json.dumps(list(ids)), **values})
        return session.execute(self.postgresql, {"ids": list(ids), **values})


class ByRows:
    """A statement for rows that are given: `FROM {rows}`, where they are called r; with PostgreSQL's types.

    `{columns}` stands for the names of their columns.

    PostgreSQL takes them all as one value. SQLite executes it for each, but without what SQLAlchemy does
    to each value. Instants must be in UTC.
    """

    def __init__(self, statement: str, **columns: str) -> None:
        self.names = tuple(columns)
        names = ", ".join(columns)
        one = ", ".join(f"? AS {name}" for name in columns)
        self.sqlite = statement.format(columns=names, rows=f"(SELECT {one}) AS r")
        typed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        given = f"json_to_recordset(CAST(:rows AS json)) AS r({typed})"
        self.postgresql = text(statement.format(columns=names, rows=given))

    def run(self, session: Session, rows: Collection[Mapping[str, Any]]) -> int:
        """Execute it for these rows and return how many rows it changed."""
        if is_sqlite(session):
            values = [tuple(_storable(row[name]) for name in self.names) for row in rows]
            found: Any = session.connection().exec_driver_sql(self.sqlite, values)
        else:
            given = json.dumps(list(rows), ensure_ascii=False, default=datetime.isoformat)
            found = session.execute(self.postgresql, {"rows": given})
        return int(found.rowcount)


def _storable(value: Any) -> Any:
    """Return a value as SQLite keeps it: an instant without its zone."""
    return value.isoformat(" ", "microseconds")[:26] if isinstance(value, datetime) else value
