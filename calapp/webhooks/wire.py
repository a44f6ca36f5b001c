"""Webhooks as the API takes and shows them, with Cal.com's names."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from calapp.addresses import MAX_URL
from calapp.errors import Invalid
from calapp.rest.wire import Answer, Body, Instant, Patch
from calapp.webhooks import template
from calapp.webhooks.forms import HIDDEN, MAX_HEADERS, Header, WebhookInput
from calapp.webhooks.models import OffReason, Webhook
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
        json_schema_extra={"format": "uri", "maxLength": MAX_URL},
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
    Field(description="Signs every delivery. null leaves it as it is, an empty text removes it."),
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
    headers: Headers = []
    version: Version = None

    def wanted(self, webhook: Webhook) -> WebhookInput:
        """Return the webhook as it is to be, not yet checked."""
        given = {name: getattr(self, name) for name in self.model_fields_set - {"headers", "version"}}
        if "headers" in self.model_fields_set:
            given["headers"] = tuple(header.value_or_kept() for header in self.headers)
        return replace(saved(webhook), **given)

    def changed(self, wanted: WebhookInput) -> dict[str, Any]:
        """Return of a checked webhook what this changes; the rest may have changed in the meantime."""
        return {name: getattr(wanted, name) for name in self.model_fields_set - {"version"}}


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
        headers=[HeaderAnswer(name=name) for name in webhook.header_names],
        warnings=[*template_warnings(webhook.payload_template), *([warning] if warning else [])],
        created_at=webhook.created_at,
        updated_at=webhook.updated_at,
    )
