"""Who is signed in, and where they may go after signing in."""

from flask import Flask
from flask_login import LoginManager, current_user

from calapp.accounts import service
from calapp.accounts.models import User
from calapp.db import db
from calapp.errors import SignedOut

login_manager = LoginManager()


def prepare_sign_in(app: Flask) -> None:
    """Let this app know who is signed in."""
    login_manager.init_app(app)


@login_manager.user_loader
def _load(login_id: str) -> User | None:
    return service.find_user_by_id(db.session(), login_id)


@login_manager.unauthorized_handler
def _refuse() -> None:
    raise SignedOut


def current_host() -> User:
    """Return the user who is signed in; raise SignedOut."""
    if not current_user.is_authenticated:
        raise SignedOut
    return current_user._get_current_object()  # noqa: SLF001 (the proxy offers nothing else)


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
