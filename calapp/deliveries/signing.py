"""Signatures: Cal.com's header and Standard Webhooks, over the exact bytes that are sent."""

import base64
import binascii
import hmac
import logging
import secrets
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from calapp import __version__
from calapp.addresses import sent_form
from calapp.deliveries.claims import Claim, Due, Target
from calapp.deliveries.exchange import WebhookRequest
from calapp.errors import KeyDoesNotFit
from calapp.text import whole_number
from calapp.tracing import Trace
from calapp.webhooks.headers import is_reserved

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
    """Return whether a request that came in carries a signature of this secret; names in lower case."""
    cal = headers.get("x-cal-signature-256", "")
    if hmac.compare_digest(cal.encode(), sign(secret, body).encode()):
        return True
    timestamp = whole_number(headers.get("webhook-timestamp", ""))
    if timestamp is None:
        return False
    made = standard_signature(headers.get("webhook-id", ""), timestamp, body, [secret])
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(one.encode(), made.encode()) for one in given)


USER_AGENT = f"Calapp/{__version__}"
WEBHOOK_VERSION = "2021-10-20"  # of Cal.com's payloads that ours are shaped like
JSON_TYPE = "application/json"

log = logging.getLogger(__name__)

Headers = tuple[tuple[str, str], ...]
Opened = tuple[list[str], list[list[str]]]  # a webhook's valid secrets and its custom headers


def signed_requests(claim: Claim) -> list[WebhookRequest]:
    """Make the requests of what was claimed, with each webhook's current URL, headers and secrets.

    One that cannot be made is left to the end of its lease, so that it holds no other up.
    """
    opened: dict[int, Opened] = {}
    made = (_tried(row, claim, opened) for row in claim.rows)
    return [request for request in made if request is not None]


def _tried(row: Due, claim: Claim, opened: dict[int, Opened]) -> WebhookRequest | None:
    webhook = claim.webhooks[row.webhook_id]
    try:
        if row.webhook_id not in opened:
            opened[row.webhook_id] = valid_secrets(webhook, claim.at), webhook.headers
        return _signed_request(row, webhook, claim, *opened[row.webhook_id])
    except KeyDoesNotFit:
        log.error(  # noqa: TRY400 (a sentence says it all)
            "Delivery %d is waiting: its webhook's secret cannot be read with this process's SECRET_KEY. "
            "Restart it with the current one, and with previous ones in SECRET_KEY_FALLBACKS.",
            row.id,
        )
        return None
    except (ValueError, TypeError, AttributeError):
        log.exception("The request of delivery %d cannot be made", row.id)
        return None


def _signed_request(
    row: Due, webhook: Target, claim: Claim, secrets: Sequence[str], custom: Sequence[Sequence[str]]
) -> WebhookRequest:
    body = (row.body if row.body is not None else row.event_body or "").encode()
    number, trace = row.attempts + 1, row.trace
    headers = request_headers(
        row.event_uid,
        body,
        at=claim.at,
        secrets=secrets,
        custom=custom,
        number=number,
        content_type=row.content_type or JSON_TYPE,
        trace=trace,
    )
    url = sent_form(webhook.subscriber_url)
    return WebhookRequest(row.id, claim.token, row.webhook_id, url, headers, body, number, trace)


def valid_secrets(webhook: Any, at: datetime) -> list[str]:
    """Return a webhook's valid secrets, first the one for X-Cal-Signature-256: in the overlap the old one."""
    old = webhook.old_secret if webhook.old_secret_until and webhook.old_secret_until > at else None
    return [secret for secret in (old, webhook.secret) if secret]


def request_headers(
    event_id: str,
    body: bytes,
    *,
    at: datetime,
    secrets: Sequence[str],
    custom: Sequence[Sequence[str]],
    number: int,
    content_type: str,
    trace: Trace | None = None,
) -> Headers:
    """Return every header of an attempt; the signatures are over these very bytes and this moment."""
    timestamp = int(at.timestamp())
    made = [
        ("Content-Type", content_type),
        ("User-Agent", USER_AGENT),
        ("X-Cal-Signature-256", sign(secrets[0] if secrets else None, body)),
        ("X-Cal-Webhook-Version", WEBHOOK_VERSION),
        ("webhook-id", event_id),
        ("webhook-timestamp", str(timestamp)),
        ("X-Calapp-Attempt", str(number)),
    ]
    if trace:
        made.append(("traceparent", trace.traceparent))
        if trace.state:
            made.append(("tracestate", trace.state))
    if secrets:
        made.append(("webhook-signature", standard_signature(event_id, timestamp, body, secrets)))
    # An older version let names through that receivers read as one of ours.
    made.extend((name, value) for name, value in custom if not is_reserved(name))
    return tuple(made)
