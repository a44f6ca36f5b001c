"""The commands `flask erase-visitor EMAIL` and `flask export-user NAME`."""

import os
import re
import sys
from typing import TextIO

import click
from flask.cli import with_appcontext

from calapp.accounts.service import find_user
from calapp.db import db, transaction
from calapp.privacy import service
from calapp.privacy.export import count, export
from calapp.privacy.key_commands import needs_key
from calapp.privacy.sweep import sweep_pages

BUSY = (
    "The rows are erased. The file still has freed pages in which they stood, since others use it just now; "
    "run the command again when the other processes are stopped."
)


@click.command("erase-visitor")
@click.argument("email")
@click.option("--dry-run", is_flag=True, help="Say what would be erased, and change nothing.")
@with_appcontext
@needs_key
def erase_visitor(email: str, dry_run: bool) -> None:  # noqa: FBT001 (click gives it by name)
    """Erase a visitor or guest from bookings, events, deliveries, attempts and mails."""
    email = email.strip()
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", email):
        raise click.BadParameter("Please give the visitor's e-mail address.")
    with transaction() as session:
        counts = service.erase_visitor(session, email)
        hosts = service.is_host(session, email)
        if dry_run:
            session.rollback()
    listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    told = (
        f"{'Would erase' if dry_run else 'Erased'} {email}: {listed}." if counts else f"Nothing of {email}."
    )
    click.echo(told)
    if hosts:
        click.echo("A host has this address; the account stays, and what names it as the host's.")
    if not dry_run and not sweep_pages():
        click.echo(BUSY)


@click.command("export-user")
@click.argument("name")
@click.option(
    "--to", type=click.File("w", encoding="utf-8"), default="-", help="A file. Default: the screen."
)
@click.option("--dry-run", is_flag=True, help="Say how many rows it would write, and write none.")
@with_appcontext
@needs_key
def export_user(name: str, to: TextIO, dry_run: bool) -> None:  # noqa: FBT001 (click gives it by name)
    """Write everything of a user as JSON: bookings, event types, webhooks, events, deliveries, mails."""
    os.umask(0o077)  # the file, which is made with the first line, is for its owner alone
    session = db.session()
    user = find_user(session, name)
    if user is None:
        sys.exit(f"There is no user {name}.")
    if dry_run:
        listed = ", ".join(f"{table} {number}" for table, number in count(session, user).items())
        click.echo(f"Would write of {user.username}: {listed}.")
        return
    to.writelines(export(session, user))
