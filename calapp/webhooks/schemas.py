"""A webhook as forms and the API bring it, checked; and as the API shows it."""

import base64
import re
from collections.abc import Callable, Container, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from calapp.addresses import parsed, trimmed
from calapp.errors import Invalid
from calapp.limits import HEADERS_PER_WEBHOOK, TEMPLATE_CHARACTERS, URL_LENGTH
from calapp.rest.schemas import WHOLE, Id, Instant, PatchSchema, RequestSchema, ResponseSchema, cleaned, said
from calapp.text import line
from calapp.webhooks import template
from calapp.webhooks.headers import is_reserved, plain_name
from calapp.webhooks.models import (
    HIDDEN,
    NEVER_SENT,
    SECRET_OVERLAP,
    SUBSCRIBABLE,
    OffReason,
    Trigger,
    Webhook,
    never_sent,
    overlap_until,
)

MIN_SECRET, MAX_SECRET = 16, 500  # characters
NAME_LENGTH = 100  # characters
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # a token of RFC 9110
SECRET_PREFIX = "whsec_"  # noqa: S105  # of Standard Webhooks; base64 of the key follows
SECRET_BYTES = range(24, 65)  # that its specification allows behind the prefix


def checked_by(check: Callable[[str], object]) -> AfterValidator:
    """Return what makes a field say the words of a check that raises Invalid."""

    def validate(text: str) -> str:
        try:
            check(text)
        except Invalid as error:
            raise ValueError(error.message) from None
        return text

    return AfterValidator(validate)


def check_secret(secret: str) -> None:
    """Raise Invalid for a secret that is weak, or read in two ways by receivers; an empty one is none."""
    if not secret:
        return
    if len(secret) > MAX_SECRET or not secret.isprintable():
        raise Invalid(f"A secret must have {MIN_SECRET} to {MAX_SECRET} printable characters.")
    if not secret.startswith(SECRET_PREFIX):
        if len(secret.strip()) < MIN_SECRET:
            raise Invalid(f"Must be at least {MIN_SECRET} characters.")
        return
    text = secret.removeprefix(SECRET_PREFIX)
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    # Encoded again, since only some decoders forgive bits that are left over.
    if len(key) not in SECRET_BYTES or base64.b64encode(key).decode() != text:
        least, most = SECRET_BYTES[0], SECRET_BYTES[-1]
        raise Invalid(f"What follows {SECRET_PREFIX} must be base64 of {least} to {most} bytes.")


# What is refused, rather than changed, for a character that does not belong there.
VERBATIM = frozenset(("subscriberUrl", "secret", "payloadTemplate", "headers"))


def known_triggers(triggers: Sequence[str], saved: Container[str]) -> list[str]:
    """Return triggers in our order, each once; behind them those that are never sent or no longer offered.

    Raises ValueError for one that is neither Cal.com's nor ours nor `saved`.
    """
    others = [name for name in dict.fromkeys(triggers) if name not in SUBSCRIBABLE]
    kept = [name for name in others if name in NEVER_SENT or name in saved]
    if unknown := sorted(set(triggers) - set(SUBSCRIBABLE) - set(kept)):
        names = ", ".join(name[:60] for name in unknown[:3])
        hint = " PING is only sent by the ping test." if Trigger.PING in unknown else ""
        raise ValueError(f"Unknown trigger: {names}.{hint}")
    return [*(trigger.value for trigger in SUBSCRIBABLE if trigger in triggers), *kept]


# Checked with the other fields, in words; the document has the names.
TriggerName = Annotated[
    str,
    WithJsonSchema({"type": "string", "enum": [*(trigger.value for trigger in SUBSCRIBABLE), *NEVER_SENT]}),
]
Url = Annotated[
    str,
    Field(
        max_length=URL_LENGTH,
        description="Where events are sent. Private addresses are not allowed.",
        examples=["https://example.com/hook"],
        json_schema_extra={"format": "uri"},
    ),
    cleaned(trimmed),
    checked_by(parsed),
]
Triggers = Annotated[
    list[TriggerName],
    Field(
        min_length=1,
        description="The events to send. Those that cannot happen here are listed as `neverSent`.",
        examples=[["BOOKING_CREATED", "BOOKING_CANCELLED"]],
    ),
    said("Please choose at least one trigger.", "too_short"),
]
Active = Annotated[bool, Field(description="While a webhook is off, its events are parked.")]
Template = Annotated[
    Annotated[str, Field(max_length=TEMPLATE_CHARACTERS), checked_by(template.check)] | None,
    Field(
        description="A custom body, JSON or form text, with variables: {{path.to.value}}. null: the default."
    ),
    AfterValidator(lambda text: text or None),
]
SecretText = Annotated[str, Field(max_length=MAX_SECRET)]
SECRET_FIELD = Field(
    description=f"Signs every delivery: at least {MIN_SECRET} characters, or whsec_ and base64 of 24 to "
    "64 bytes. null keeps it, an empty string removes it."
)
MOST_OVERLAP = round(SECRET_OVERLAP.total_seconds())
Overlap = Annotated[
    int | None,
    Field(
        ge=0,
        le=MOST_OVERLAP,
        description="Seconds for which the old secret is used alongside the new one; 0: not at all. "
        f"Default: {MOST_OVERLAP}. Without a new secret, it shortens a current overlap.",
    ),
    WHOLE,
]


Name = Annotated[
    Annotated[str, Field(max_length=NAME_LENGTH)] | None,
    Field(description="What you call it, in lists, emails and `WEBHOOK_FAILING`; null: its URL."),
    cleaned(line),
    AfterValidator(lambda text: text or None),
]


MOST_PER_SECOND = 1000
MaxPerSecond = Annotated[
    Annotated[int, Field(ge=1, le=MOST_PER_SECOND), WHOLE] | None,
    Field(description="At most this many requests per second, by all workers together; null: no limit."),
    said(f"Must be a whole number from 1 to {MOST_PER_SECOND:,}."),
]


class HeaderBody(RequestSchema):
    """A custom header."""

    name: str
    value: Annotated[
        str | None,
        Field(description="null or •••• keeps the saved value."),
        AfterValidator(lambda value: None if value == HIDDEN else value),
    ] = None


def _sendable(headers: list[HeaderBody]) -> list[HeaderBody]:
    """Raise ValueError for a name that is listed twice, or is ours, and for what HTTP cannot send."""
    seen: set[str] = set()
    for header in headers:
        name, value = header.name, header.value
        if not HEADER_NAME.fullmatch(name):
            raise ValueError(f"“{name[:60]}” is not a valid header name.")
        if is_reserved(name):
            raise ValueError(f"The header {name} is set by Calapp or by HTTP itself.")
        if plain_name(name) in seen:
            raise ValueError(f"Header {name} is listed twice.")
        if value is not None and (len(value) > 1000 or not value.isprintable()):
            raise ValueError(f"The value of {name} must be one line of up to 1,000 printable characters.")
        seen.add(plain_name(name))
    return headers


Headers = Annotated[
    list[HeaderBody],
    Field(max_length=HEADERS_PER_WEBHOOK, description="Sent with every delivery. Values are never shown."),
    said(f"A webhook can have up to {HEADERS_PER_WEBHOOK} custom headers.", "too_long"),
    AfterValidator(_sendable),
]


class WebhookBody(RequestSchema):
    """A new webhook."""

    verbatim = VERBATIM

    name: Name = None
    subscriber_url: Url
    triggers: Annotated[
        Triggers,
        # The box says by `saved_triggers` which ones a webhook has.
        AfterValidator(
            lambda given, info: known_triggers(given, (info.context or {}).get("saved_triggers", ()))
        ),
    ]
    active: Active = True
    payload_template: Template = None
    max_per_second: MaxPerSecond = None
    secret: Annotated[Annotated[SecretText, checked_by(check_secret)] | None, SECRET_FIELD] = None
    headers: Headers = []
    version: Annotated[Literal["2021-10-20"] | None, Field(description="Whether a secret is saved.")] = None

    def given(self) -> set[str]:
        """Return the names of the fields to save: all, or of a change those that were given."""
        return self.model_fields_set if isinstance(self, PatchSchema) else set(type(self).model_fields)


class WebhookPatch(WebhookBody, PatchSchema):
    """Changes to a webhook. Omitted fields keep their value."""

    subscriber_url: Url = ""
    triggers: Triggers = []  # checked where it is known which ones are saved
    # Not checked here: a key that may read the saved one may send it back, however short it is.
    secret: Annotated[SecretText | None, SECRET_FIELD] = None
    secret_overlap_seconds: Overlap = None


class WebhookForm(WebhookBody):
    """The webhook box: all of a webhook, with what the API has in its addresses."""

    event_type_id: Annotated[Id | None, said("There is no such event type.")] = None
    secret_overlap_seconds: Overlap = None


def template_warnings(text: str | None) -> list[str]:
    """Say which variables of a template lead nowhere, or why an older one can no longer be rendered."""
    if text is None:
        return []
    try:
        unknown = template.unknown_paths(text)
    except Invalid as error:
        return [f"The payload template cannot be rendered: {error.message}"]
    return [f"{{{{{path[:100]}}}}} is not a known variable and is sent as empty." for path in unknown]


class SavedHeader(ResponseSchema):
    """A custom header; its value is never shown."""

    name: str
    value: Literal["••••"] = "••••"


class SavedWebhook(ResponseSchema):
    """A webhook."""

    id: Annotated[str, Field(description="A UUID.")]
    user_id: int
    event_type_id: Annotated[int | None, Field(description="null: all event types.")]
    name: str | None
    subscriber_url: str
    triggers: list[str]
    never_sent: Annotated[
        list[str],
        Field(description="Those of `triggers` that bring nothing, since what they stand for cannot happen."),
    ]
    active: bool
    off_reason: Annotated[
        OffReason | None,
        Field(
            description="Why it is off: by the host, after a 410 response, or after five days of failures."
        ),
    ]
    health: Annotated[
        Literal["ok", "failing"],
        Field(
            description="failing: attempts of five different events have failed, or the first failure was "
            "ten minutes ago, and nothing was received since."
        ),
    ]
    failing_since: Annotated[Instant | None, Field(description="When the first of those attempts failed.")]
    payload_template: str | None
    max_per_second: Annotated[int | None, Field(description="null: no limit.")]
    secret: Annotated[
        str | None,
        Field(description="Only for the write key that created the webhook, and for keys with read secrets."),
    ]
    secret_overlap_until: Annotated[
        Instant | None, Field(description="Until when the old secret is used alongside the new one.")
    ]
    headers: list[SavedHeader]
    version: Literal["2021-10-20"] = "2021-10-20"
    warnings: Annotated[
        list[str],
        Field(description="Warnings about what was saved: unknown variables in the template."),
    ]
    created_at: Instant
    updated_at: Instant


def shown(webhook: Webhook, *, with_secret: bool, warning: str | None = None) -> SavedWebhook:
    """Return a webhook as the API shows it, with a warning about its address when it was just saved."""
    shaped = {
        "id": webhook.uid,
        "never_sent": never_sent(webhook.triggers),
        "secret": webhook.secret if with_secret else None,
        "secret_overlap_until": overlap_until(webhook),
        "headers": [SavedHeader(name=name) for name in webhook.header_names],
        "version": "2021-10-20",
        "health": "failing" if webhook.failing else "ok",
        "failing_since": webhook.unhealthy_since if webhook.failing else None,
        "warnings": [*template_warnings(webhook.payload_template), *([warning] if warning else [])],
    }
    columns = {name: getattr(webhook, name) for name in SavedWebhook.model_fields if name not in shaped}
    return SavedWebhook.model_validate(columns | shaped)
