"""What the log says of a delivery: its state, its times, and the request as a person would send it."""

import json
import shlex
from dataclasses import dataclass
from typing import Any

from calapp import tracing
from calapp.clock import now
from calapp.deliveries.models import Attempt, Delivery, State
from calapp.deliveries.outlook import Because, held_until, outlook
from calapp.deliveries.signing import JSON_TYPE, request_headers, valid_secrets
from calapp.local_time import to_the_second as when
from calapp.tracing import Trace
from calapp.urls import sent_form
from calapp.webhooks.models import Webhook
from calapp.webhooks.schemas import HIDDEN

PHASES = (
    ("name", "Name"),
    ("connect", "Connect"),
    ("tls", "TLS"),
    ("first_byte", "First byte"),
    ("rest", "Rest"),
)


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
