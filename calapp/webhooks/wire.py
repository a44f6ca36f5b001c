"""Webhooks as the API takes and shows them, with Cal.com's names."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from calapp.errors import Invalid
from calapp.limits import URL_LENGTH
from calapp.rest.wire import Answer, Body, Instant, Patch
from calapp.webhooks import template
from calapp.webhooks.forms import HIDDEN, MAX_HEADERS, MIN_SECRET, Header, WebhookInput
from calapp.webhooks.models import OffReason, Webhook
from calapp.webhooks.service import SECRET_OVERLAP, is_saved_secret, overlap_until
from calapp.webhooks.triggers import SUBSCRIBABLE

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
        json_schema_extra={"format": "uri", "maxLength": URL_LENGTH},
    ),
]
Triggers = Annotated[
    list[TriggerName],
    Field(
        description="Which events.",
        examples=[["BOOKING_CREATED", "BOOKING_CANCELLED"]],
        json_schema_extra={"minItems": 1},
    ),
]
Active = Annotated[bool, Field(description="While it is off its events are kept, not dropped.")]
Template = Annotated[
    str | None,
    Field(
        description="A body of your own, JSON or form text, with {{path.to.value}} in it; null: all of it."
    ),
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
        description="For how long the old secret signs beside the new one; 0: not at all. Without it "
        f"{MOST_OVERLAP}. Without a new secret it shortens an overlap.",
    ),
]
Version = Annotated[Literal["2021-10-20"] | None, Field(description="There is one.")]


class HeaderBody(Body):
    """A header of your own."""

    name: str
    value: Annotated[str | None, Field(description="null or •••• keeps the value that is saved.")] = None

    def value_or_kept(self) -> Header:
        """Return the header as forms take it."""
        return self.name, None if self.value == HIDDEN else self.value


Headers = Annotated[
    list[HeaderBody],
    Field(description=f"Sent with every delivery; at most {MAX_HEADERS}. Values are never shown."),
]


class WebhookBody(Body):
    """A webhook to be made."""

    verbatim = VERBATIM

    subscriber_url: Url
    triggers: Triggers
    active: Active = True
    payload_template: Template = None
    secret: Secret = None
    headers: Headers = []
    version: Version = None

    def wanted(self, event_type_id: int | None) -> WebhookInput:
        """Return the webhook to be made, not yet checked."""
        return WebhookInput(
            subscriber_url=self.subscriber_url,
            triggers=tuple(self.triggers),
            active=self.active,
            event_type_id=event_type_id,
            secret=self.secret,
            payload_template=self.payload_template,
            headers=tuple(header.value_or_kept() for header in self.headers),
        )


class WebhookPatch(Patch):
    """What is to be changed of a webhook; what is left out stays."""

    verbatim = VERBATIM

    subscriber_url: Url = ""
    triggers: Triggers = []
    active: Active = True
    payload_template: Template = None
    secret: Secret = None
    secret_overlap_seconds: Overlap = None
    headers: Headers = []
    version: Version = None

    def given(self) -> set[str]:
        """Return the names of the fields of a WebhookInput that this changes."""
        names = {"secret_overlap_seconds": "secret_overlap"}
        return {names.get(name, name) for name in self.model_fields_set - {"version"}}

    def wanted(self, webhook: Webhook, *, secret_known: bool) -> WebhookInput:
        """Return the webhook as it is to be, not yet checked; what is kept is not checked again.

        `secret_known` is whether the client may read the saved secret; sent back, it is kept, however short.
        """
        given = {name: getattr(self, name) for name in self.model_fields_set & PLAIN}
        if secret_known and self.secret and is_saved_secret(webhook, self.secret):
            given["secret"] = None
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


class HeaderAnswer(Answer):
    """A header of your own; its value is never shown."""

    name: str
    value: Literal["••••"] = "••••"


class WebhookAnswer(Answer):
    """A webhook."""

    id: Annotated[str, Field(description="A UUID.")]
    user_id: int
    event_type_id: Annotated[int | None, Field(description="null: all event types.")]
    subscriber_url: str
    triggers: list[TriggerName]
    active: bool
    off_reason: Annotated[
        OffReason | None,
        Field(description="Why it is off: by hand, it answered 410, or every try failed for five days."),
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
