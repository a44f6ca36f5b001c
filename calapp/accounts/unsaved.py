"""What was typed into a form whose session had ended, kept until its host has signed in again.

The form's CSRF token proves on whose page it was: a form of another site, or of another host's page, is not
kept. It is encrypted, without the secrets in it, and only this browser's cookie finds it. Nothing is sent
before the host has seen it and pressed a button.
"""

import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from flask import Flask, current_app, redirect, request, url_for
from flask import session as cookies
from flask_login import current_user
from flask_wtf.csrf import CSRFError
from itsdangerous import BadData, URLSafeTimedSerializer
from markupsafe import escape
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from calapp import limits
from calapp.accounts.guards import local_path
from calapp.accounts.models import UnsavedForm
from calapp.clock import now
from calapp.config import settings
from calapp.db import transaction
from calapp.encryption import hashed, open_sealed, seal
from calapp.error_pages import app_error, http_error, is_api, page_of_request
from calapp.errors import Busy, KeyDoesNotFit, SignedOut
from calapp.htmx import is_htmx
from calapp.incoming import client_network

LIFETIME = timedelta(minutes=10)
SECOND_CLICK = timedelta(seconds=10)  # a browser drops the response to the first click of two
COOKIE = "unsaved"  # name within the session's cookie
CSRF = "csrf_token"  # name of the field, and within the session's cookie
OWNED = re.compile(r"(\d{1,18})\.[0-9a-f]{40}", re.ASCII)
SECRET = re.compile("password|secret|header_value|code")  # names of fields that are not kept


@dataclass(frozen=True)
class Typed:
    """A kept form: where it was to go, the page it was on, and its fields; None for a secret."""

    path: str
    page: str
    fields: list[tuple[str, str | None]]


def prepare_unsaved(app: Flask) -> None:
    """Have this app keep what is sent by a page whose session has ended; scripts keep it in the page."""

    @app.errorhandler(SignedOut)
    def signed_out(error: SignedOut) -> Response:
        return _keep() or app_error(error)

    @app.errorhandler(CSRFError)
    def stale(error: CSRFError) -> Response:
        return _keep() or http_error(error)


def own_pages(user_id: int) -> None:
    """Have the CSRF tokens of a session that has just begun say whose pages they are on."""
    cookies[CSRF] = f"{user_id}.{secrets.token_hex(20)}"


def page_owner() -> int | None:
    """Return on whose page the form of this request was, as its CSRF token proves; None for nobody's."""
    keys = [*settings().secret_key_fallbacks[::-1], settings().secret_key]
    signer = URLSafeTimedSerializer(
        keys, salt=current_app.config.get("WTF_CSRF_SECRET_KEY_SALT", "wtf-csrf-token")
    )
    try:
        owned = OWNED.fullmatch(signer.loads(request.form.get(CSRF, "")))
    except (BadData, TypeError):
        return None
    return int(owned[1]) if owned else None


def _keep() -> Response | None:
    """Keep the form of this request and lead to the sign-in; None where it is not to be kept."""
    plain = request.method == "POST" and not (is_api() or is_htmx() or request.files)
    only_secrets = request.blueprint == "accounts" and request.endpoint != "accounts.settings"
    owner = page_owner() if plain and not only_secrets else None
    signed_in = current_user.id if current_user.is_authenticated else None
    if owner is None or signed_in not in {None, owner}:
        return None
    fields = _fields()
    size = sum(len(escape(name + (value or "")).encode()) for name, value in fields)
    if not any(value != "" for _, value in fields) or size > limits.TYPED_BYTES:
        return None
    page = page_of_request()
    form = {"path": request.full_path.rstrip("?"), "page": page, "fields": fields}
    token = secrets.token_urlsafe(32)
    try:
        with transaction() as session:
            kept = select(func.count(UnsavedForm.id)).where(UnsavedForm.expires_at > now())
            of_user = session.scalar(kept.where(UnsavedForm.user_id == owner)) or 0
            of_address = session.scalar(kept.where(UnsavedForm.address_key == _address_key())) or 0
            if max(of_user, of_address) >= limits.UNSAVED_FORMS:
                return None
            row = UnsavedForm(user_id=owner, token_hash=hashed(token), address_key=_address_key())
            row.sealed_form, row.expires_at = seal(json.dumps(form)), now() + LIFETIME
            session.add(row)
    except (SQLAlchemyError, Busy):
        return None  # what is wrong is said by the response
    cookies[COOKIE] = token
    shown = url_for("accounts.unsaved_form")
    return redirect(shown if signed_in else f"{url_for('accounts.login')}?{urlencode({'next': page})}", 303)


def _fields() -> list[tuple[str, str | None]]:
    pairs = [(name, value) for name, value in request.form.items(multi=True) if name != CSRF]
    return [(name, None if value and SECRET.search(name) else value) for name, value in pairs]


def _address_key() -> str:
    key = settings().secret_key.encode()
    return hmac.new(key, f"unsaved {client_network()}".encode(), hashlib.sha256).hexdigest()[:32]


def hand_over(session: Session, token: str | None, user_id: int) -> str | None:
    """Return the token of a kept form if it is of who has just signed in; else it is forgotten."""
    row = _find(session, token)
    if row is not None and row.user_id == user_id:
        return token
    if row is not None:
        session.delete(row)
    return None


def _find(session: Session, token: str | None) -> UnsavedForm | None:
    if not token:
        return None
    query = select(UnsavedForm).where(UnsavedForm.token_hash == hashed(token), UnsavedForm.expires_at > now())
    return session.scalar(query)


def is_kept(session: Session) -> bool:
    """Return whether this browser has something that was not saved."""
    return _find(session, cookies.get(COOKIE)) is not None


def read(session: Session, user_id: int) -> Typed | None:
    """Return what this browser has kept for a user and has not sent yet; None when there is nothing."""
    row = _find(session, cookies.get(COOKIE))
    if row is None or row.user_id != user_id or row.sent_at is not None:
        return None
    return _opened(row)


def _opened(row: UnsavedForm) -> Typed | None:
    try:
        form = json.loads(open_sealed(row.sealed_form))
    except KeyDoesNotFit:
        return None
    return Typed(form["path"], form["page"], [(name, value) for name, value in form["fields"]])


def take(session: Session, user_id: int) -> str | None:
    """Return where the kept form is to be sent, once, or again for a second click; None when it was sent."""
    row = _find(session, cookies.get(COOKIE))
    form = _opened(row) if row is not None and row.user_id == user_id else None
    if row is None or form is None:
        return None
    if row.sent_at is None:
        row.sent_at, row.expires_at = now(), now() + SECOND_CLICK
    return local_path(form.path, "") or None


def discard(session: Session, user_id: int) -> None:
    """Forget what this browser has kept for a user."""
    row = _find(session, cookies.pop(COOKIE, None))
    if row is not None and row.user_id == user_id:
        session.delete(row)
