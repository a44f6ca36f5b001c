"""The key that an API request carries, its host, and what it may do."""

from contextlib import suppress
from datetime import timedelta

from flask import g, request

from calapp.accounts import service
from calapp.accounts.models import ApiKey, Scope, User
from calapp.clock import now
from calapp.db import db, transaction
from calapp.errors import Busy, NotAllowed, SignedOut
from calapp.rest.routes import Access, bearer_token

MISSING = "Please send an API key: Authorization: Bearer cal_…"
UNKNOWN = "This API key is not known here, or was revoked. Keys are made on the integrations page."
NOTED_EVERY = timedelta(minutes=1)  # so that a client in a hurry costs no writes


def api_key() -> ApiKey | None:
    """Return the key of this request, on a route whose access was checked; None where none is needed."""
    found: ApiKey | None = g.get("api_key")
    return found


def api_host() -> User:
    """Return the host whose key this is; raise SignedOut without one."""
    key = api_key()
    if key is None:
        raise SignedOut(MISSING)
    return db.session().get_one(User, key.user_id)


def api_user_id() -> int | None:
    """Return the id of the host whose key this is, or None."""
    key = api_key()
    return key.user_id if key else None


def has_scope(scope: Scope) -> bool:
    """Say whether the key of this request has a scope."""
    key = api_key()
    return key is not None and scope in key.scopes


def _require(scope: Scope) -> None:
    if not request.headers.get("Authorization"):
        raise SignedOut(MISSING)
    _identify()
    if not has_scope(scope):
        raise NotAllowed(f"This API key may not do this: it lacks the scope {scope.replace('_', ' ')}.")


def _identify() -> None:
    """Find the key that is sent, and note its use; raise SignedOut for one that is not known."""
    key = service.find_api_key(db.session(), bearer_token())
    if key is None:
        raise SignedOut(UNKNOWN)
    g.api_key = key
    if key.last_used_at is None or now() - key.last_used_at >= NOTED_EVERY:
        with suppress(Busy), transaction():
            key.last_used_at = now()


def _identify_if_sent() -> None:
    if request.headers.get("Authorization"):
        _identify()


READ = Access(lambda: _require(Scope.READ), key_needed=True, words="a key with read")
WRITE = Access(lambda: _require(Scope.WRITE), key_needed=True, words="a key with write")
OPEN = Access(_identify_if_sent, key_needed=False, words="no key")
