"""The body of one delivery: the event's, or what the template of its webhook makes of the event.

A template that cannot be rendered fails its delivery, never the booking; and the event's body never takes its
place, since a template may be there to leave things out.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp import limits
from calapp.deliveries.models import Delivery, Event
from calapp.errors import Conflict, Invalid
from calapp.webhooks import template

FAILED = "The payload template could not be rendered: "

log = logging.getLogger(__name__)


class TemplateChoice(StrEnum):
    """Which body a delivery is resent with."""

    ORIGINAL = "original"  # the one it was sent with
    CURRENT = "current"  # rendered with the webhook's current template


@dataclass(frozen=True)
class Rendered:
    """What a template made of an event; without a body the event's is sent, with a problem nothing."""

    body: str | None = None
    content_type: str | None = None
    problem: str | None = None

    @property
    def size(self) -> int:
        """Its bytes, beside those of the event's body."""
        return len(self.body.encode()) if self.body else 0

    def columns(self) -> dict[str, Any]:
        """Return what a delivery stores; one that failed has an empty body, so nothing sends the event's."""
        body = "" if self.problem else self.body
        failed = self.problem is not None
        return {"body": body, "content_type": self.content_type, "template_failed": failed}

    def give(self, delivery: Delivery) -> None:
        """Store it on a delivery."""
        for name, value in self.columns().items():
            setattr(delivery, name, value)


def rendered(text: str | None, envelope: Mapping[str, Any], room: int = limits.EVENT_BYTES) -> Rendered:
    """Render an event with a template within so many bytes; whatever goes wrong is a problem in words."""
    if text is None:
        return Rendered()
    most = max(0, min(limits.BODY_BYTES, room))
    try:
        body, content_type = template.render(text, envelope, most=most)
    except template.TooLarge as error:
        words = "All bodies of this event together would be larger than 1 MB."
        return Rendered(problem=FAILED + (error.message if most == limits.BODY_BYTES else words))
    except Invalid as error:
        return Rendered(problem=FAILED + error.message)
    except Exception:
        log.exception("A payload template could not be rendered")
        return Rendered(problem=FAILED + "An unexpected error, which the operator's log shows.")
    return Rendered(body, content_type)


def for_resend(delivery: Delivery, choice: TemplateChoice | None) -> Rendered | None:
    """Return the body to resend a delivery with, None for the one that it has; its event's body must be kept.

    Without a choice it is the original one, where there is one. Raises Conflict when there is none, or when
    the current template cannot be rendered.
    """
    if choice != TemplateChoice.CURRENT and not delivery.template_failed:
        return None
    if choice == TemplateChoice.ORIGINAL:
        raise Conflict("There is no original body: the template of that time could not be rendered.")
    made = rendered(delivery.webhook.payload_template, envelope_of(delivery.event))
    if made.problem:
        raise Conflict(f"{made.problem} Please correct the template of the webhook first.")
    return made


def template_changed(delivery: Delivery) -> bool:
    """Return whether the webhook's current template makes another body than the one that is stored."""
    if delivery.template_failed or delivery.event.body is None:
        return False
    made = rendered(delivery.webhook.payload_template, envelope_of(delivery.event))
    return (made.body, made.content_type) != (delivery.body, delivery.content_type)


def envelope_of(event: Event) -> dict[str, Any]:
    """Return the envelope of an event whose body is kept."""
    made: dict[str, Any] = json.loads(event.body or "{}")
    return made


def corrected(session: Session, ids: Sequence[int]) -> dict[int, Rendered]:
    """Render, of these deliveries, those whose template failed, with the current one; a plain read."""
    query = select(Delivery).where(Delivery.id.in_(ids), Delivery.template_failed)
    return {
        one.id: rendered(one.webhook.payload_template, envelope_of(one.event))
        for one in session.scalars(query)
    }
