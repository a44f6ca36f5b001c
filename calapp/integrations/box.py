"""The webhook box: its fields as they were typed, what is saved, and the value that both make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any
from urllib.parse import urlsplit

from werkzeug.datastructures import MultiDict

from calapp.clock import now
from calapp.deliveries import signing
from calapp.deliveries.parcels import valid_secrets
from calapp.integrations.ping import PingResult, PingTarget
from calapp.urls import trimmed
from calapp.webhooks.forms import HIDDEN, Header, WebhookInput
from calapp.webhooks.models import Webhook
from calapp.webhooks.service import SECRET_OVERLAP, merged_headers, overlap_until
from calapp.webhooks.triggers import DEFAULT

MAX_ROWS = 30  # header rows that are read at all
TRUE = frozenset(("1", "on", "true", "yes"))
# For how many seconds an old secret signs beside a new one, and how that is said.
SECRET_OVERLAPS = ((round(SECRET_OVERLAP.total_seconds()), "24 hours"), (3600, "1 hour"), (0, "not at all"))
NO_EVENT_TYPE = -1  # what cannot be read as an id is nobody's event type

# Chat services take only messages in their own form.
OFFERS = {
    "Discord": (
        ("discord.com", "discordapp.com"),
        '{\n  "content": "{{triggerEvent}}: {{title}}, {{startTime}}"\n}',
    ),
    "Slack": (("hooks.slack.com",), '{\n  "text": "{{triggerEvent}}: {{title}}, {{startTime}}"\n}'),
}


@dataclass(frozen=True)
class HeaderRow:
    """A row of the host's own headers; a saved value is not in it."""

    name: str
    value: str
    saved: bool


@dataclass(frozen=True, kw_only=True)
class Box:
    """What stands in the box, and beside its fields."""

    webhook_id: int | None = None
    subscriber_url: str = ""
    triggers: tuple[str, ...] = tuple(DEFAULT)
    active: bool = True
    secret: str = ""
    secret_overlap: str = str(SECRET_OVERLAPS[0][0])
    remove_secret: bool = False
    event_type_id: str = ""
    headers: tuple[HeaderRow, ...] = ()
    custom: bool = False
    payload_template: str = ""
    has_secret: bool = False
    overlap: bool = False  # the former secret is still valid
    action: str = "save"
    focus: str = ""  # the id of the control that gets the focus
    note: str = ""
    errors: Mapping[str, Any] = field(default_factory=dict)
    ping: PingResult | None = None

    def wanted(self) -> WebhookInput:
        """Return the webhook as it is to be saved, not yet checked."""
        secret: str | None = self.secret
        if self.has_secret and not self.secret:
            secret = "" if self.remove_secret else None
        return WebhookInput(
            subscriber_url=self.subscriber_url,
            triggers=self.triggers,
            active=self.active,
            event_type_id=_event_type_id(self.event_type_id),
            secret=secret,
            secret_overlap=self._overlap_seconds() if secret else None,
            payload_template=self.payload_template.strip() or None if self.custom else None,
            headers=tuple(_header(row) for row in self.headers if row.name or row.value),
        )

    def _overlap_seconds(self) -> int:
        known = {str(seconds): seconds for seconds, _ in SECRET_OVERLAPS}
        return known.get(self.secret_overlap, SECRET_OVERLAPS[0][0])

    @property
    def offer(self) -> str:
        """The chat service whose payload fits the URL, unless a payload of one's own is in use."""
        return "" if self.custom else offer_for(self.subscriber_url)


def offer_for(url: str) -> str:
    """Return the chat service that a URL belongs to, or nothing."""
    try:
        host = (urlsplit(trimmed(url)).hostname or "").lower()
    except ValueError:
        return ""
    names = (name for name, (hosts, _) in OFFERS.items() if any(_within(host, one) for one in hosts))
    return next(names, "")


def _within(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _header(row: HeaderRow) -> Header:
    kept = row.saved and row.value in {"", HIDDEN}
    return row.name, None if kept else row.value


def _event_type_id(text: str) -> int | None:
    if not text:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else NO_EVENT_TYPE


def box_of(webhook: Webhook) -> Box:
    """Fill the box with what is saved."""
    return Box(
        webhook_id=webhook.id,
        subscriber_url=webhook.subscriber_url,
        triggers=tuple(webhook.triggers),
        active=webhook.active,
        event_type_id=str(webhook.event_type_id or ""),
        headers=tuple(HeaderRow(name, "", saved=True) for name in webhook.header_names),
        custom=webhook.payload_template is not None,
        payload_template=webhook.payload_template or "",
        has_secret=webhook.has_secret,
        overlap=overlap_until(webhook) is not None,
    )


def read_box(form: MultiDict[str, str], webhook: Webhook | None) -> Box:
    """Fill the box with what was typed."""
    switches = form.getlist("active")
    template = form.get("payload_template", "")
    return Box(
        webhook_id=webhook.id if webhook else None,
        subscriber_url=trimmed(form.get("subscriber_url", "")),
        triggers=tuple(dict.fromkeys(form.getlist("triggers"))),
        # A box that is not ticked sends nothing, so the form sends a 0 before it; a client that sends
        # neither wants what a new webhook has.
        active=switches[-1].lower() in TRUE if switches else True,
        secret=trimmed(form.get("secret", "")),
        secret_overlap=form.get("secret_overlap_seconds", Box.secret_overlap),
        remove_secret="remove_secret" in form,
        event_type_id=form.get("event_type_id", "").strip(),
        headers=_rows(form, webhook),
        custom=form.get("payload", "custom" if template.strip() else "default") == "custom",
        payload_template=template.replace("\r\n", "\n"),
        has_secret=bool(webhook and webhook.has_secret),
        overlap=bool(webhook and overlap_until(webhook)),
        action=form.get("action", "save"),
    )


def _rows(form: MultiDict[str, str], webhook: Webhook | None) -> tuple[HeaderRow, ...]:
    saved = {name.lower() for name in webhook.header_names} if webhook else set()
    pairs = zip_longest(
        form.getlist("header_name")[:MAX_ROWS], form.getlist("header_value")[:MAX_ROWS], fillvalue=""
    )
    return tuple(
        HeaderRow(trimmed(name), trimmed(value), trimmed(name).lower() in saved) for name, value in pairs
    )


def acted(box: Box) -> Box:
    """Do what a button of the box does besides saving; the other fields stay as they were typed."""
    if box.action == "generate":
        return replace(box, secret=signing.new_secret(), remove_secret=False, focus="field-secret")
    if box.action == "add-header":
        rows = (*box.headers, HeaderRow("", "", saved=False))
        return replace(box, headers=rows, focus=f"header-name-{len(rows)}")
    if box.action.startswith("remove-header-"):
        number = box.action.removeprefix("remove-header-")
        rows = tuple(row for index, row in enumerate(box.headers, 1) if str(index) != number)
        return replace(box, headers=rows, focus="add-header")
    if box.action == "offer" and (name := offer_for(box.subscriber_url)):
        return replace(box, custom=True, payload_template=OFFERS[name][1], focus="field-payload_template")
    return box


def target_of(wanted: WebhookInput, webhook: Webhook | None) -> PingTarget:
    """Return where a ping goes: what was typed, with what is saved where a field was left as it is."""
    saved = webhook.sealed_headers if webhook else []
    secrets = [wanted.secret] if wanted.secret else []
    if wanted.secret is None and webhook:
        secrets = valid_secrets(webhook, now())
    headers: Sequence[Sequence[str]] = merged_headers(saved, wanted.headers)
    return PingTarget(wanted.subscriber_url, secrets, headers, wanted.payload_template)
