"""From SQLite to PostgreSQL: every table, every value, and numbers that go on after the last."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Date,
    Engine,
    Float,
    Integer,
    Table,
    create_engine,
    insert,
    select,
)
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.bookings.models import Booking
from calapp.config import Settings
from calapp.db import Model, UTCDateTime, transaction
from tests.postgres import new_database

ROWS = 3


@pytest.fixture
def target(postgresql: str) -> Iterator[str]:
    """The address of a PostgreSQL database with nothing in it, not even tables."""
    with new_database(postgresql) as address:
        yield address


def value(column: Column[object], number: int) -> object:
    """Return a value of a column's kind, another in each row; a foreign key leads to a row."""
    if column.foreign_keys or (column.primary_key and isinstance(column.type, Integer)):
        return number - 1 if column.name == "rescheduled_from_id" and number > 1 else number
    if isinstance(column.type, UTCDateTime):
        return datetime(2027, 1, number, 12, 30, 15, 123456, tzinfo=UTC)
    kinds = {
        Boolean: number % 2 == 0,
        Integer: 100 + number,
        Float: 0.5 + number,
        Date: date(2027, 1, number),
    }
    kinds[JSON] = [{"ä": [number, "“quoted”", None]}]
    for kind, made in kinds.items():
        if isinstance(column.type, kind):
            return made
    return f"ü'{number}\n{column.name}"[: column.type.length or 100]


@pytest.fixture
def filled(app: Flask) -> None:
    """Rows in every table; what must be one of a few words is."""
    words = {"state": "waiting", "status": "accepted", "location_kind": "none", "off_reason": "host"}
    with transaction() as session:
        for table in Model.metadata.sorted_tables:
            for number in range(1, ROWS + 1):
                row = {column.key: value(column, number) for column in table.columns}
                row |= {name: word for name, word in words.items() if isinstance(row.get(name), str)}
                if table.name == "replay":
                    row["state"] = "running"
                if table.name == "weekly_hours":
                    row |= {"start_minute": 1, "end_minute": 2}
                if table.name == "booking" and number == 1:
                    row["rescheduled_from_id"] = None
                session.execute(insert(table).values({table.columns[key]: one for key, one in row.items()}))


def copied(app: Flask, target: str) -> Result:
    return app.test_cli_runner().invoke(args=["copy-database", "--to", target])


def rows(engine: Engine, table: Table) -> str:
    with engine.connect() as connection:
        found = connection.execute(select(table).order_by(*table.primary_key.columns)).all()
    return json.dumps([list(row) for row in found], default=str)


@pytest.mark.usefixtures("filled")
def test_every_value_of_every_table_is_carried(app: Flask, settings: Settings, target: str) -> None:
    result = copied(app, target)
    assert result.exit_code == 0, result.output
    here, there = create_engine(settings.database_url), create_engine(target)
    for table in Model.metadata.sorted_tables:
        assert rows(there, table) == rows(here, table)
        assert f"{table.name} {ROWS}" in result.output
    here.dispose()
    there.dispose()


@pytest.mark.usefixtures("filled")
def test_new_rows_get_numbers_after_the_last(app: Flask, target: str) -> None:
    copied(app, target)
    engine = create_engine(target)
    with Session(engine) as session:
        former = session.get_one(User, ROWS)
        values = {"username": "new", "name": "N", "email": "n@x", "password_hash": "x", "time_zone": "UTC"}
        new = User(**values, session_token="t", calendar_token="c")
        session.add(new)
        session.flush()
        assert new.id == former.id + 1
    engine.dispose()


@pytest.mark.usefixtures("filled")
def test_a_target_with_rows_is_refused(app: Flask, target: str) -> None:
    copied(app, target)
    again = copied(app, target)
    assert (again.exit_code, "The target is not empty: its table" in again.output) == (1, True)


def test_an_empty_database_is_carried_too(app: Flask, target: str, session: Session) -> None:
    assert "booking 0" in copied(app, target).output
    assert session.scalars(select(Booking)).all() == []


def test_a_value_that_the_target_cannot_hold_leaves_it_empty(
    app: Flask, target: str, rick: User, change: Callable[..., None]
) -> None:
    change(rick, name="x" * 200)
    result = copied(app, target)
    assert "Nothing was copied: value too long" in result.output
    change(rick, name="Rick")
    assert copied(app, target).exit_code == 0


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("nonsense", "--to must be a URL"),
        ("sqlite:////tmp/other.sqlite3", "must begin with postgresql"),
        ("postgresql+psycopg://nobody@127.0.0.1:9/none", "Nothing was copied: connection"),
    ],
)
def test_a_target_that_cannot_be_is_named(app: Flask, to: str, said: str) -> None:
    result = copied(app, to)
    assert (result.exit_code, said in result.output, "Traceback" in result.output) == (1, True, False)
