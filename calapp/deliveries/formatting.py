"""What the log says of a delivery: its state, what it waits for, and the request as a person would send it.

And what is different between a delivery as it was sent last and as it would be sent now.
"""

import difflib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp import tracing
from calapp.addresses import sent_form
from calapp.clock import now
from calapp.deliveries.models import Attempt, Delivery, State, in_flight
from calapp.deliveries.outbox import rerendered
from calapp.deliveries.signing import JSON_TYPE, request_headers, valid_secrets
from calapp.local_time import to_the_second as when
from calapp.tracing import Trace
from calapp.webhooks.models import HIDDEN, Webhook, WebhookChange

PHASES = (
    ("name", "Name"),
    ("connect", "Connect"),
    ("tls", "TLS"),
    ("first_byte", "First byte"),
    ("rest", "Rest"),
)
AROUND = 2  # lines that are shown before and after each that differs
MOST_LINES = 600  # of a body that is compared; more take too long


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


@dataclass(frozen=True)
class Phase:
    """A part of an attempt's time: milliseconds, and where it lies on a bar of 1,000."""

    name: str
    label: str
    milliseconds: float
    start: float
    width: float


@dataclass(frozen=True)
class Request:
    """What is sent: the webhook's current address and headers, the stored body."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str | None


def tone(row: Any) -> str:
    """Return the tone of a state's pill: good, bad, or nothing."""
    if row.state == State.DELIVERED:
        return "good"
    return (
        "bad"
        if row.state == State.FAILED or (row.state == State.WAITING and row.attempts_on_schedule)
        else ""
    )


def state_name(row: Any) -> str:
    """Return a state in one word; a delivery that waits after a failed attempt is failing."""
    return (
        "Failing" if row.state == State.WAITING and row.attempts_on_schedule else str(row.state).capitalize()
    )


NEXT = {
    Because.DUE: "next attempt now",
    Because.IN_FLIGHT: "being sent",
    Because.SCHEDULE: "next attempt at {at}",
    Because.BACKOFF: "next attempt at {at} at the earliest, because the endpoint keeps failing (backoff)",
    Because.RETRY_AFTER: "next attempt at {at} at the earliest: the receiver asked us to wait (Retry-After)",
    Because.LIMIT: "limited to {limit} per second",
    Because.WEBHOOK_OFF: "not sent, because the webhook is off",
}


def next_step(row: Any, webhook: Webhook, zone: str) -> str:
    """Say what comes next for a delivery that waits and what it waits for, or nothing."""
    found = outlook(row, webhook, now())
    if found is None:
        return ""
    at = when(found.at, zone) if found.at else ""
    if found.because is Because.EARLIER_EVENT:
        latest = f", until {at} at the latest" if at else ""
        return f"waiting for an earlier event of this booking{latest}"
    count = webhook.max_per_second or 0
    limit = "1 request" if count == 1 else f"{count:,} requests"
    return NEXT[found.because].format(at=at, limit=limit)


def sent_now(delivery: Delivery) -> str:
    """Say what a press of the button does with a delivery as it still is."""
    if delivery.state != State.WAITING:
        return "Resending."
    if delivery.after_id is not None:
        return "Being sent now, ahead of an earlier event of its booking. This page shows the result."
    return "Being sent now. This page shows the result."


def held(webhook: Webhook, zone: str) -> str:
    """Say in a few words until when nothing is attempted at a webhook and why, or nothing."""
    found = held_until(webhook, now()) if webhook.active else None
    if found is None or found.at is None:
        return ""
    why = "Backoff" if found.because is Because.BACKOFF else "Retry-After"
    return f"{why} until {when(found.at, zone)}"


def phases(attempt: Attempt) -> list[Phase]:
    """Split an attempt's time into its phases; one that took no time is left out."""
    known = [getattr(attempt, f"{name}_ms") or 0.0 for name, _ in PHASES[:-1]]
    total = max(attempt.total_ms or 0.0, sum(known))
    times = [*known, total - sum(known)]
    made, start = [], 0.0
    for (name, label), milliseconds in zip(PHASES, times, strict=True):
        width = 1000 * milliseconds / total if total else 0.0
        if width > 0:
            made.append(Phase(name, label, milliseconds, round(start, 1), round(width, 1)))
        start += width
    return made


def trace_of(delivery: Delivery, number: int) -> Trace:
    """Return the trace of a delivery, with the span of the attempt of this number."""
    event = delivery.event
    trace = tracing.of_event(event.uid, event.trace, event.trace_state)
    return trace.child(tracing.attempt_span(trace.trace_id, delivery.id, number))


def request_of(delivery: Delivery, webhook: Webhook) -> Request:
    """Return the request that an attempt of this delivery makes now; values of custom headers stay hidden."""
    body = delivery.event.body if delivery.body is None else delivery.body
    at = now()
    headers = request_headers(
        delivery.event.uid,
        (body or "").encode(),
        at=at,
        secrets=valid_secrets(webhook, at),
        custom=[(name, HIDDEN) for name in webhook.header_names],
        number=max(1, delivery.attempts),
        content_type=delivery.content_type or JSON_TYPE,
        trace=trace_of(delivery, max(1, delivery.attempts)),
    )
    return Request("POST", sent_form(webhook.subscriber_url), headers, body)


def as_curl(request: Request) -> str:
    """Return a request as a command for a shell."""
    # curl reads [] and {} of a URL as patterns, and a body that begins with @ as the name of a file.
    lines = [f"curl -i -X {request.method} --globoff {shlex.quote(request.url)}"]
    lines += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in request.headers]
    lines.append(f"--data-raw {shlex.quote(request.body or '')}")
    return " \\\n  ".join(lines)


def pretty(body: str | None) -> str:
    """Return a JSON body with line breaks; anything else as it is."""
    try:
        return json.dumps(json.loads(body or ""), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return body or ""


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
