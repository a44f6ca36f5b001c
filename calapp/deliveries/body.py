"""The body of an event: Cal.com's envelope, made once, as the exact text that is signed and sent."""

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def new_event_id() -> str:
    """Make an event's id: evt_ and 24 random characters."""
    return f"evt_{secrets.token_hex(12)}"


def instant(moment: datetime) -> str:
    """Write an instant as payloads do: 2027-01-05T10:00:00Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def instant_ms(moment: datetime) -> str:
    """Write an instant with milliseconds, as createdAt does: 2027-01-04T09:30:00.000Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def envelope(event_id: str, trigger: str, created_at: datetime, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Wrap a payload as Cal.com does, with our `id` beside it."""
    return {
        "triggerEvent": trigger,
        "createdAt": instant_ms(created_at),
        "id": event_id,
        "payload": dict(payload),
    }


def encoded(made: Mapping[str, Any]) -> str:
    """Return the body of an envelope as the one text that is stored, signed and sent."""
    return json.dumps(made, ensure_ascii=False, separators=(",", ":"))
