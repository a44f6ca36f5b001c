"""When a delivery is attempted next and what it waits for: by its own row and by its webhook together."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from calapp.deliveries.models import State, in_flight
from calapp.webhooks.models import Webhook


class Because(StrEnum):
    """What a delivery waits for."""

    DUE = "due"  # for a worker alone
    IN_FLIGHT = "in_flight"  # for the response of the attempt that is being made
    SCHEDULE = "schedule"
    BACKOFF = "backoff"  # of its webhook, which keeps failing
    RETRY_AFTER = "retry_after"  # its receiver asked us to wait
    LIMIT = "limit"  # of its webhook's requests per second
    EARLIER_EVENT = "earlier_event"  # of its booking
    WEBHOOK_OFF = "webhook_off"  # it will be parked


class Outlook(NamedTuple):
    """The earliest instant of the next attempt, None when it has none of its own, and why."""

    at: datetime | None
    because: Because


def outlook(row: Any, webhook: Webhook, at: datetime) -> Outlook | None:
    """Return what a delivery (or its row of the log) waits for at an instant; None when it does not wait."""
    if row.state != State.WAITING:
        return None
    if in_flight(row, at):
        return Outlook(None, Because.IN_FLIGHT)
    if not webhook.active or webhook.deleted_at is not None:
        return Outlook(None, Because.WEBHOOK_OFF)
    if row.due_at is None or (row.after_id is not None and row.due_at > at):
        return Outlook(row.due_at, Because.EARLIER_EVENT)
    own = Outlook(row.due_at, Because.SCHEDULE if row.due_at > at else Because.DUE)
    if row.pressed_at is not None:
        return own
    used = webhook.limited_until if webhook.max_per_second is not None else None
    # Where the limit was used in the last second, what is due waits for it.
    if own.because is Because.DUE and used is not None and used > at - timedelta(seconds=1):
        own = Outlook(max(row.due_at, used), Because.LIMIT)
    held = held_until(webhook, at)
    return held if held is not None and (own.at is None or (held.at or at) > own.at) else own


def held_until(webhook: Webhook, at: datetime) -> Outlook | None:
    """Return until when nothing is attempted at a webhook, and why; None when nothing holds it back."""
    ends = [(webhook.backoff_until, Because.BACKOFF), (webhook.retry_after_until, Because.RETRY_AFTER)]
    coming = [Outlook(end, because) for end, because in ends if end is not None and end > at]
    return max(coming, key=lambda one: one.at or at, default=None)
