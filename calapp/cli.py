"""The commands: `flask worker`, `flask create-user NAME` and the others; all rows copied to PostgreSQL."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import click
from email_validator import EmailNotValidError, validate_email
from flask import Flask
from flask.cli import with_appcontext
from flask_migrate import upgrade
from sqlalchemy import Connection, Table, create_engine, func, insert, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from app import create_app
from calapp import demo, logs, mail, maintenance
from calapp.accounts.models import User
from calapp.accounts.service import create_api_key, create_user, find_user, set_password
from calapp.config import settings
from calapp.db import Model, connection_options, db, transaction
from calapp.deliveries import maintenance as delivery_maintenance
from calapp.errors import AppError, NotFound
from calapp.import_calcom import import_calcom
from calapp.listen import listen
from calapp.local_time import is_zone
from calapp.privacy import service as privacy
from calapp.privacy.commands import (
    delete_user,
    encrypt_secrets,
    erase_visitor,
    export_user,
    forget_secrets,
    needs_key,
    rotate_secret_key,
    suspend_user,
)
from calapp.processes import ROOT
from calapp.startup_checks import check_start
from calapp.text import line

SHORTEST_PASSWORD = 8  # characters
LONGEST_NAME = 100  # characters
STEP = 1000  # rows of one statement


def register_commands(app: Flask) -> None:
    """Add the commands to `flask`."""
    own = (
        worker,
        copy_database,
        listen,
        import_calcom,
        seed_demo,
        add_user,
        change_password,
        add_api_key,
        prune,
        send_test_email,
    )
    keys = (encrypt_secrets, rotate_secret_key, forget_secrets)
    for command in (*own, *keys, erase_visitor, export_user, suspend_user, delete_user):
        app.cli.add_command(command)


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turn what the app says no to into one sentence and exit code 1."""
    try:
        yield
    except AppError as error:
        sentences = [str(text) for text in error.details.values()] or [error.message]
        raise click.ClickException(" ".join(sentences)) from None


@click.command("worker")
def worker() -> None:
    """Deliver webhooks and do maintenance until stopped."""
    os.umask(0o077)  # what the worker writes is for its user alone
    logs.configure(settings(), "worker")
    check_start(settings())
    # In place of this process, so that nothing of what commands and pages need stays in memory.
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    os.execve(  # noqa: S606 (there is no shell to start)
        sys.executable, [sys.executable, "-m", "calapp.worker"], os.environ | {"PYTHONPATH": paths}
    )


@click.command("seed-demo")
@with_appcontext
@needs_key
def seed_demo() -> None:
    """Create the demo host: rick, with the password demo."""
    with told_plainly(), transaction() as session:
        demo.seed_demo(session)
    print(f"Created the demo host {demo.USERNAME} with the password {demo.PASSWORD}.")


def _good_email(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    try:
        return value and validate_email(value, check_deliverability=False).normalized
    except EmailNotValidError as error:
        raise click.BadParameter(str(error)) from None


def _good_zone(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_zone(value):
        raise click.BadParameter(f"Unknown time zone {value}. Use a name such as Europe/Berlin.")
    return value


def _good_name(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    name = None if value is None else line(value)
    if name is not None and not 1 <= len(name) <= LONGEST_NAME:
        raise click.BadParameter(f"Please use 1 to {LONGEST_NAME} characters.")
    return name


@click.command("create-user")
@click.argument("name")
@click.option("--password", help="Prompted for if omitted; generated and printed if left empty.")
@click.option("--full-name", callback=_good_name, help="Name shown to visitors. Default: NAME.")
@click.option("--email", callback=_good_email, help="Email address of the user. Default: NAME@localhost.")
@click.option(
    "--time-zone",
    callback=_good_zone,
    help="For example Europe/Berlin. Default: the time zone of this machine.",
)
@with_appcontext
@needs_key
def add_user(
    name: str, password: str | None, full_name: str | None, email: str | None, time_zone: str | None
) -> None:
    """Create a user."""
    password, made = _password(password)
    with told_plainly(), transaction() as session:
        user = create_user(
            session,
            username=name,
            password=password,
            name=full_name or name,
            email=email or f"{name}@localhost",
            time_zone=time_zone or demo.server_zone(),
        )
        print(f"Created the user {user.username}{_with_password(password, made=made)}.")


@click.command("set-password")
@click.argument("name")
@click.option("--password", help="Prompted for if omitted; generated and printed if left empty.")
@with_appcontext
@needs_key
def change_password(name: str, password: str | None) -> None:
    """Change the password of a user and sign out all their sessions."""
    password, made = _password(password)
    with told_plainly(), transaction() as session:
        user = _existing(find_user(session, name), name)
        set_password(session, user, password)
        print(f"Changed the password of {user.username}{_with_password(password, made=made)}.")


@click.command("create-api-key")
@click.argument("name")
@click.option(
    "--label", callback=_good_name, default="command line", help="Name of the key on the integrations page."
)
@with_appcontext
@needs_key
def add_api_key(name: str, label: str) -> None:
    """Create an API key for a user and print it; it is shown only once."""
    with told_plainly(), transaction() as session:
        user = _existing(find_user(session, name), name)
        _key, plain = create_api_key(session, user, label, ["read", "write"])
    print(plain)


@click.command("prune")
@click.option("--dry-run", is_flag=True, help="Only print what would be removed.")
@with_appcontext
@needs_key
def prune(dry_run: bool) -> None:  # noqa: FBT001 (click gives it by name)
    """Remove data that is older than the settings of retention keep it, as the worker does automatically."""
    session = db.session()
    attempts, bodies, deliveries = delivery_maintenance.count_removable(session)
    people = privacy.count_old(session)
    if not dry_run:
        maintenance.repeat(delivery_maintenance.prune)
        maintenance.repeat(delivery_maintenance.remove_finished)
        maintenance.repeat(privacy.forget_old, privacy.STEP)
    done = "Would remove" if dry_run else "Removed"
    counts = f"attempts {attempts}, bodies {bodies}, deliveries {deliveries}"
    print(f"{done} {counts}, the visitors of bookings {people}.")


@click.command("send-test-email")
@click.argument("address", callback=_good_email)
@with_appcontext
def send_test_email(address: str) -> None:
    """Send an email to an address by SMTP_URL, and print what the mail server said."""
    if not settings().smtp_url:
        raise click.ClickException("SMTP_URL is not set, so emails are only shown in the app.")
    if (error := mail.send_test(address)) is not None:
        raise click.ClickException(error)
    print(f"Sent a test email to {address}.")


def _existing(user: User | None, name: str) -> User:
    if user is None:
        raise NotFound(f"There is no user {name}.")
    return user


def _password(given: str | None) -> tuple[str, bool]:
    """Return the password and whether it was made: given, typed, or made when nobody types one."""
    if given is None and sys.stdin.isatty():
        question = "Password (leave empty to generate one)"
        given = click.prompt(
            question, default="", show_default=False, hide_input=True, confirmation_prompt=True
        )
    if not given:
        return secrets.token_urlsafe(12), True
    if len(given) < SHORTEST_PASSWORD:
        raise click.ClickException(f"A password must have at least {SHORTEST_PASSWORD} characters.")
    return given, False


def _with_password(password: str, *, made: bool) -> str:
    return f" with the password {password}" if made else ""


class CannotCopy(click.ClickException):
    """Nothing was copied; the message says why."""


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
        _prepare(target)
        carried = _carried(target)
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        raise CannotCopy(f"Nothing was copied: {said}") from None
    click.echo("Copied " + ", ".join(f"{name} {number}" for name, number in carried.items()) + ".")
    click.echo("Now set DATABASE_URL to the new database for all processes, and start them.")


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


def _prepare(target: str) -> None:
    """Make the tables; raise CannotCopy when any of them has rows already."""
    chosen = settings()
    try:
        with create_app(replace(chosen, database_url=target)).app_context():
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
        create_app(chosen)  # the settings of this process are those of the source again


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
