"""What is different between a delivery as it was sent last and as it would be sent now."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.deliveries.formatting import pretty
from calapp.deliveries.models import Attempt, Delivery
from calapp.deliveries.outbox import rerendered
from calapp.webhooks.models import WebhookChange

AROUND = 2  # lines that are shown before and after each that differs
MOST_LINES = 600  # of a body that is compared; more take too long


@dataclass(frozen=True)
class Line:
    """A line of a body: only in the old one, only in the new one, or in both; or a gap."""

    kind: str  # "-", "+", " " or "@"
    text: str


@dataclass(frozen=True)
class Difference:
    """Instants of changes and what is different; empty where it is the same."""

    old_url: str = ""
    secret_at: datetime | None = None
    headers_at: datetime | None = None
    body: Sequence[Line] = ()
    content_types: tuple[str, str] | None = None
    body_too_long: bool = False
    problem: str = ""  # why the current template makes no body

    @property
    def template(self) -> bool:
        """Whether the current template makes another body."""
        return bool(self.body or self.content_types or self.body_too_long or self.problem)

    def __bool__(self) -> bool:
        return bool(self.old_url or self.secret_at or self.headers_at or self.template)


def difference(session: Session, delivery: Delivery, last: Attempt | None) -> Difference:
    """Compare a delivery as its last attempt had it, if it had one, with one that is made now."""
    old_url, secret_at, headers_at = "", None, None
    if last is not None:
        query = select(WebhookChange).where(
            WebhookChange.webhook_id == delivery.webhook_id, WebhookChange.at > last.at
        )
        for change in session.scalars(query.order_by(WebhookChange.id)):
            old_url = old_url or change.old_url or ""
            secret_at = change.at if change.secret else secret_at
            headers_at = change.at if change.headers else headers_at
    if old_url == delivery.webhook.subscriber_url:
        old_url = ""  # it was changed and changed back
    return Difference(old_url, secret_at, headers_at, *_bodies(delivery))


def _bodies(delivery: Delivery) -> tuple[Sequence[Line], tuple[str, str] | None, bool, str]:
    if delivery.template_failed or delivery.event.body is None:
        return (), None, False, ""
    made = rerendered(delivery)
    if made.problem:
        return (), None, False, made.problem
    types = (delivery.content_type, made.content_type)
    known = [one or "application/json" for one in types]
    changed = (known[0], known[1]) if known[0] != known[1] else None
    stored, current = (delivery.event.body if one is None else one for one in (delivery.body, made.body))
    if stored == current:
        return (), changed, False, ""
    old, new = pretty(stored).splitlines(), pretty(current).splitlines()
    if max(len(old), len(new)) > MOST_LINES:
        return (), changed, True, ""
    lines = list(difflib.unified_diff(old, new, lineterm="", n=AROUND))[2:]
    # Between two places that differ there is a line with an ellipsis.
    shown = [Line("@", "…") if line.startswith("@@") else Line(line[0], line[1:]) for line in lines]
    return shown[1:], changed, False, ""
