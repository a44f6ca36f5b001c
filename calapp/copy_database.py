"""The command `flask copy-database`: everything from SQLite into an empty PostgreSQL database."""

from collections.abc import Callable
from dataclasses import replace

import click
from flask import Flask
from flask.cli import with_appcontext
from flask_migrate import upgrade
from sqlalchemy import Connection, Table, create_engine, func, insert, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from calapp.config import settings
from calapp.db import Model, connection_options, db, transaction
from calapp.privacy.commands import needs_key

STEP = 1000  # rows of one statement


class CannotCopy(click.ClickException):
    """Nothing was copied; the message says why."""


def copy_command(make_app: Callable[..., Flask]) -> click.Command:
    """Return the command `copy-database`, which makes an app of its own for the target."""

    @click.command("copy-database")
    @click.option(
        "--to",
        envvar="COPY_TO",
        required=True,
        help="postgresql+psycopg://user:password@host/name, or set COPY_TO.",
    )
    @with_appcontext
    @needs_key
    def copy_database(to: str) -> None:
        """Copy everything into an empty PostgreSQL database and print what was copied."""
        target = _target(to)
        try:
            _prepare(make_app, target)
            carried = _carried(target)
        except SQLAlchemyError as error:
            said = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
            raise CannotCopy(f"Nothing was copied: {said}") from None
        click.echo("Copied " + ", ".join(f"{name} {number}" for name, number in carried.items()) + ".")
        click.echo("Now set DATABASE_URL to the new database for all processes, and start them.")

    return copy_database


def _target(to: str) -> str:
    try:
        url = make_url(to)
    except ArgumentError:
        raise CannotCopy("--to must be a URL such as postgresql+psycopg://user@host/name.") from None
    if url.get_backend_name() != "postgresql":
        raise CannotCopy("--to must begin with postgresql+psycopg://.")
    if url == make_url(settings().database_url):
        raise CannotCopy("--to is the same database as DATABASE_URL, which is the source.")
    return to


def _prepare(make_app: Callable[..., Flask], target: str) -> None:
    """Make the tables; raise CannotCopy when any of them has rows already."""
    chosen = settings()
    try:
        with make_app(replace(chosen, database_url=target)).app_context():
            try:
                with db.engine.connect() as connection:
                    existing = inspect(connection).get_table_names()
                    for table in Model.metadata.sorted_tables:
                        count = select(func.count()).select_from(table)
                        if table.name in existing and connection.scalar(count):
                            raise CannotCopy(f"The target is not empty: its table {table.name} has rows.")
                upgrade()
            finally:
                db.engine.dispose()
    finally:
        make_app(chosen)  # the settings of this process are those of the source again


def _carried(target: str) -> dict[str, int]:
    """Copy table by table in one transaction of the target, while nothing can be written to the source."""
    limits = connection_options(replace(settings(), database_url=target))
    engine = create_engine(target, connect_args=limits)
    carried = {}
    try:
        with transaction() as session, engine.begin() as there:
            for table in Model.metadata.sorted_tables:
                carried[table.name] = _copy(session.connection(), there, table)
                _continue_numbers(there, table)
    finally:
        engine.dispose()
    return carried


def _copy(here: Connection, there: Connection, table: Table) -> int:
    """Copy a table's rows, the oldest first, since a row may refer to an earlier one; return how many."""
    number = 0
    ordered = select(table).order_by(*table.primary_key.columns)
    for rows in here.execution_options(yield_per=STEP).execute(ordered).partitions():
        there.execute(insert(table), [dict(row._mapping) for row in rows])  # noqa: SLF001 (its public name)
        number += len(rows)
    if there.scalar(select(func.count()).select_from(table)) != number:
        raise CannotCopy(f"Nothing was copied: the table {table.name} was not copied completely.")
    return number


def _continue_numbers(there: Connection, table: Table) -> None:
    """Let new rows get ids after those that were carried."""
    if table.autoincrement_column is None:
        return
    column = table.autoincrement_column.name
    name = f'"{table.name}"'
    there.execute(
        text(
            f"SELECT setval(pg_get_serial_sequence(:name, :column), "  # noqa: S608 (names of our own tables)
            f"(SELECT coalesce(max({column}), 1) FROM {name}), EXISTS (SELECT 1 FROM {name}))"
        ),
        {"name": name, "column": column},
    )
