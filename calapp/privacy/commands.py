"""The commands about keys (encrypt, rotate, forget) and about people (erase-visitor, export-user)."""

import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import ParamSpec, TextIO, TypeVar

import click
from flask.cli import with_appcontext
from sqlalchemy.exc import SQLAlchemyError

from calapp import config
from calapp.accounts.models import Removal
from calapp.accounts.service import close_account, find_user, reopen_account
from calapp.config import settings
from calapp.db import db, transaction
from calapp.encryption import keyring
from calapp.errors import Conflict, KeyDoesNotFit
from calapp.privacy import removal, sealed, service
from calapp.privacy.sealed import sweep_pages

DELETING = (
    "The account {name} is closed. Everything in it is removed once its last emails and deliveries are sent, "
    "within 24 hours while a worker is running."
)
STEP = 50  # rows of one transaction, so that nobody waits long for it
PATIENCE = 30.0  # seconds for rows that others hold
BUSY = (
    "The file still has freed pages that held the previous values, since others use it; run "
    "flask encrypt-secrets --sweep when the other processes are stopped."
)
P = ParamSpec("P")
R = TypeVar("R")


def needs_key(call: Callable[P, R]) -> Callable[P, R]:
    """Have a command stop, with a sentence, when SECRET_KEY does not fit the database."""

    @wraps(call)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            sealed.refuse_wrong_key(db.session(), keyring())
        except SQLAlchemyError:
            db.session.rollback()  # no database or no tables: for the command to say
        return call(*args, **kwargs)

    return checked


def encrypt_all() -> int:
    """Encrypt with the current key whatever is not, in short transactions; return how many rows changed."""
    changed, until = 0, time.monotonic() + PATIENCE
    try:
        while rows := [(model, ids) for model, ids in sealed.stale(db.session()).items() if ids]:
            for model, ids in rows:
                for at in range(0, len(ids), STEP):
                    with transaction() as session:
                        changed += sealed.encrypt(session, model, ids[at : at + STEP])
            if time.monotonic() > until:
                raise click.ClickException("Some rows were locked; please run the command again.")
    except KeyDoesNotFit:
        raise click.ClickException(sealed.WRONG_KEY) from None
    return changed


def _encrypt_and_sweep(*, always_sweep: bool = False) -> None:
    changed = encrypt_all()
    click.echo(f"Encrypted {changed} rows with the current SECRET_KEY." if changed else "Nothing to encrypt.")
    if (changed or always_sweep) and not sweep_pages():
        click.echo(BUSY)


@click.command("encrypt-secrets")
@click.option("--sweep", is_flag=True, help="Sweep freed pages even if nothing had to be encrypted.")
@with_appcontext
@needs_key
def encrypt_secrets(sweep: bool) -> None:  # noqa: FBT001 (click gives it by name)
    """Encrypt secrets written by a previous version, once none of its processes is running."""
    _encrypt_and_sweep(always_sweep=sweep)


@click.command("rotate-secret-key")
@with_appcontext
@needs_key
def rotate_secret_key() -> None:
    """Encrypt all secrets with the current SECRET_KEY; a key in the data folder is replaced first."""
    kept, folder = not os.environ.get("SECRET_KEY"), settings().data_dir
    if kept:
        config.make_secret_key(folder)
        current, *former = (*config.kept_keys(folder), *settings().secret_key_fallbacks)
        config.use(replace(settings(), secret_key=current, secret_key_fallbacks=tuple(former)))
        click.echo(f"Created a new key in {folder}; the previous one is in secret_key_fallbacks there.")
    _encrypt_and_sweep()
    if kept:
        click.echo("Restart web servers and workers, so that they sign and encrypt with the new key.")
        return
    click.echo(
        "Keep the previous keys in SECRET_KEY_FALLBACKS for as long as their sessions should stay valid."
    )


@click.command("forget-secrets")
@click.option("--dry-run", is_flag=True, help="Only print what would be cleared.")
@with_appcontext
def forget_secrets(dry_run: bool) -> None:  # noqa: FBT001 (click gives it by name)
    """Clear secrets and header values that no known SECRET_KEY can decrypt, and list their webhooks."""
    with transaction() as session:
        lines = sealed.forget_unreadable(session)
        if dry_run:
            session.rollback()
    for line in lines:
        click.echo(line)
    if not lines:
        click.echo("Every secret can be read; nothing was cleared.")
    elif dry_run:
        click.echo("Nothing was changed. Run again without --dry-run to clear these.")
    else:
        click.echo("Cleared. The integrations page asks hosts to enter them again.")


STILL_BUSY = (
    "The rows are erased. The file still has freed pages that held them, since others use it; "
    "run the command again when the other processes are stopped."
)


@click.command("erase-visitor")
@click.argument("email")
@click.option("--dry-run", is_flag=True, help="Only print what would be erased.")
@with_appcontext
@needs_key
def erase_visitor(email: str, dry_run: bool) -> None:  # noqa: FBT001 (click gives it by name)
    """Erase a visitor or guest from bookings, events, deliveries, attempts and emails."""
    email = email.strip()
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", email):
        raise click.BadParameter("Please enter the visitor's email address.")
    with transaction() as session:
        counts = service.erase_visitor(session, email)
        hosts = service.is_host(session, email)
        if dry_run:
            session.rollback()
    listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    told = (
        f"{'Would erase' if dry_run else 'Erased'} {email}: {listed}."
        if counts
        else f"Nothing found for {email}."
    )
    click.echo(told)
    if hosts:
        click.echo("A host has this address. The account, and everything that names it as the host, is kept.")
    if not dry_run and not sweep_pages():
        click.echo(STILL_BUSY)


@click.command("export-user")
@click.argument("name")
@click.option(
    "--to",
    type=click.File("w", encoding="utf-8"),
    default="-",
    help="File to write to. Default: standard output.",
)
@click.option("--dry-run", is_flag=True, help="Only print how many rows would be written.")
@with_appcontext
@needs_key
def export_user(name: str, to: TextIO, dry_run: bool) -> None:  # noqa: FBT001 (click gives it by name)
    """Export all data of a user as JSON: bookings, event types, webhooks, events, deliveries, emails."""
    os.umask(0o077)  # the file, which is made with the first line, is for its owner alone
    session = db.session()
    user = find_user(session, name)
    if user is None:
        sys.exit(f"There is no user {name}.")
    if dry_run:
        listed = ", ".join(
            f"{table} {number}" for table, number in service.count_exported(session, user).items()
        )
        click.echo(f"Would export for {user.username}: {listed}.")
        return
    to.writelines(service.export(session, user))


@click.command("suspend-user")
@click.argument("name")
@click.option("--undo", is_flag=True, help="Let the user sign in and be booked again.")
@with_appcontext
@needs_key
def suspend_user(name: str, undo: bool) -> None:  # noqa: FBT001 (click gives it by name)
    """Let a user no longer sign in, be booked or use API keys, and switch their webhooks off."""
    with transaction() as session:
        if (user := find_user(session, name)) is None:
            raise click.ClickException(f"There is no user {name}.")
        if not undo:
            count = removal.suspend(session, user)
            click.echo(f"Suspended {user.username}; {count} webhooks were switched off.")
            return
        try:
            reopen_account(user)
        except Conflict as error:
            raise click.ClickException(error.message) from None
        click.echo(f"{user.username} can sign in again. Their webhooks stay off until they switch them on.")


@click.command("delete-user")
@click.argument("name")
@click.option("--keep-bookings", is_flag=True, help="Do not cancel upcoming bookings; visitors are not told.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_appcontext
@needs_key
def delete_user(name: str, keep_bookings: bool, yes: bool) -> None:  # noqa: FBT001 (click gives them by name)
    """Delete a user and everything in the account; upcoming bookings are cancelled, and visitors emailed."""
    if find_user(db.session(), name) is None:
        raise click.ClickException(f"There is no user {name}.")
    if not yes:
        click.confirm(f"Delete {name} and everything in the account?", abort=True)
    with transaction() as session:
        if (user := find_user(session, name)) is not None:
            close_account(session, user, Removal.KEEP if keep_bookings else Removal.CANCEL)
            click.echo(DELETING.format(name=user.username))
