"""The commands `flask erase-visitor EMAIL` and `flask export-user NAME`."""

import sys
from typing import TextIO

import click
from flask.cli import with_appcontext
from sqlalchemy import text

from calapp.accounts.service import find_user
from calapp.db import db, is_sqlite, transaction
from calapp.privacy import service
from calapp.privacy.export import export


@click.command("erase-visitor")
@click.argument("email")
@click.option("--dry-run", is_flag=True, help="Say what would be erased, and change nothing.")
@with_appcontext
def erase_visitor(email: str, dry_run: bool) -> None:  # noqa: FBT001 (click gives it by name)
    """Erase a visitor or guest from bookings, events, deliveries, attempts and mails."""
    with transaction() as session:
        counts = service.erase_visitor(session, email)
        if dry_run:
            session.rollback()
    if not counts:
        click.echo(f"There is nothing of {email}.")
        return
    if not dry_run:
        _sweep_pages()
    listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    click.echo(f"{'Would erase' if dry_run else 'Erased'} {email}: {listed}.")


def _sweep_pages() -> None:
    """Have the database let go of the pages in which former values still stand."""
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM"))
        if is_sqlite(db.session()):
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))


@click.command("export-user")
@click.argument("name")
@click.option(
    "--to", type=click.File("w", encoding="utf-8"), default="-", help="A file. Default: the screen."
)
@with_appcontext
def export_user(name: str, to: TextIO) -> None:
    """Write everything of a user as JSON: bookings, event types, webhooks, events, deliveries, mails."""
    session = db.session()
    user = find_user(session, name)
    if user is None:
        sys.exit(f"There is no user {name}.")
    to.writelines(export(session, user))
