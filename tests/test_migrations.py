"""The migrations make exactly the tables that the models describe, and the version before can use them."""

from flask import Flask
from flask_migrate import check

from calapp.db import db
from tests.conftest import on_both_databases
from tests.upgrade import first_release


def test_migrations_leave_nothing_to_the_models(app: Flask) -> None:
    assert check() is None


@on_both_databases
def test_the_first_release_can_write_and_read_all_of_its_rows(app: Flask) -> None:
    with db.engine.begin() as connection:
        first_release.insert_rows(connection)
        for table in first_release.old_tables(connection):
            rows = first_release.read_rows(connection, table)
            assert rows == first_release.old_rows(table), table.name
