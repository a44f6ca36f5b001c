"""Find a webhook and check that it is mine."""

from calapp.accounts.guards import current_host
from calapp.db import db
from calapp.errors import NotFound
from calapp.webhooks.models import Webhook


def own_webhook(webhook_id: int) -> Webhook:
    """Return the signed-in host's webhook with this id; raise NotFound for a stranger's or a deleted one."""
    webhook = db.session().get(Webhook, webhook_id)
    if webhook is None or webhook.user_id != current_host().id or webhook.deleted_at is not None:
        raise NotFound
    return webhook
