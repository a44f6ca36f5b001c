"""The delivery log of a webhook, and one delivery with its tries."""

from flask import Response, flash, request, url_for

from calapp.accounts.guards import current_host
from calapp.db import db, transaction
from calapp.deliveries import log, replay_views, replays, service, words
from calapp.deliveries.blueprint import PATH, blueprint
from calapp.deliveries.models import ReplayState, State
from calapp.deliveries.rendering import TemplateChoice, template_changed
from calapp.errors import AppError, NotFound
from calapp.htmx import is_htmx, page_or_fragment, redirect_to
from calapp.webhooks.guards import own_webhook
from calapp.webhooks.triggers import Trigger

__all__ = ["blueprint", "replay_views"]

# Seconds between looks at what is not final: soon at first, then ever more slowly.
PAUSES = (1, 1, 2, 3, 5, 8, 13, 20, 30, 60)


def pause(look: int) -> int:
    """Return how many seconds the page waits before its next look."""
    return PAUSES[min(look, len(PAUSES) - 1)]


def look_number() -> int:
    """Return how often the page has looked already, as it says itself."""
    text = request.args.get("look", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


@blueprint.get(PATH, endpoint="index")
def index(webhook_id: int) -> Response:
    """Show the log of a webhook: filters, a page of deliveries, and the replay that runs."""
    webhook, wanted = own_webhook(webhook_id), log.read_filter(request.args)
    page, replay = log.page_of(db.session(), webhook.id, wanted), replays.latest(db.session(), webhook.id)
    replaying = replay is not None and replay.state == ReplayState.RUNNING
    return page_or_fragment(
        "deliveries/index.html",
        "deliveries/_log.html",
        webhook=webhook,
        wanted=wanted,
        page=page,
        replay=replay,
        parked=service.counts(db.session(), [webhook.id], State.PARKED).get(webhook.id, 0),
        polls=wanted.first_page and (page.changing or replaying or webhook.settling is not None),
        **_common(),
    )


@blueprint.get(f"{PATH}/<int:delivery_id>")
def show(webhook_id: int, delivery_id: int) -> Response:
    """Show a delivery: the request, every try, and what can be done."""
    webhook = own_webhook(webhook_id)
    delivery = service.find(db.session(), webhook.id, delivery_id)
    sent = words.request_of(delivery, webhook)
    return page_or_fragment(
        "deliveries/show.html",
        "deliveries/_delivery.html",
        webhook=webhook,
        delivery=delivery,
        attempts=service.attempts_of(db.session(), delivery.id),
        sent=sent,
        curl=words.as_curl(sent),
        template_changed=template_changed(delivery),
        polls=delivery.state == State.WAITING,
        **_common(),
    )


def _common() -> dict[str, object]:
    look = look_number()
    return {
        "words": words,
        "zone": current_host().time_zone,
        "look": look,
        "pause": pause(look),
        "Trigger": Trigger,
    }


@blueprint.post(f"{PATH}/<int:delivery_id>/resend")
def resend(webhook_id: int, delivery_id: int) -> Response:
    """Send a delivery once more, with the body that it had or with the webhook's current template."""
    given = request.form.get("template", "")
    choice = TemplateChoice(given) if given in set(TemplateChoice) else None
    try:
        with transaction() as session:
            found = service.find(session, own_webhook(webhook_id).id, delivery_id)
            said = words.sent_now(found)
            again = service.resend(session, found, choice).id
    except NotFound:
        raise
    except AppError as error:
        return refused(error, url_for(".show", webhook_id=webhook_id, delivery_id=delivery_id))
    return redirect_to(url_for(".show", webhook_id=webhook_id, delivery_id=again), said)


def refused(error: AppError, address: str) -> Response:
    """Say on the page that was left why something was not done."""
    if is_htmx():
        raise error
    flash(error.message, "bad")
    return redirect_to(address)
