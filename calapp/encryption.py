"""Encryption at rest: what would let somebody in is stored in the tables under a key of SECRET_KEY's.

A stored value is `MARK`, the name of its key, a colon, and a Fernet token. What lacks the mark was written by
a version before this one and is plain. No plain value can begin with the mark: secrets and header values are
printable, and the tokens that we make are letters, digits, hyphens and underscores.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from calapp.config import Settings, kept_keys, settings
from calapp.errors import KeyDoesNotFit
from calapp.limits import OPENED_SECRETS

MARK = "\x01enc1:"
# The name of a key, in any text that has a sealed value in it, such as JSON.
NAME = re.compile(r"enc1:([0-9a-f]{8}):gAAAA")
NAMED = len(MARK) + 8  # characters of a sealed value that name its key


def _derived(secret_key: str, purpose: bytes, length: int) -> bytes:
    """Derive a key by HKDF (RFC 5869); no salt, since SECRET_KEY is random and every process must agree."""
    return HKDF(SHA256(), length, salt=None, info=b"calapp at rest: " + purpose).derive(secret_key.encode())


class Keyring:
    """The keys of one process: seals with the first, opens with any."""

    def __init__(self, secret_keys: Sequence[str]) -> None:
        self._fernets: dict[str, Fernet] = {}
        for key in secret_keys:
            derived = base64.urlsafe_b64encode(_derived(key, b"values", 32))
            self._fernets.setdefault(_derived(key, b"name of the key", 4).hex(), Fernet(derived))
        self.current = next(iter(self._fernets))
        self.open: Callable[[str], str] = lru_cache(maxsize=OPENED_SECRETS)(self._open)

    def seal(self, value: str) -> str:
        """Return a value as it is stored."""
        return f"{MARK}{self.current}:{self._fernets[self.current].encrypt(value.encode()).decode()}"

    def _open(self, stored: str) -> str:
        name, _, token = stored.removeprefix(MARK).partition(":")
        try:
            return self._fernets[name].decrypt(token).decode()
        except (KeyError, InvalidToken):
            raise KeyDoesNotFit from None

    @property
    def names(self) -> set[str]:
        """The names of the keys on the ring."""
        return set(self._fernets)


@lru_cache(maxsize=8)
def _keyring(secret_keys: tuple[str, ...]) -> Keyring:
    return Keyring(secret_keys)


def keyring() -> Keyring:
    """Return the keys of this process's settings."""
    return keyring_of(settings())


def keyring_of(chosen: Settings) -> Keyring:
    """Return the keys of settings that may not be in use yet."""
    return _keyring((chosen.secret_key, *chosen.secret_key_fallbacks))


def is_sealed(stored: object) -> bool:
    """Return whether a stored value is encrypted."""
    return isinstance(stored, str) and stored.startswith(MARK)


def seal(value: str) -> str:
    """Return a value as it is stored: encrypted with the current key."""
    return keyring().seal(value)


def open_sealed(stored: str) -> str:
    """Return a stored value, encrypted or plain, as it was given; raise KeyDoesNotFit.

    When `flask rotate-secret-key` has made a new key in the data folder, a running process finds it there.
    """
    if not stored.startswith(MARK):
        return stored
    try:
        return keyring().open(stored)
    except KeyDoesNotFit:
        kept = kept_keys(settings().data_dir)
        if settings().secret_key not in kept:
            raise  # this process did not take its keys from there
        return _keyring((*kept, *settings().secret_key_fallbacks)).open(stored)


def key_names(text: str) -> set[str]:
    """Return the names of the keys of all sealed values in a text."""
    return set(NAME.findall(text))


def hashed(token: str) -> str:
    """Return what a random token is looked up by: its SHA-256, hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_same(left: str, right: str) -> bool:
    """Return whether two secret texts are the same, in a time that does not say where they differ."""
    return hmac.compare_digest(left.encode(), right.encode())
