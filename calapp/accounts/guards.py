"""Who is signed in, and where they may go after signing in."""

import logging

from flask import Flask, g
from flask import session as cookies
from flask_login import LoginManager, current_user
from sqlalchemy.exc import DBAPIError
from werkzeug.wrappers import Response

from calapp.accounts import sessions
from calapp.accounts.models import User
from calapp.clock import now
from calapp.db import db, transaction
from calapp.errors import Busy, SignedOut

login_manager = LoginManager()
log = logging.getLogger(__name__)


def prepare_sign_in(app: Flask) -> None:
    """Let this app know who is signed in."""
    login_manager.init_app(app)
    app.after_request(_note_seen)


@login_manager.user_loader
def _load(login_id: str) -> User | None:
    found = sessions.find(db.session(), login_id)
    if found is None:
        return None
    user, row = found
    if row is not None and row.last_seen_at < now() - sessions.SEEN_EVERY:
        g.seen_session = row.id
    return user


def _note_seen(response: Response) -> Response:
    """Note, at most once an hour for each browser, that it is still in use; never at the page's cost."""
    session_id = g.pop("seen_session", None)
    if session_id is not None and response.status_code < 500:
        try:
            with transaction() as session:
                sessions.note_seen(session, session_id)
        except (DBAPIError, Busy) as error:
            log.debug("A session's last use is not noted: %s", type(error).__name__)
    return response


@login_manager.unauthorized_handler
def _refuse() -> None:
    raise SignedOut


def current_host() -> User:
    """Return the user who is signed in; raise SignedOut."""
    if not current_user.is_authenticated:
        raise SignedOut
    return current_user._get_current_object()  # noqa: SLF001 (the proxy offers nothing else)


def login_id() -> str:
    """Return what the cookie of this request says of the session."""
    return str(cookies.get("_user_id", ""))


def require_host() -> None:
    """Let nobody pass who is not signed in: `blueprint.before_request(require_host)`."""
    current_host()


def local_path(wanted: str | None, otherwise: str) -> str:
    """Return `wanted` when it is a path on this server, else `otherwise`.

    Browsers read a backslash as a slash and leave out control characters, so either is refused.
    """
    if not wanted or not wanted.isprintable() or "\\" in wanted:
        return otherwise
    if not wanted.startswith("/") or wanted.startswith("//"):
        return otherwise
    return wanted
