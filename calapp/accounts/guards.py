"""Who is asking: the host who is signed in, or whose API key the request carries, and what it may do."""

import logging
from contextlib import suppress
from datetime import timedelta

from flask import Flask, g, request
from flask import session as cookies
from flask_login import LoginManager, current_user
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from werkzeug.wrappers import Response

from calapp.accounts import service
from calapp.accounts.models import ApiKey, Scope, User, UserSession
from calapp.clock import now
from calapp.db import db, transaction
from calapp.errors import Busy, NotAllowed, SignedOut
from calapp.rest.access import KNOWN_KEY, Access, bearer_token

log = logging.getLogger(__name__)

MISSING = "Please send an API key: Authorization: Bearer cal_…"
UNKNOWN = "This API key does not exist or was revoked. You can create keys on the integrations page."
LONGEST_PATH = 4000  # characters to come back to after the sign-in; gunicorn takes 4,094 in a request's line
NOTED_EVERY = timedelta(minutes=1)  # so that a client in a hurry costs no writes


def api_key() -> ApiKey | None:
    """Return the key of this request, on a route whose access was checked; None where none is needed."""
    found: ApiKey | None = g.get("api_key")
    return found


def api_user_id() -> int | None:
    """Return the id of the host whose key this is, or None."""
    key = api_key()
    return key.user_id if key else None


def has_scope(scope: Scope) -> bool:
    """Return whether the key of this request has a scope."""
    key = api_key()
    return key is not None and scope in key.scopes


def _require(scope: Scope | None) -> None:
    """Find the key that is sent, and refuse one without this scope; None: a key is not needed."""
    g.api_key = None
    if request.headers.get("Authorization"):
        _identify()
    elif scope is not None:
        raise SignedOut(MISSING)
    if scope is not None and not has_scope(scope):
        raise NotAllowed(f"This API key is missing the scope {scope.replace('_', ' ')}.")


def _identify() -> None:
    """Find the key that is sent, and note its use; raise SignedOut for one that is not known."""
    key = _sent_key()
    g.pop("sent_key", None)  # who checks again, after a wait, looks whether it was revoked meanwhile
    if key is None:
        raise SignedOut(UNKNOWN)
    g.api_key = key
    if key.last_used_at is None or now() - key.last_used_at >= NOTED_EVERY:
        with suppress(Busy), transaction():
            key.last_used_at = now()


def _sent_key() -> ApiKey | None:
    """Return the key that this request carries; looked up once, for the limits and for the access."""
    if "sent_key" not in g:
        g.sent_key = service.find_api_key(db.session(), bearer_token())
    found: ApiKey | None = g.sent_key
    return found


READ = Access(lambda: _require(Scope.READ), key_needed=True, words="a key with read")
WRITE = Access(lambda: _require(Scope.WRITE), key_needed=True, words="a key with write")
OPEN = Access(lambda: _require(None), key_needed=False, words="no key")


login_manager = LoginManager()


def prepare_sign_in(app: Flask) -> None:
    """Let this app know who is signed in."""

    def is_known_key() -> bool:
        """Return whether this request carries a key of somebody; never raises, as flask-limiter asks."""
        try:
            return _sent_key() is not None
        except (SQLAlchemyError, ValueError):  # the database is away, which the access check then says
            db.session().rollback()
            return False

    login_manager.init_app(app)
    app.extensions[KNOWN_KEY] = is_known_key
    app.after_request(_note_seen)


@login_manager.user_loader  # type: ignore[untyped-decorator]  # Flask-Login has no types
def _load(login_id: str) -> User | None:
    found = service.find_session(db.session(), login_id)
    if found is None:
        return None
    user, row = found
    if row is not None and row.last_seen_at < now() - service.SEEN_EVERY:
        g.seen_session = row.id
    return user


def _note_seen(response: Response) -> Response:
    """Note, at most once an hour for each browser, that it is still in use; never at the page's cost."""
    session_id = g.pop("seen_session", None)
    if session_id is not None and response.status_code < 500:
        try:
            with transaction() as session:
                if (row := session.get(UserSession, session_id)) is not None:
                    row.last_seen_at = now()
        except (DBAPIError, Busy) as error:
            log.debug("The last use of a session could not be stored: %s", type(error).__name__)
    return response


@login_manager.unauthorized_handler  # type: ignore[untyped-decorator]
def _refuse() -> None:
    raise SignedOut


def current_host() -> User:
    """Return whose session this is, or on a route of the API whose key; raise SignedOut without one."""
    if "api_key" in g:  # the API has looked for a key, and no session counts there
        if g.api_key is None:
            raise SignedOut(MISSING)
        return db.session().get_one(User, g.api_key.user_id)
    if not current_user.is_authenticated:
        raise SignedOut
    user: User = current_user._get_current_object()  # noqa: SLF001 (the proxy offers nothing else)
    return user


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
    if not wanted or len(wanted) > LONGEST_PATH or not wanted.isprintable() or "\\" in wanted:
        return otherwise
    if not wanted.startswith("/") or wanted.startswith("//"):
        return otherwise
    return wanted
