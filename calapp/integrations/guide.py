"""The webhook guide: one text for the app and for docs/webhooks.md, its numbers and bodies from the code."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from flask import Blueprint, render_template
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

from calapp import limits, tracing
from calapp.accounts.guards import current_host, require_host
from calapp.accounts.models import User
from calapp.addresses import CLOSED_PORTS
from calapp.bookings import metadata
from calapp.bookings.maintenance import MEETING_ENDED_EXPIRES
from calapp.clock import now
from calapp.config import Settings, settings
from calapp.deliveries import health, maintenance, policy, signing, transfer
from calapp.deliveries.outbox import ATTEMPTS_THAT_BLOCK, encoded
from calapp.deliveries.signing import JSON_TYPE, USER_AGENT, WEBHOOK_VERSION, request_headers
from calapp.integrations.samples import SampleEvent, compact, preview_of, sample_life, variables_of
from calapp.webhooks import schemas as webhook_schemas
from calapp.webhooks.headers import RESERVED_HEADERS, RESERVED_STARTS
from calapp.webhooks.models import SECRET_OVERLAP, Trigger

blueprint = Blueprint("guide", __name__)
blueprint.before_request(require_host)

HOUR = 3600  # seconds
UNITS = ((86400, "day"), (HOUR, "hour"), (60, "minute"), (1, "second"))
# Everybody's, from the examples of Standard Webhooks.
SAMPLE_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105
SAMPLE_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"  # the W3C's own example
SAMPLE_TEMPLATE = """{
  "text": "{{attendees.0.name}} has booked {{eventTitle}}",
  "customer": "{{metadata.user_id}}",
  "minutes": "{{length}}",
  "everything": "{{metadata}}"
}"""

# To test a signature of links with: what needs encoding, and an order that is that of the bytes.
VECTOR_KEY = "lk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTORS: tuple[tuple[str, dict[str, str]], ...] = (
    ("1801440000", {"user_id": "123"}),
    ("", {"user_id": "123"}),
    ("1801440000", {"b": "2", "a-b": "x=y&z", "a": "Zoë's 50 %", "A": "~!*()", "empty": ""}),
    ("", {}),
)


@dataclass(frozen=True)
class LinkVector:
    """A signed text of a link, and its signature."""

    exp: str
    text: str
    sig: str


@dataclass(frozen=True)
class ScheduledAttempt:
    """A row of the table of retries."""

    number: int
    delay: str
    total: str


def guide_text(host: User, chosen: Settings, at: datetime, *, own: bool) -> str:
    """Return the guide in Markdown, with a host's addresses and a server's settings.

    `own` says that it is for the app, where these are the reader's own.
    """
    life = sample_life(host, chosen.base_url, at)
    created = life[0].envelope
    signed = [(exp, metadata.signed_text("rick/quick-chat", values, exp)) for exp, values in VECTORS]
    return (
        render_template(
            "guide/webhooks.md",
            base_url=chosen.base_url,
            own=own,
            username=host.username,
            life=sorted(life, key=lambda event: list(Trigger).index(event.trigger)),
            request=sample_request(life[0], at),
            retries=attempts_of(chosen.webhook_retry_schedule),
            timeout=f"{chosen.webhook_timeout:g}",
            retention=chosen.retention_days,
            allowed=chosen.webhook_allowed_networks,
            variables=variables_of(created),
            sample_template=SAMPLE_TEMPLATE,
            sample_rendered=preview_of(SAMPLE_TEMPLATE, created).body,
            vector_key=VECTOR_KEY,
            vectors=[LinkVector(exp, text, metadata.signature(VECTOR_KEY, text)) for exp, text in signed],
            **NUMBERS,
        )
        + "\n"
    )


NUMBERS: dict[str, Any] = {
    "no_secret": signing.NO_SECRET,
    "user_agent": USER_AGENT,
    "webhook_version": WEBHOOK_VERSION,
    "overlap": round(SECRET_OVERLAP.total_seconds() / HOUR),
    "max_retry_after": policy.MAX_RETRY_AFTER // HOUR,
    "max_read": transfer.MAX_READ // 1024,
    "max_kept": transfer.MAX_KEPT // 1024,
    "spread": round(policy.SPREAD * 100),
    "failures_before_backoff": policy.FAILURES_BEFORE_BACKOFF,
    "refused_before_backoff": policy.REFUSED_BEFORE_BACKOFF,
    "denied_before_backoff": policy.DENIED_BEFORE_BACKOFF,
    "different_before_failing": policy.DIFFERENT_BEFORE_FAILING,
    "lasting": health.LASTING.seconds // 60,
    "email_again": ", ".join(f"{age.total_seconds() / HOUR:g}" for age in health.EMAIL_AGAIN[:-1])
    + f" and {health.EMAIL_AGAIN[-1].total_seconds() / HOUR:g}",
    "response_is_soon": f"{policy.REFUSES_WITHIN:g}",
    "max_probe_delay": policy.MAX_WEBHOOK_DELAY // 60,
    "give_up": maintenance.GIVE_UP.days,
    "enough_attempts": maintenance.ENOUGH_ATTEMPTS,
    "keep_parked": maintenance.KEEP_PARKED.days,
    "tell_ended": round(MEETING_ENDED_EXPIRES.total_seconds() / HOUR),
    "attempts_that_block": ATTEMPTS_THAT_BLOCK,
    "max_keys": metadata.MAX_KEYS,
    "max_value": metadata.MAX_VALUE,
    "max_template": limits.TEMPLATE_CHARACTERS,
    "max_variables": limits.TEMPLATE_VARIABLES,
    "max_depth": limits.TEMPLATE_DEPTH,
    "min_secret": webhook_schemas.MIN_SECRET,
    "most_per_second": webhook_schemas.MOST_PER_SECOND,
    "secret_bytes": (webhook_schemas.SECRET_BYTES[0], webhook_schemas.SECRET_BYTES[-1]),
    "max_headers": limits.HEADERS_PER_WEBHOOK,
    "reserved_headers": sorted((*RESERVED_HEADERS, *(f"{start}*" for start in RESERVED_STARTS))),
    "closed_ports": sorted(CLOSED_PORTS),
}


def sample_request(event: SampleEvent, at: datetime) -> str:
    """Return a request as it goes over the wire, the body with line breaks for people."""
    headers = request_headers(
        event.envelope["id"],
        encoded(event.envelope).encode(),
        at=at,
        secrets=[SAMPLE_SECRET],
        custom=[],
        number=1,
        content_type=JSON_TYPE,
        trace=tracing.read(SAMPLE_TRACE),
    )
    lines = ["POST /hook HTTP/1.1", "Host: example.com", *(f"{name}: {value}" for name, value in headers)]
    payload = event.envelope["payload"]
    shown = {name: payload[name] for name in ("title", "startTime", "uid", "metadata")}
    body = compact({**event.envelope, "payload": shown})
    return "\n".join(lines) + "\n\n" + body.replace('"metadata"', '…\n    "metadata"')


def attempts_of(schedule: Sequence[int]) -> list[ScheduledAttempt]:
    """Return the attempts that a schedule makes: each one's delay, and when it is made since the event."""
    rows, total = [ScheduledAttempt(1, "", "immediately")], 0
    for number, seconds in enumerate(schedule, start=2):
        total += seconds
        rows.append(ScheduledAttempt(number, duration(seconds), duration(total)))
    return rows


def duration(seconds: int) -> str:
    """Write a time in its one or two greatest units: 1 day 4 hours."""
    parts = []
    for size, unit in UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}{'s' if count > 1 else ''}")
    return " ".join(parts[:2]) or "immediately"


def guide_html(text: str) -> Markup:
    """Render the guide for the app; what is HTML in it, such as in a host's name, stays text."""
    made = MarkdownIt("commonmark", {"html": False}).enable("table")
    made.add_render_rule("fence", _fence)
    # A wide table scrolls by itself, by keyboard too.
    table = '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table class="table">'
    made.add_render_rule("table_open", lambda *_: table)
    made.add_render_rule("table_close", lambda *_: "</table></div>")
    tokens = made.parse(text)
    for token, inside in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", slug(inside.content))
    return Markup(made.renderer.render(tokens[3:], made.options, {}))  # noqa: S704  # the page has a heading


def slug(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _fence(_renderer: Any, tokens: Sequence[Token], index: int, _options: Any, _environment: Any) -> str:
    """Render a block of code, which scrolls by keyboard too; a named one is a file to copy."""
    token = tokens[index]
    language, _, name = token.info.partition(" ")
    label = f"{name or language}, example"
    code = f'<pre class="code small" tabindex="0" role="group" aria-label="{escape(label)}">'
    code += f"<code>{escape(token.content)}</code></pre>"
    if "." not in name:
        return code
    button = (
        f'<button class="button small" type="button" data-copy="{escape(token.content)}" hidden>Copy</button>'
    )
    return f'<div class="snippet"><p class="split"><code>{escape(name)}</code>{button}</p>{code}</div>'


@blueprint.get("/integrations/guide")
def guide() -> str:
    """Show how webhooks work, with the host's own addresses and this server's settings."""
    text = guide_text(current_host(), settings(), now(), own=True)
    return render_template("integrations/guide.html", guide=guide_html(text))
