"""Batches: one statement for many rows, which costs a fraction of what a statement for each row costs.

They are given to the driver as they stand, without what SQLAlchemy does for each statement and each value.
"""

import json
import re
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from calapp.db import is_sqlite
from calapp.statements import Plain, for_psycopg, written

AMONG_SQLITE = "IN (SELECT value FROM json_each(:ids))"
AMONG_POSTGRESQL = "= ANY(CAST(:ids AS integer[]))"
COLUMN = re.compile(r"\br\.(\w+)")


class ByIds:
    """A statement for the rows whose id is one of some: `WHERE id {among}`.

    Its text is always the same, so the database need not read it anew, as with `IN (?, ?, …)`. `lock` is how
    PostgreSQL locks the rows; SQLite has one writer.
    """

    def __init__(self, statement: str, lock: str = "") -> None:
        sqlite, postgresql = (statement.format(among=among) for among in (AMONG_SQLITE, AMONG_POSTGRESQL))
        self.statement = Plain(sqlite, f"{postgresql} {lock}")

    def run(self, session: Session, ids: Collection[int], **values: Any) -> Any:
        """Execute it for these ids and return the result."""
        among = list(ids)
        return self.statement.run(session, ids=json.dumps(among) if is_sqlite(session) else among, **values)


class ByRows:
    """A statement for rows that are given: they stand `{from_rows}`, and `r.name` is a column of theirs.

    It takes PostgreSQL's types of the columns, whose names and values `{columns}` and `{values}` stand for.
    PostgreSQL takes all rows as one value, SQLite executes it for each. Instants are given as `writer` writes
    them.
    """

    def __init__(self, statement: str, **columns: str) -> None:
        self.names = tuple(columns)
        places = {name: f"?{place}" for place, name in enumerate(columns, 1)}
        given = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        parts = {"columns": ", ".join(columns), "values": ", ".join(f"r.{name}" for name in columns)}
        rows = f"FROM json_to_recordset(CAST(:rows AS json)) AS r({given})"
        self.sqlite = COLUMN.sub(lambda match: places[match[1]], statement.format(from_rows="", **parts))
        self.postgresql = for_psycopg(statement.format(from_rows=rows, **parts))

    def run(self, session: Session, rows: Sequence[tuple[Any, ...]]) -> int:
        """Execute it for these rows, with values in the order of the columns; return how many it changed."""
        if is_sqlite(session):
            return session.connection().exec_driver_sql(self.sqlite, list(rows)).rowcount
        given = json.dumps([dict(zip(self.names, row, strict=True)) for row in rows], ensure_ascii=False)
        return session.connection().exec_driver_sql(self.postgresql, {"rows": given}).rowcount


def writer(session: Session) -> Callable[[datetime], str]:
    """Return how instants are written for the rows of a statement."""
    return partial(written, sqlite=is_sqlite(session))
