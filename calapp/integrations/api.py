"""The API of pings."""

from typing import Annotated

from pydantic import Field

from calapp.accounts.guards import WRITE, current_host
from calapp.config import settings
from calapp.db import db
from calapp.integrations.ping import ping as send_ping
from calapp.integrations.samples import sample_envelope
from calapp.integrations.webhook_form import box_of, target_of
from calapp.rest.routes import Api
from calapp.rest.schemas import ResponseSchema
from calapp.webhooks.service import own_webhook

blueprint = Api("integrations_api", tag="Webhooks")


class Pinged(ResponseSchema):
    """What came of a ping."""

    status: Annotated[int | None, Field(description="The receiver's answer, if there was one.")]
    milliseconds: int
    failure: Annotated[str | None, Field(description="Why it failed and what to do, for people.")]
    response_body: Annotated[str, Field(description="At most the first 500 characters.")]


@blueprint.operation("POST", "/v2/webhooks/<webhook_id>/ping", access=WRITE, response=Pinged)
def ping(webhook_id: str) -> Pinged:
    """Send a sample booking to a webhook, signed, and wait for its answer."""
    webhook = own_webhook(webhook_id)
    target = target_of(box_of(webhook).wanted(), webhook)
    envelope = sample_envelope(current_host(), settings().base_url)
    db.session().rollback()  # nothing may stay open while the network is awaited
    result = send_ping(target, envelope)
    return Pinged(
        status=result.status,
        milliseconds=result.milliseconds,
        failure=result.failure,
        response_body=result.answer,
    )
