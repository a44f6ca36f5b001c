"""The encrypted columns: whether their keys are known, encrypting them again, clearing what no key opens."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Text, cast, func, or_, select, text, update
from sqlalchemy.orm import Session

from calapp.accounts.models import FORGOTTEN, LinkKey, UnsavedForm, User
from calapp.calendars.models import CalendarAccount, ExternalCalendar
from calapp.config import BadSetting
from calapp.db import database_now, db, is_sqlite
from calapp.deliveries.models import Notice
from calapp.encryption import MARK, NAMED, Keyring, hashed, is_sealed, key_names, keyring, open_sealed, seal
from calapp.errors import KeyDoesNotFit
from calapp.integrations.models import FORGOTTEN_SECRETS, PLAIN, InspectorRequest
from calapp.webhooks.models import Webhook


def sweep_pages() -> bool:
    """Have the database free the pages that still hold previous values; return whether it did.

    On SQLite others that use the file prevent it.
    """
    if not is_sqlite(db.session()):
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SET statement_timeout = 0"))  # a large table takes its time
            connection.execute(text("VACUUM (TRUNCATE false)"))  # which would wait for every reader
            connection.invalidate()
        return True
    db.session.rollback()
    raw = db.engine.raw_connection()  # SQLAlchemy begins transactions, in which there is no VACUUM
    try:
        raw.cursor().execute("VACUUM")
        return not raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.OperationalError:
        return False
    finally:
        raw.close()


TEXTS: dict[Any, tuple[str, ...]] = {
    User: ("sealed_calendar_token",),
    Webhook: ("sealed_secret", "sealed_old_secret"),
    ExternalCalendar: ("sealed_address", "sealed_credentials"),
    InspectorRequest: (),
    CalendarAccount: ("sealed_password",),
    LinkKey: ("sealed_secret",),
    UnsavedForm: ("sealed_form",),
}
LISTS: dict[Any, tuple[str, ...]] = {  # of [name, value]
    User: (),
    Webhook: ("sealed_headers",),
    ExternalCalendar: (),
    InspectorRequest: ("sealed_headers",),
    CalendarAccount: (),
    LinkKey: (),
    UnsavedForm: (),
}
WRONG_KEY = (
    "The secrets in the database were encrypted with another SECRET_KEY. Please set that one, or add it to "
    "SECRET_KEY_FALLBACKS. If it is lost, clear what cannot be read, and list the webhooks, with: "
    "flask forget-secrets"
)


def refuse_wrong_key(session: Session, keys: Keyring) -> None:
    """Raise BadSetting when the tables hold anything that these keys do not open."""
    if not _key_names(session) <= keys.names:
        raise BadSetting(WRONG_KEY)


def _key_names(session: Session) -> set[str]:
    """Return the names of the keys that the tables need, without opening a value."""
    names = set()
    for model, columns in TEXTS.items():
        for column in (getattr(model, name) for name in columns):
            beginning = func.substr(column, 1, NAMED + len(":gAAAA"))
            query = select(beginning).distinct().where(column.startswith(MARK, autoescape=True))
            names |= {name for found in session.scalars(query) for name in key_names(found)}
    for model, columns in LISTS.items():
        for column in (cast(getattr(model, name), Text) for name in columns):
            query = select(column).where(column.contains("enc1:"))
            for found in session.scalars(query, execution_options={"yield_per": 500}):
                names |= key_names(found)
    return names


def stale(session: Session) -> dict[Any, list[int]]:
    """Return by table the ids of the rows in which something is plain, or encrypted with a previous key."""
    return {model: [row.id for row in _rows(session, model) if _renewed(model, row)] for model in TEXTS}


def _rows(session: Session, model: Any, ids: Sequence[int] | None = None) -> Iterable[Any]:
    """Read rows as they are stored; those with these ids are locked, but for what others hold."""
    columns = [getattr(model, name) for name in (*TEXTS[model], *LISTS[model])]
    query = select(model.id, *columns)
    if ids is not None:
        return session.execute(query.where(model.id.in_(ids)).with_for_update(skip_locked=True)).all()
    filled = or_(*(cast(column, Text) != "[]" for column in columns))
    return session.execute(query.where(filled), execution_options={"yield_per": 500})


def encrypt(session: Session, model: Any, ids: Sequence[int]) -> int:
    """Encrypt rows with the current key; return how many changed; raise KeyDoesNotFit.

    Rows that others hold are left out: whoever asks for them again gets them then.
    """
    changed = 0
    for row in _rows(session, model, ids):
        if values := _renewed(model, row):
            if hasattr(model, "updated_at"):
                values["updated_at"] = model.updated_at  # the host has changed nothing
            session.execute(
                update(model).where(model.id == row.id).values(values),
                execution_options={"synchronize_session": False},
            )
            changed += 1
    return changed


def _renewed(model: Any, row: Any) -> dict[str, Any]:
    """Return what of a row is to be stored otherwise, by attribute."""
    values: dict[str, Any] = {}
    for name in TEXTS[model]:
        stored = getattr(row, name)
        if stored and not _current(stored):
            values[name] = seal(open_sealed(stored))
    for name in LISTS[model]:
        pairs = getattr(row, name)
        if not all(_current(value) or _may_be_plain(model, header) for header, value in pairs):
            values[name] = [
                [header, value if _may_be_plain(model, header) else seal(open_sealed(value))]
                for header, value in pairs
            ]
    if "sealed_calendar_token" in values:
        values["calendar_token_hash"] = hashed(open_sealed(row.sealed_calendar_token))
    return values


def _current(stored: str) -> bool:
    return stored.startswith((f"{MARK}{keyring().current}:", FORGOTTEN))


def _may_be_plain(model: Any, header: str) -> bool:
    return model is InspectorRequest and header.lower() in PLAIN


def forget_unreadable(session: Session) -> list[str]:
    """Clear what no key opens; return a line for each webhook and feed that lost something.

    The owner of a webhook is told on the integrations page. A feed goes on, by its hash.
    """
    lines = list(_forget_of_webhooks(session))
    for user in session.scalars(select(User).order_by(User.id)):
        if not _opens(user.sealed_calendar_token):
            user.sealed_calendar_token = f"{FORGOTTEN}{user.id}"
            name = user.username
            lines.append(f"Calendar feed of {name}: still works, but its address can no longer be shown")
    lines += _forget_of_hosts(session)
    for form in session.scalars(select(UnsavedForm)):
        if not _opens(form.sealed_form):
            session.delete(form)
    for request in session.scalars(select(InspectorRequest)):
        if not all(_opens(value) for _, value in request.sealed_headers):
            request.sealed_headers = [pair for pair in request.sealed_headers if _opens(pair[1])]
    session.flush()
    return lines


def _forget_of_hosts(session: Session) -> Iterator[str]:
    """Clear calendars that cannot be read, and remove link keys, so that there is room for others."""
    for account in session.scalars(select(CalendarAccount).order_by(CalendarAccount.id)):
        if not _opens(account.sealed_password):
            account.set_password("")  # which its server refuses, so that the host is told
            yield f"Calendar account {account.username} at {account.address}: password"
    for calendar in session.scalars(select(ExternalCalendar).order_by(ExternalCalendar.id)):
        if not (_opens(calendar.sealed_address) and _opens(calendar.sealed_credentials or "")):
            calendar.sealed_address, calendar.sealed_credentials = "", None  # its host is told by reading it
            yield f"Calendar {calendar.id} at {calendar.place}: its address has to be entered again"
    for key, username in session.execute(select(LinkKey, User.username).join(User)).all():
        if not _opens(key.sealed_secret):
            session.delete(key)
            yield f"Link key {key.hint}… of {username}: links signed with it are no longer verified"


def _forget_of_webhooks(session: Session) -> Iterator[str]:
    query = select(Webhook, User.username).join(User, User.id == Webhook.user_id).order_by(Webhook.id)
    for webhook, username in session.execute(query).all():
        secrets = (("secret", webhook.sealed_secret), ("previous secret", webhook.sealed_old_secret))
        lost = [word for word, stored in secrets if stored and not _opens(stored)]
        lost += [f"header {name}" for name, value in webhook.sealed_headers if not _opens(value)]
        if not lost:
            continue
        webhook.sealed_secret = _kept(webhook.sealed_secret)
        webhook.sealed_old_secret = _kept(webhook.sealed_old_secret)
        webhook.sealed_headers = [pair for pair in webhook.sealed_headers if _opens(pair[1])]
        if webhook.deleted_at is not None:
            continue
        words = " and ".join(lost)
        told = f"The server can no longer read the {words} of this webhook. Enter what is missing again."
        session.add(
            Notice(
                user_id=webhook.user_id,
                webhook_id=webhook.id,
                kind=FORGOTTEN_SECRETS,
                text=told,
                created_at=database_now(session),
            )
        )
        yield f"Webhook {webhook.id} of {username}, {webhook.subscriber_url}: {words}"


def _kept(stored: str | None) -> str | None:
    return stored if stored is not None and _opens(stored) else None


def _opens(stored: str) -> bool:
    if not is_sealed(stored) or stored.startswith(FORGOTTEN):
        return True
    try:
        open_sealed(stored)
    except KeyDoesNotFit:
        return False
    return True
