"""Who may use a route of the API, and the key that a request carries."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import request

KNOWN_KEY = "calapp-known-key"  # the extension that says whether a token is a key; the accounts have it


@dataclass(frozen=True)
class Access:
    """Who may use a route: `check` raises SignedOut or NotAllowed for others; `words` say it."""

    check: Callable[[], None]
    key_needed: bool
    words: str


def bearer_token() -> str:
    """Return the token that the request carries (RFC 6750), or nothing."""
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
