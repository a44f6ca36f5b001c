"""The API of webhooks: of the host under /v2/webhooks, of one event type under /v2/event-types."""

from calapp.accounts.guards import READ, WRITE, api_key, current_host, has_scope
from calapp.accounts.models import Scope
from calapp.addresses import same_origin
from calapp.db import db, transaction
from calapp.errors import Invalid
from calapp.event_types.service import own_event_type
from calapp.rest.routes import Api, Page
from calapp.rest.schemas import PageInfo, Paging, page_info
from calapp.webhooks import service
from calapp.webhooks.models import Webhook, is_saved_secret
from calapp.webhooks.schemas import (
    SavedWebhook,
    WebhookBody,
    WebhookPatch,
    check_secret,
    known_triggers,
    shown,
)
from calapp.webhooks.service import own_webhook

blueprint = Api("webhooks_api", tag="Webhooks")
of_event_type = Api("event_type_webhooks_api", tag="Webhooks of an event type")

LIST, ONE = "/v2/webhooks", "/v2/webhooks/<webhook_id>"
MOVING = "This URL points to another receiver, and this key may not read secrets: send"
EVENT_TYPE = "/v2/event-types/<int:event_type_id>/webhooks"


@blueprint.operation("GET", LIST, access=READ, response=list[SavedWebhook], pagination=PageInfo, query=Paging)
def index(query: Paging) -> Page:
    """List the webhooks of all event types.

    Webhooks of one event type are listed under that event type, or here once it is deleted.
    """
    return _page(query, None)


@blueprint.operation(
    "POST", LIST, access=WRITE, response=SavedWebhook, status=201, body=WebhookBody, errors=(409,)
)
def create(body: WebhookBody) -> SavedWebhook:
    """Create a webhook for all event types.

    Its URL must be unique among them (409) and must not point to a private address (400).
    """
    return _create(body, None)


@blueprint.operation("GET", ONE, access=READ, response=SavedWebhook)
def show(webhook_id: str) -> SavedWebhook:
    """Show a webhook."""
    return _shown(own_webhook(webhook_id))


@blueprint.operation("PATCH", ONE, access=WRITE, response=SavedWebhook, body=WebhookPatch, errors=(409,))
def update(webhook_id: str, body: WebhookPatch) -> SavedWebhook:
    """Update a webhook. Omitted fields keep their value.

    A changed secret signs together with the old one for 24 hours, or as `secretOverlapSeconds` says. A URL
    with another scheme, host or port ends that immediately; a key that may not read secrets has to send the
    secret and all custom headers again with it (400).
    """
    return _update(body, webhook_id)


@blueprint.operation("DELETE", ONE, access=WRITE, response=SavedWebhook)
def delete(webhook_id: str) -> SavedWebhook:
    """Delete a webhook. Nothing more is sent to it."""
    return _delete(webhook_id)


@of_event_type.operation(
    "GET", EVENT_TYPE, access=READ, response=list[SavedWebhook], pagination=PageInfo, query=Paging
)
def index_of_event_type(event_type_id: int, query: Paging) -> Page:
    """List the webhooks of an event type."""
    return _page(query, own_scope(event_type_id))


@of_event_type.operation(
    "POST", EVENT_TYPE, access=WRITE, response=SavedWebhook, status=201, body=WebhookBody, errors=(409,)
)
def create_for_event_type(event_type_id: int, body: WebhookBody) -> SavedWebhook:
    """Create a webhook for one event type."""
    return _create(body, own_event_type(event_type_id).id)


@of_event_type.operation("DELETE", EVENT_TYPE, access=WRITE, response=str)
def delete_all_of_event_type(event_type_id: int) -> str:
    """Delete all webhooks of an event type. Nothing more is sent to them."""
    with transaction() as session:
        found = service.of_user(session, current_host().id, own_scope(event_type_id))
        for webhook in found:
            service.delete(webhook)
    return f"{len(found)} {'webhook' if len(found) == 1 else 'webhooks'} deleted"


@of_event_type.operation("GET", f"{EVENT_TYPE}/<webhook_id>", access=READ, response=SavedWebhook)
def show_of_event_type(event_type_id: int, webhook_id: str) -> SavedWebhook:
    """Show a webhook of an event type."""
    return _shown(own_webhook(webhook_id, own_scope(event_type_id)))


@of_event_type.operation(
    "PATCH",
    f"{EVENT_TYPE}/<webhook_id>",
    access=WRITE,
    response=SavedWebhook,
    body=WebhookPatch,
    errors=(409,),
)
def update_of_event_type(event_type_id: int, webhook_id: str, body: WebhookPatch) -> SavedWebhook:
    """Update a webhook of an event type. Omitted fields keep their value."""
    return _update(body, webhook_id, own_scope(event_type_id))


@of_event_type.operation("DELETE", f"{EVENT_TYPE}/<webhook_id>", access=WRITE, response=SavedWebhook)
def delete_of_event_type(event_type_id: int, webhook_id: str) -> SavedWebhook:
    """Delete a webhook of an event type."""
    return _delete(webhook_id, own_scope(event_type_id))


def own_scope(event_type_id: int) -> int:
    """Return the id when the key's host has or had webhooks or an event type there; raise NotFound."""
    if service.count(db.session(), current_host().id, event_type_id):
        return event_type_id  # whether or not the event type was deleted since
    return own_event_type(event_type_id).id


def _page(query: Paging, event_type_id: int | None) -> Page:
    session, host = db.session(), current_host()
    total = service.count(session, host.id, event_type_id)
    found = service.page(session, host.id, event_type_id, take=query.take, skip=query.skip)
    return Page([_shown(one) for one in found], page_info(query, total=total, returned=len(found)))


def _create(body: WebhookBody, event_type_id: int | None) -> SavedWebhook:
    found = service.checked_url(body.subscriber_url)
    body.subscriber_url = found.url
    with transaction() as session:
        key = api_key()
        made = service.create(
            session,
            current_host().id,
            body,
            event_type_id=event_type_id,
            api_key_id=key.id if key else None,
        )
    return _shown(made, found.warning)


def _update(body: WebhookPatch, uid: str, event_type_id: int | None = None) -> SavedWebhook:
    webhook, warning = own_webhook(uid, event_type_id), None
    # Switching off must work whatever became of the address.
    if not body.given() <= {"active"}:
        moves = "subscriber_url" in body.given()
        found = service.checked_url(body.subscriber_url if moves else webhook.subscriber_url)
        warning = found.warning
        if moves:
            body.subscriber_url = found.url
    with transaction() as session:
        webhook = own_webhook(uid, event_type_id)
        _check_secrets(body, webhook)
        if "triggers" in body.given():
            try:
                body.triggers = known_triggers(body.triggers, webhook.triggers)
            except ValueError as error:
                raise Invalid("Please fix the marked fields.", triggers=str(error)) from None
        service.update(session, webhook, body, webhook.event_type_id)
    return _shown(webhook, warning)


def _check_secrets(body: WebhookPatch, webhook: Webhook) -> None:
    """Raise Invalid for a weak secret, and when this key may not read what another receiver would get.

    A key that may read the saved secret may send it back, however short it is.
    """
    readable = _may_read_secret(webhook)
    if body.secret and not (readable and is_saved_secret(webhook, body.secret)):
        try:
            check_secret(body.secret)
        except Invalid as error:
            raise Invalid("Please fix the marked fields.", secret=error.message) from None
    given = body.given()
    if "subscriber_url" not in given or has_scope(Scope.READ_SECRETS):
        return
    if same_origin(body.subscriber_url, webhook.subscriber_url):
        return
    problems = {}
    kept = "headers" not in given or any(header.value is None for header in body.headers)
    if webhook.header_names and kept:
        problems["headers"] = f"{MOVING} all custom headers with their values again, or an empty list."
    if webhook.has_secret and body.secret is None and not readable:
        problems["secret"] = f"{MOVING} the secret again, or an empty string."
    if problems:
        raise Invalid("Send again the values that must not go to another receiver.", **problems)


def _delete(uid: str, event_type_id: int | None = None) -> SavedWebhook:
    with transaction():
        webhook = own_webhook(uid, event_type_id)
        last = _shown(webhook)
        service.delete(webhook)
    return last


def _shown(webhook: Webhook, warning: str | None = None) -> SavedWebhook:
    return shown(webhook, with_secret=_may_read_secret(webhook), warning=warning)


def _may_read_secret(webhook: Webhook) -> bool:
    """Return whether this key may read secrets, or has made this webhook and may write."""
    key = api_key()
    made_here = has_scope(Scope.WRITE) and key is not None and webhook.api_key_id == key.id
    return made_here or has_scope(Scope.READ_SECRETS)
