"""What a host or a client says about a webhook, checked, as one frozen value."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from calapp.addresses import AddressGuard, check_url
from calapp.errors import Invalid
from calapp.webhooks import template
from calapp.webhooks.triggers import SUBSCRIBABLE, Trigger

HIDDEN = "••••"  # stands for a value that is saved and never shown
MAX_HEADERS = 10
MAX_SECRET = 500  # characters
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # a token of RFC 9110
# What we send ourselves, and what HTTP itself needs.
TAKEN_HEADERS = frozenset(
    (
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
        "x-cal-signature-256",
        "x-cal-webhook-version",
        "x-calapp-attempt",
    )
)

Header = tuple[str, str | None]  # name and value; None keeps the value that is saved


@dataclass(frozen=True, kw_only=True)
class WebhookInput:
    """A webhook as it is to be saved; `secret` None keeps the saved one, an empty one removes it."""

    subscriber_url: str
    triggers: tuple[str, ...]
    active: bool = True
    event_type_id: int | None = None
    secret: str | None = None
    payload_template: str | None = None
    headers: tuple[Header, ...] = ()
    warning: str | None = None  # about the address, when it was accepted all the same


def checked(raw: WebhookInput, guard: AddressGuard) -> WebhookInput:
    """Check every field and return the clean value; raise Invalid whose details name each bad field."""
    problems: dict[str, str] = {}
    url, warning = raw.subscriber_url, None
    try:
        found = check_url(raw.subscriber_url, guard)
        url, warning = found.url, found.warning
    except Invalid as error:
        problems["subscriber_url"] = error.message
    _note(problems, "triggers", _triggers_problem(raw.triggers))
    _note(problems, "secret", _secret_problem(raw.secret))
    _note(problems, "payload_template", _template_problem(raw.payload_template))
    _note(problems, "headers", headers_problem(raw.headers))
    if problems:
        raise Invalid("Please correct what is marked.", **problems)
    wanted = set(raw.triggers)
    return WebhookInput(
        subscriber_url=url,
        triggers=tuple(trigger.value for trigger in SUBSCRIBABLE if trigger in wanted),
        active=raw.active,
        event_type_id=raw.event_type_id,
        secret=raw.secret,
        payload_template=raw.payload_template or None,
        headers=raw.headers,
        warning=warning,
    )


def _note(problems: dict[str, str], field: str, problem: str | None) -> None:
    if problem:
        problems[field] = problem


def _triggers_problem(triggers: Iterable[str]) -> str | None:
    unknown = sorted(set(triggers) - {str(trigger) for trigger in SUBSCRIBABLE})
    if unknown:
        names = ", ".join(name[:60] for name in unknown[:3])
        hint = " PING comes from the ping test alone." if Trigger.PING in unknown else ""
        return f"There is no such trigger: {names}.{hint}"
    if not set(triggers):
        return "Please choose at least one trigger."
    return None


def _secret_problem(secret: str | None) -> str | None:
    if secret is None or (len(secret) <= MAX_SECRET and secret.isprintable()):
        return None
    return f"Please give a secret of at most {MAX_SECRET} printable characters."


def _template_problem(text: str | None) -> str | None:
    if not text:
        return None
    try:
        template.check(text)
    except Invalid as error:
        return error.message
    return None


def headers_problem(headers: Sequence[Header]) -> str | None:
    """Say what is wrong with a webhook's own headers, or None."""
    if len(headers) > MAX_HEADERS:
        return f"Please give at most {MAX_HEADERS} headers."
    seen: set[str] = set()
    for name, value in headers:
        if not HEADER_NAME.fullmatch(name):
            return f"“{name[:60]}” cannot be the name of a header."
        if name.lower() in TAKEN_HEADERS:
            return f"The header {name} is set by Calapp or by HTTP itself."
        if name.lower() in seen:
            return f"The header {name} stands twice."
        if value is not None and (len(value) > 1000 or not value.isprintable()):
            return f"The value of {name} must be one line of at most 1,000 printable characters."
        seen.add(name.lower())
    return None
