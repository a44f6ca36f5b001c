"""Ping: a sample booking sent to a webhook immediately, whether or not it is saved; its route of the API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Annotated, Any

from pydantic import Field

from calapp import tracing
from calapp.accounts.guards import WRITE, current_host
from calapp.addresses import AddressGuard, sent_form
from calapp.clock import now
from calapp.config import WEB_THREADS, settings
from calapp.db import db
from calapp.deliveries.client import Sender
from calapp.deliveries.exchange import WebhookRequest, WebhookResponse
from calapp.deliveries.feed import Places
from calapp.deliveries.outbox import encoded
from calapp.deliveries.signing import JSON_TYPE, request_headers, valid_secrets
from calapp.errors import Busy
from calapp.integrations.samples import Sample, ping_envelope
from calapp.rest.routes import Api
from calapp.rest.schemas import QuerySchema, ResponseSchema
from calapp.webhooks import template
from calapp.webhooks.models import Webhook
from calapp.webhooks.schemas import WebhookBody
from calapp.webhooks.service import merged_headers, own_webhook

blueprint = Api("integrations_api", tag="Webhooks")

SHOWN = 500  # characters of the response
# Each holds a thread of the web server for as long as the receiver takes.
places = Places(most=WEB_THREADS // 3, most_per_host=2, limit="pings")


@dataclass(frozen=True)
class PingTarget:
    """Where a ping goes, and how: the first secret is that of X-Cal-Signature-256."""

    url: str
    secrets: Sequence[str]
    headers: Sequence[Sequence[str]]
    payload_template: str | None


class Pinged(ResponseSchema):
    """What came of a ping."""

    status: Annotated[int | None, Field(description="The receiver's response, if there was one.")]
    milliseconds: int
    failure: Annotated[str | None, Field(description="Why it failed and what to do, as text for people.")]
    response_body: Annotated[str, Field(description="Up to the first 500 characters.")]


def saved_target(webhook: Webhook) -> PingTarget:
    """Return the target of a webhook as it is saved; raise KeyDoesNotFit when its secrets cannot be read."""
    secrets = valid_secrets(webhook, now())
    return PingTarget(webhook.subscriber_url, secrets, webhook.headers, webhook.payload_template)


def typed_target(body: WebhookBody, webhook: Webhook | None) -> PingTarget:
    """Return what was typed as a target, with what is saved where a field was left as it is."""
    secrets = [body.secret] if body.secret else []
    if body.secret is None and webhook:
        secrets = valid_secrets(webhook, now())
    headers = merged_headers(webhook.sealed_headers if webhook else (), body.headers)
    return PingTarget(body.subscriber_url, secrets, headers, body.payload_template)


def send_ping(target: PingTarget, envelope: Mapping[str, Any]) -> Pinged:
    """Send a ping and wait for what comes of it; raise Busy while too many others wait."""
    text, content_type = encoded(envelope), JSON_TYPE
    if target.payload_template:
        text, content_type = template.render(target.payload_template, envelope)
    body, chosen = text.encode(), settings()
    headers = request_headers(
        envelope["id"],
        body,
        at=now(),
        secrets=target.secrets,
        custom=target.headers,
        number=1,
        content_type=content_type,
        trace=tracing.current().child(token_hex(8)),
    )
    with places.taken(current_host().id) as free:
        if not free:
            raise Busy("Too many pings are in progress. Please try again in a moment.")
        guard = AddressGuard(chosen.webhook_allowed_networks)
        sender = Sender(slots=1, timeout=chosen.webhook_timeout, guard=guard)
        try:
            sender.start([WebhookRequest(0, "", 0, sent_form(target.url), headers, body, 1)])
            responses: list[WebhookResponse] = []
            while not responses:
                responses = sender.responses(1.0)
        finally:
            sender.close()
    response = responses[0]
    return Pinged(
        status=response.status,
        milliseconds=round(response.timings.total),
        failure=response.failure.words if response.failure else None,
        response_body=response.body[:SHOWN],
    )


class PingQuery(QuerySchema):
    """What a ping carries."""

    sample: Annotated[
        Sample,
        Field(
            description="`invented`: a booking that was never made. `last_booking`: your last one; else 409."
        ),
    ] = Sample.INVENTED


@blueprint.operation(
    "POST",
    "/v2/webhooks/<webhook_id>/ping",
    access=WRITE,
    query=PingQuery,
    response=Pinged,
    errors=(409,),
)
def ping(webhook_id: str, query: PingQuery) -> Pinged:
    """Send a signed sample booking, or your last one, to a webhook and return the response."""
    target = saved_target(own_webhook(webhook_id))
    envelope = ping_envelope(db.session(), current_host(), settings().base_url, query.sample)
    db.session().rollback()  # nothing may stay open while the network is awaited
    return send_ping(target, envelope)
