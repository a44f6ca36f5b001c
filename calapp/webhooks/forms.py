"""What a host or a client says about a webhook, checked, as one frozen value."""

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from calapp.addresses import AddressGuard, check_url
from calapp.errors import Invalid
from calapp.webhooks import template
from calapp.webhooks.triggers import SUBSCRIBABLE, Trigger

HIDDEN = "••••"  # stands for a value that is saved and never shown
MAX_HEADERS = 10
MIN_SECRET, MAX_SECRET = 16, 500  # characters
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # a token of RFC 9110
# What we send ourselves, what belongs to one connection and not to the message, and what tracing sets.
RESERVED_HEADERS = frozenset((
    "accept-encoding", "connection", "content-encoding", "content-length", "content-range", "content-type",
    "expect", "host", "http2-settings", "keep-alive", "te", "trailer", "traceparent", "tracestate",
    "transfer-encoding", "upgrade", "user-agent",
))  # fmt: skip
RESERVED_STARTS = ("webhook-", "x-cal-", "x-calapp-", "proxy-")
ODD_IN_NAMES = re.compile(r"[^a-z0-9]")
SECRET_PREFIX = "whsec_"  # noqa: S105  # of Standard Webhooks; base64 of the key follows
SECRET_BYTES = range(24, 65)  # that its specification allows behind the prefix

Header = tuple[str, str | None]  # name and value; None keeps the value that is saved


@dataclass(frozen=True, kw_only=True)
class WebhookInput:
    """A webhook as it is to be saved; `secret` None keeps the saved one, an empty one removes it."""

    subscriber_url: str
    triggers: tuple[str, ...]
    active: bool = True
    event_type_id: int | None = None
    secret: str | None = None
    secret_overlap: int | None = None  # seconds in which the old secret signs, too; None: a day
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
    _note(problems, "secret", secret_problem(raw.secret))
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
        secret_overlap=raw.secret_overlap,
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


def secret_problem(secret: str | None) -> str | None:
    """Return what is wrong with a secret, or None; an empty one removes it."""
    if not secret:
        return None
    if len(secret) > MAX_SECRET or not secret.isprintable():
        return f"Please give a secret of {MIN_SECRET} to {MAX_SECRET} printable characters."
    if secret.startswith(SECRET_PREFIX):
        least, most = SECRET_BYTES[0], SECRET_BYTES[-1]
        fine = _is_key(secret.removeprefix(SECRET_PREFIX))
        return None if fine else f"What follows {SECRET_PREFIX} must be base64 of {least} to {most} bytes."
    return None if len(secret.strip()) >= MIN_SECRET else f"Please give at least {MIN_SECRET} characters."


def _is_key(text: str) -> bool:
    """Return whether a text is base64 as every strict decoder reads it."""
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return len(key) in SECRET_BYTES and base64.b64encode(key).decode() == text


def _template_problem(text: str | None) -> str | None:
    if not text:
        return None
    try:
        template.check(text)
    except Invalid as error:
        return error.message
    return None


def headers_problem(headers: Sequence[Header]) -> str | None:
    """Return what is wrong with a webhook's custom headers, or None."""
    if len(headers) > MAX_HEADERS:
        return f"Please give at most {MAX_HEADERS} headers."
    seen: set[str] = set()
    for name, value in headers:
        if not HEADER_NAME.fullmatch(name):
            return f"“{name[:60]}” cannot be the name of a header."
        if is_reserved(name):
            return f"The header {name} is set by Calapp or by HTTP itself."
        if plain_name(name) in seen:
            return f"Header {name} is listed twice."
        if value is not None and (len(value) > 1000 or not value.isprintable()):
            return f"The value of {name} must be one line of at most 1,000 printable characters."
        seen.add(plain_name(name))
    return None


def plain_name(name: str) -> str:
    """Return a header's name as CGI, WSGI and PHP see it: case and the kind of hyphen do not count."""
    return ODD_IN_NAMES.sub("-", name.lower())


@lru_cache(maxsize=1024)
def is_reserved(name: str) -> bool:
    """Return whether a receiver could take a header of this name for one of ours, or of HTTP's own."""
    plain = plain_name(name)
    return plain in RESERVED_HEADERS or plain.startswith(RESERVED_STARTS)
