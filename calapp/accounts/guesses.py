"""Guesses of passwords and codes: failures alone are counted, and nobody can lock a host out.

For a name and an address together ten failures a minute are let through. For the name, what others have
failed delays the next guess, by 1 s, 2 s, 4 s … 60 s. For an address, a hundred an hour are let through over
all names. A browser that has signed in before has its own count.
"""

import hashlib
import hmac
import logging
import secrets
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from flask import Flask, current_app, request
from itsdangerous import BadSignature, URLSafeSerializer
from limits.storage import MemoryStorage
from werkzeug.wrappers import Response

from calapp import limits
from calapp.accounts.models import User
from calapp.config import settings
from calapp.errors import Invalid, TooMany
from calapp.incoming import client_network, limiter

log = logging.getLogger(__name__)

COOKIE = "calapp_known"
AWAY = 5.0  # seconds for which Valkey is left alone after a failure
_away: WeakKeyDictionary[Flask, float] = WeakKeyDictionary()  # until when, in monotonic seconds
YEAR = 365 * 24 * 3600  # seconds
# Counts of this process while Valkey is away, for each app that is made.
_alone: WeakKeyDictionary[Flask, MemoryStorage] = WeakKeyDictionary()


@contextmanager
def guess(
    what: str, name: str, *, field: str | None = None, known: str = "", host: int | None = None
) -> Iterator[None]:
    """Let one guess of a secret be made; an Invalid that leaves the block (about `field`) is a failure.

    `known` is what known_browser() returned. Raises TooMany; a guess that is not let through is not counted.
    """
    if not limiter.enabled:
        yield
        return
    plain = unicodedata.normalize("NFKC", name).strip().casefold()
    counted = _Count(f"{what}:{hashlib.sha256(plain.encode('utf-8', 'replace')).hexdigest()[:32]}", known)
    if seconds := counted.begin():
        log.warning("limit reached", extra={"said": {"limit": f"failures of {what}", "host": host}})
        wait = (
            f"{seconds} second{'s' if seconds > 1 else ''}"
            if seconds < 100
            else f"{-(-seconds // 60)} minutes"
        )
        raise TooMany(f"Too many failed attempts. Please try again in {wait}.", retry_after=seconds)
    try:
        yield
    except Invalid as error:
        if field is None or field in error.details:
            counted.fail()
        else:
            counted.undo()
        raise
    except BaseException:
        counted.undo()
        raise
    counted.undo()


class _Count:
    """The counters of one guess; each is raised before the guess, so that many at once do not get past."""

    def __init__(self, key: str, known: str) -> None:
        hour = int(time.time() // 3600)
        self.known = known
        self.here = f"guess:{key}:{known or client_network()}"
        self.ours, self.all = f"{self.here}:{hour}", f"guess:{key}:{hour}"
        self.wait = f"guess:{key}:wait"
        self.address = f"guess:address:{client_network()}"  # over all names, which cost a program nothing
        self.claimed = False

    def begin(self) -> int:
        """Count the guess as if it had failed; return 0, or after how many seconds it may be made."""
        if not self.known and _add(self.address, 3600) > limits.FAILED_GUESSES_PER_ADDRESS:
            _add(self.address, 3600, -1)
            return _left(self.address)
        if _add(self.here, 60) > limits.FAILED_GUESSES_PER_MINUTE:
            _add(self.here, 60, -1)
            if not self.known:
                _add(self.address, 3600, -1)
            return _left(self.here)
        others = 0 if self.known else _add(self.all, 3600) - _add(self.ours, 3600)
        if others <= 0:
            return 0
        self.claimed = _add(self.wait, _delay(others + 1)) == 1  # of several at once one goes on
        if self.claimed:
            return 0
        seconds = _left(self.wait)
        self.undo()
        return seconds

    def undo(self) -> None:
        """Take the guess back: it was right, or was not made."""
        _add(self.here, 60, -1)
        if not self.known:
            _add(self.address, 3600, -1)
            _add(self.all, 3600, -1)
            _add(self.ours, 3600, -1)
        if self.claimed:
            _clear(self.wait)

    def fail(self) -> None:
        """Let the next guess from elsewhere wait."""
        if not self.known and not self.claimed:
            _clear(self.wait)
            _add(self.wait, _delay(_value(self.all)))


def _delay(failures: int) -> int:
    return int(min(limits.LONGEST_GUESS_DELAY, 2 ** min(max(failures - 1, 0), 10)))


def _counting(act: str, *given: object) -> int:
    """Do this with the counters in Valkey, or with our own while it is away."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 (the proxy offers nothing else)
    try:
        if not limiter._storage_dead and time.monotonic() > _away.get(app, 0.0):  # noqa: SLF001 (what flask-limiter itself goes by)
            return int(getattr(limiter.storage, act)(*given) or 0)
    except Exception:  # noqa: BLE001 (whatever client is behind it)
        _away[app] = time.monotonic() + AWAY
    return int(getattr(_alone.setdefault(app, MemoryStorage()), act)(*given) or 0)


def _add(key: str, seconds: int, amount: int = 1) -> int:
    if amount < 0 and _value(key) <= 0:
        return 0  # its time is over, and a new one may not begin below nothing
    return _counting("incr", key, seconds, amount)


def _value(key: str) -> int:
    return _counting("get", key)


def _clear(key: str) -> None:
    _counting("clear", key)


def _left(key: str) -> int:
    return max(1, round(_counting("get_expiry", key) - time.time() + 0.5))


def known_browser(user: User | None) -> str:
    """Return the name of this browser's own count when the user has signed in with it before, or nothing."""
    if user is None:
        return ""
    return next((nonce for who, nonce, mark in _kept() if who == user.id and mark == _mark(user)), "")


def remember_browser(response: Response, user: User) -> None:
    """Let this browser be known to the user, for a year or until the password changes; five users at most."""
    nonce = known_browser(user) or secrets.token_urlsafe(12)
    kept = [[user.id, nonce, _mark(user)], *(one for one in _kept() if one[0] != user.id)][:5]
    response.set_cookie(
        COOKIE,
        str(_signer().dumps(kept)),
        max_age=YEAR,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=settings().base_url.startswith("https://"),
    )


def _kept() -> list[tuple[int, str, str]]:
    try:
        return [(who, nonce, mark) for who, nonce, mark in _signer().loads(request.cookies.get(COOKIE, ""))]
    except BadSignature:
        return []


def _mark(user: User) -> str:
    """Return what ties a cookie to the password: another one for each hash, which it does not tell."""
    key = settings().secret_key.encode()
    return hmac.new(key, f"known {user.password_hash}".encode(), hashlib.sha256).hexdigest()[:24]


def _signer() -> URLSafeSerializer:
    keys = (settings().secret_key, *settings().secret_key_fallbacks)
    return URLSafeSerializer(list(keys[::-1]), salt="known browser")  # signs with the last
