"""A webhook as forms and the API bring it, checked; and as the API shows it."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from calapp.addresses import AddressGuard, check_url
from calapp.errors import Invalid
from calapp.limits import HEADERS_PER_WEBHOOK, URL_LENGTH
from calapp.rest.schemas import Instant, PatchSchema, RequestSchema, ResponseSchema
from calapp.rest.validation import WHOLE, from_form, said
from calapp.webhooks import template
from calapp.webhooks.models import SECRET_OVERLAP, OffReason, Webhook, is_saved_secret, overlap_until
from calapp.webhooks.triggers import DEFAULT, SUBSCRIBABLE, Trigger

HIDDEN = "••••"  # stands for a value that is saved and never shown
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


def with_checked_url(wanted: WebhookInput, guard: AddressGuard) -> WebhookInput:
    """Return the webhook with its URL as it is sent, and a warning about it; looks its host's name up."""
    try:
        found = check_url(wanted.subscriber_url, guard)
    except Invalid as error:
        raise Invalid("Please correct what is marked.", subscriber_url=error.message) from None
    return replace(wanted, subscriber_url=found.url, warning=found.warning)


def checked(raw: WebhookInput, guard: AddressGuard, saved_triggers: Sequence[str] = ()) -> WebhookInput:
    """Return what a form brought, checked like the JSON of the API; raise Invalid naming each bad field.

    Of the saved triggers those that are no longer offered may stay.
    """
    kept = [one for one in raw.triggers if one in saved_triggers and one not in SUBSCRIBABLE]
    offered = [one for one in raw.triggers if one not in kept]
    data = {
        "subscriber_url": raw.subscriber_url,
        "triggers": offered
        or [str(one) for one in DEFAULT if kept],  # then only checked for the others' sake
        "secret": raw.secret,
        "payload_template": raw.payload_template,
        "headers": [{"name": name, "value": value} for name, value in raw.headers],
    }
    problems: dict[str, object] = {}
    wanted = raw
    try:
        body = from_form(WebhookBody, data)
        triggers = (*(body.triggers if offered else ()), *kept)
        wanted = replace(raw, triggers=triggers, payload_template=body.payload_template)
    except Invalid as error:
        problems |= error.details
    try:
        wanted = with_checked_url(wanted, guard)
    except Invalid as error:
        problems |= error.details
    if problems:
        raise Invalid("Please correct what is marked.", **problems)
    return wanted


def _known_triggers(triggers: list[str]) -> list[str]:
    """Return triggers in our order, each once."""
    if unknown := sorted(set(triggers) - set(SUBSCRIBABLE)):
        names = ", ".join(name[:60] for name in unknown[:3])
        hint = " PING comes from the ping test alone." if Trigger.PING in unknown else ""
        raise ValueError(f"There is no such trigger: {names}.{hint}")
    return [trigger.value for trigger in SUBSCRIBABLE if trigger in triggers]


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


def _fit_template(text: str | None) -> str | None:
    """Return a template, or None for an empty one."""
    if not text:
        return None
    try:
        template.check(text)
    except Invalid as error:
        raise ValueError(error.message) from None
    return text


def headers_problem(headers: Sequence[Header]) -> str | None:
    """Return what is wrong with a webhook's custom headers, or None."""
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


# What is refused, rather than changed, for a character that does not belong there.
VERBATIM = frozenset(("subscriberUrl", "secret", "payloadTemplate", "headers"))
VERSION = "2021-10-20"  # of the body, as X-Cal-Webhook-Version says

# Checked with the other fields, in words; the document has the names.
TriggerName = Annotated[
    str, WithJsonSchema({"type": "string", "enum": [trigger.value for trigger in SUBSCRIBABLE]})
]
Url = Annotated[
    str,
    Field(
        description="Where events are sent; a private address is refused.",
        examples=["https://example.com/hook"],
        json_schema_extra={"format": "uri", "maxLength": URL_LENGTH},  # checked together with all else of it
    ),
]
Triggers = Annotated[
    list[TriggerName],
    Field(min_length=1, description="Which events.", examples=[["BOOKING_CREATED", "BOOKING_CANCELLED"]]),
    said("Please choose at least one trigger.", "too_short"),
    AfterValidator(_known_triggers),
]
Active = Annotated[bool, Field(description="While it is off its events are kept, not dropped.")]
Template = Annotated[
    str | None,
    Field(description="A custom body, JSON or form text, with {{path.to.value}} in it; null: all of it."),
    AfterValidator(_fit_template),
]
Secret = Annotated[
    str | None,
    Field(
        description=f"Signs every delivery: at least {MIN_SECRET} characters, or whsec_ and base64 of 24 to "
        "64 bytes. null leaves it as it is, an empty text removes it."
    ),
]
MOST_OVERLAP = round(SECRET_OVERLAP.total_seconds())
Overlap = Annotated[
    int | None,
    Field(
        ge=0,
        le=MOST_OVERLAP,
        description="For how many seconds the old secret signs together with the new one; 0: not at all. "
        f"By default {MOST_OVERLAP}. Without a new secret it shortens an overlap.",
    ),
    WHOLE,
]
Version = Annotated[Literal["2021-10-20"] | None, Field(description="There is one.")]


class HeaderBody(RequestSchema):
    """A custom header."""

    name: str
    value: Annotated[str | None, Field(description="null or •••• keeps the value that is saved.")] = None

    def value_or_kept(self) -> Header:
        """Return the header as forms take it."""
        return self.name, None if self.value == HIDDEN else self.value


def _fit_headers(headers: list[HeaderBody]) -> list[HeaderBody]:
    if problem := headers_problem([header.value_or_kept() for header in headers]):
        raise ValueError(problem)
    return headers


Headers = Annotated[
    list[HeaderBody],
    Field(max_length=HEADERS_PER_WEBHOOK, description="Sent with every delivery. Values are never shown."),
    said(f"Please give at most {HEADERS_PER_WEBHOOK} headers.", "too_long"),
    AfterValidator(_fit_headers),
]


def _fit_secret(secret: str | None) -> str | None:
    if problem := secret_problem(secret):
        raise ValueError(problem)
    return secret


class WebhookBody(RequestSchema):
    """A webhook to be made."""

    verbatim = VERBATIM

    subscriber_url: Url
    triggers: Triggers
    active: Active = True
    payload_template: Template = None
    secret: Annotated[Secret, AfterValidator(_fit_secret)] = None
    headers: Headers = []
    version: Version = None

    def wanted(self, event_type_id: int | None) -> WebhookInput:
        """Return the webhook to be made; its URL is not yet checked."""
        return WebhookInput(
            subscriber_url=self.subscriber_url,
            triggers=tuple(self.triggers),
            active=self.active,
            event_type_id=event_type_id,
            secret=self.secret,
            payload_template=self.payload_template,
            headers=tuple(header.value_or_kept() for header in self.headers),
        )


class WebhookPatch(PatchSchema):
    """What is to be changed of a webhook; what is left out stays."""

    verbatim = VERBATIM

    subscriber_url: Url = ""
    triggers: Triggers = []
    active: Active = True
    payload_template: Template = None
    secret: Secret = None  # the saved one may be sent back, however short: wanted() checks it
    secret_overlap_seconds: Overlap = None
    headers: Headers = []
    version: Version = None

    def given(self) -> set[str]:
        """Return the names of the fields of a WebhookInput that this changes."""
        names = {"secret_overlap_seconds": "secret_overlap"}
        return {names.get(name, name) for name in self.model_fields_set - {"version"}}

    def wanted(self, webhook: Webhook, *, secret_known: bool) -> WebhookInput:
        """Return the webhook as it is to be, its URL not yet checked; raise Invalid for a bad secret.

        `secret_known` is whether the client may read the saved secret; sent back, it is kept, however short.
        """
        given = {name: getattr(self, name) for name in self.model_fields_set & PLAIN}
        if secret_known and self.secret and is_saved_secret(webhook, self.secret):
            given["secret"] = None
        elif problem := secret_problem(self.secret):
            raise Invalid("Please correct what is marked.", secret=problem)
        headers = tuple(header.value_or_kept() for header in self.headers)
        return replace(saved(webhook), **given, headers=headers, secret_overlap=self.secret_overlap_seconds)

    def changed(self, wanted: WebhookInput) -> dict[str, Any]:
        """Return of a checked webhook what this changes; the rest may have changed in the meantime."""
        return {name: getattr(wanted, name) for name in self.given()}

    def moving_problems(self, webhook: Webhook) -> dict[str, str]:
        """Return, by field, what has to be sent again before this webhook may lead to another receiver."""
        problems = {}
        if webhook.header_names and ("headers" not in self.model_fields_set or self._keeps_values()):
            problems["headers"] = f"{MOVING} all custom headers with their values again, or an empty list."
        if webhook.has_secret and self.secret is None:
            problems["secret"] = f"{MOVING} the secret again, or an empty text."
        return problems

    def _keeps_values(self) -> bool:
        return any(header.value_or_kept()[1] is None for header in self.headers)


PLAIN = frozenset(("subscriber_url", "triggers", "active", "payload_template", "secret"))
MOVING = "This URL leads to another receiver, and this key may not read secrets: send"


def saved(webhook: Webhook) -> WebhookInput:
    """Return a webhook as it is, as forms take it; its secret stays."""
    return WebhookInput(
        subscriber_url=webhook.subscriber_url,
        triggers=tuple(webhook.triggers),
        active=webhook.active,
        event_type_id=webhook.event_type_id,
        payload_template=webhook.payload_template,
        headers=tuple((name, None) for name in webhook.header_names),
    )


def template_warnings(text: str | None) -> list[str]:
    """Say which variables of a template lead nowhere, or why an older one can no longer be rendered."""
    if text is None:
        return []
    try:
        unknown = template.unknown_paths(text)
    except Invalid as error:
        return [f"The payload template cannot be rendered: {error.message}"]
    return [f"{{{{{path[:100]}}}}} leads nowhere and is sent as empty." for path in unknown]


class HeaderAnswer(ResponseSchema):
    """A custom header; its value is never shown."""

    name: str
    value: Literal["••••"] = "••••"


class WebhookAnswer(ResponseSchema):
    """A webhook."""

    id: Annotated[str, Field(description="A UUID.")]
    user_id: int
    event_type_id: Annotated[int | None, Field(description="null: all event types.")]
    subscriber_url: str
    triggers: list[TriggerName]
    active: bool
    off_reason: Annotated[
        OffReason | None,
        Field(description="Why it is off: manually, after a response 410, or after five days of failures."),
    ]
    payload_template: str | None
    secret: Annotated[
        str | None,
        Field(
            description="For the key that made the webhook, if it may write, and for keys with read secrets."
        ),
    ]
    secret_overlap_until: Annotated[
        Instant | None, Field(description="Until when the old secret signs beside the new one.")
    ]
    headers: list[HeaderAnswer]
    version: Literal["2021-10-20"] = "2021-10-20"
    warnings: Annotated[
        list[str],
        Field(
            description="What was saved and may not be meant: variables of the template that lead nowhere."
        ),
    ]
    created_at: Instant
    updated_at: Instant


def shown(webhook: Webhook, *, with_secret: bool, warning: str | None = None) -> WebhookAnswer:
    """Return a webhook as the API shows it, with a warning about its address when it was just saved."""
    return WebhookAnswer(
        id=webhook.uid,
        user_id=webhook.user_id,
        event_type_id=webhook.event_type_id,
        subscriber_url=webhook.subscriber_url,
        triggers=webhook.triggers,
        active=webhook.active,
        off_reason=OffReason(webhook.off_reason) if webhook.off_reason else None,
        payload_template=webhook.payload_template,
        secret=webhook.secret if with_secret else None,
        secret_overlap_until=overlap_until(webhook),
        headers=[HeaderAnswer(name=name) for name in webhook.header_names],
        warnings=[*template_warnings(webhook.payload_template), *([warning] if warning else [])],
        created_at=webhook.created_at,
        updated_at=webhook.updated_at,
    )
