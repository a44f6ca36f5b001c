"""Signatures: Cal.com's header and Standard Webhooks, over the exact bytes that are sent."""

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence
from functools import lru_cache

NO_SECRET = "no-secret-provided"  # noqa: S105  # what Cal.com sends when there is none
PREFIX = "whsec_"


def new_secret() -> str:
    """Make a secret in the form of Standard Webhooks: whsec_ and base64 of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def sign(secret: str | None, body: bytes) -> str:
    """Return X-Cal-Signature-256: the lower-case hex HMAC-SHA256 of the body."""
    if not secret:
        return NO_SECRET
    return hmac.digest(secret.encode(), body, "sha256").hex()


def standard_signature(event_id: str, timestamp: int, body: bytes, valid: Sequence[str]) -> str:
    """Return webhook-signature: `v1,` and base64 for each valid secret, space-separated.

    Source: https://www.standardwebhooks.com, over `id.timestamp.body`, the timestamp in seconds.
    """
    content = b"%s.%d.%s" % (event_id.encode(), timestamp, body)
    return " ".join(
        "v1," + base64.b64encode(hmac.digest(standard_key(secret), content, "sha256")).decode()
        for secret in valid
    )


@lru_cache(maxsize=1024)
def standard_key(secret: str) -> bytes:
    """Return the key of a secret: the bytes behind whsec_, or the text itself when it is not in that form."""
    if secret.startswith(PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            pass  # a host's own text that only begins like one
    return secret.encode()


def verify(secret: str, body: bytes, headers: dict[str, str]) -> bool:
    """Say whether a request that came in carries a signature of this secret; header names in lower case."""
    cal = headers.get("x-cal-signature-256", "")
    if hmac.compare_digest(cal.encode(), sign(secret, body).encode()):
        return True
    timestamp = headers.get("webhook-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
        return False
    made = standard_signature(headers.get("webhook-id", ""), int(timestamp), body, [secret])
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(one.encode(), made.encode()) for one in given)
