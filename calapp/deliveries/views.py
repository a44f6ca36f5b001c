"""The pages of the log: deliveries of a webhook, one delivery with its attempts, and replays."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from flask import Blueprint, Response, flash, request, url_for

from calapp.accounts.guards import current_host, require_host
from calapp.clock import now
from calapp.config import settings
from calapp.db import db, transaction
from calapp.deliveries import formatting, log, replays, resend
from calapp.deliveries.formatting import difference
from calapp.deliveries.models import ReplayState, State
from calapp.deliveries.outbox import TemplateChoice
from calapp.deliveries.replays import TimeRange
from calapp.errors import AppError, Conflict, Invalid, NotFound
from calapp.htmx import is_htmx, page_or_fragment, redirect_to
from calapp.local_time import typed_instant, zone_label, zone_of
from calapp.text import whole_number
from calapp.webhooks.models import Trigger, label_of, never_sent
from calapp.webhooks.service import own_webhook, with_log

blueprint = Blueprint("deliveries", __name__)
blueprint.before_request(require_host)

PATH = "/integrations/webhooks/<int:webhook_id>/deliveries"


# Seconds between looks at what is not final: soon at first, then ever more slowly.
PAUSES = (1, 1, 2, 3, 5, 8, 13, 20, 30, 60)


@blueprint.get("/integrations/deliveries", endpoint="all")
def all_webhooks() -> Response:
    """Show the log over all webhooks of the host, or of the one that the filter names."""
    wanted = log.read_filter(request.args, current_host().time_zone)
    return _log(wanted)


@blueprint.get(PATH, endpoint="index")
def index(webhook_id: int) -> Response:
    """Show the log of one webhook."""
    wanted = log.read_filter(request.args, current_host().time_zone)
    return _log(replace(wanted, webhook=own_webhook(webhook_id, even_deleted=True).id))


def _log(wanted: log.Filter) -> Response:
    """Show a page of deliveries with its filter and, of a single webhook, the replay that runs."""
    session = db.session()
    webhooks = {one.id: one for one in with_log(session, current_host().id)}
    webhook = None
    if wanted.webhook is not None:
        webhook = webhooks.get(wanted.webhook)
        if webhook is None:
            raise NotFound
    page = log.page_of(session, [webhook] if webhook else list(webhooks.values()), wanted)
    replay = replays.latest(session, webhook.id) if webhook else None
    replaying = replay is not None and replay.state == ReplayState.RUNNING
    deciding = webhook is not None and webhook.parked_decision is not None
    return page_or_fragment(
        "deliveries/index.html",
        "deliveries/_log.html",
        webhook=webhook,
        webhooks=webhooks,
        wanted=wanted,
        page=page,
        replay=replay,
        parked=log.counts(session, [webhook.id], State.PARKED).get(webhook.id, 0) if webhook else 0,
        polls=wanted.first_page and (page.changing or replaying or deciding),
        **_common(),
    )


@blueprint.get("/integrations/events/<event_uid>")
def event(event_uid: str) -> Response:
    """Show an event: its webhooks and their attempts beside each other."""
    session = db.session()
    found, deliveries = log.event_of_host(session, current_host().id, event_uid)
    return page_or_fragment(
        "deliveries/event.html",
        "deliveries/_event.html",
        event=found,
        deliveries=[(one, log.attempts_of(session, one.id)) for one in deliveries],
        polls=any(one.state == State.WAITING for one in deliveries),
        **_common(),
    )


@blueprint.get(f"{PATH}/<int:delivery_id>")
def show(webhook_id: int, delivery_id: int) -> Response:
    """Show a delivery: the request, every attempt, and what can be done."""
    session, webhook = db.session(), own_webhook(webhook_id, even_deleted=True)
    delivery = log.find(session, webhook.id, delivery_id)
    sent, attempts = formatting.request_of(delivery, webhook), log.attempts_of(session, delivery.id)
    return page_or_fragment(
        "deliveries/show.html",
        "deliveries/_delivery.html",
        webhook=webhook,
        delivery=delivery,
        attempts=attempts,
        sent=sent,
        curl=formatting.as_curl(sent),
        difference=difference(session, delivery, attempts[0] if attempts else None),
        polls=delivery.state == State.WAITING,
        **_common(),
    )


def _common() -> dict[str, object]:
    look = whole_number(request.args.get("look", ""), digits=5) or 0  # how often the page has looked already
    return {
        "words": formatting,
        "zone": current_host().time_zone,
        "kept_days": settings().retention_days,
        "look": look,
        "pause": PAUSES[min(look, len(PAUSES) - 1)],
        "Trigger": Trigger,
        "label_of": label_of,
        "never_sent": never_sent,
    }


@blueprint.post(f"{PATH}/<int:delivery_id>/resend", endpoint="resend")
def resend_delivery(webhook_id: int, delivery_id: int) -> Response:
    """Send a delivery again, with the body that it had or with the webhook's current template."""
    given = request.form.get("template", "")
    choice = TemplateChoice(given) if given in set(TemplateChoice) else None
    try:
        with transaction() as session:
            found = log.find(session, own_webhook(webhook_id).id, delivery_id)
            said = formatting.sent_now(found)
            again = resend.resend(session, found, choice).id
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


MINUTES = "%Y-%m-%dT%H:%M"


def read_time_range(given: Mapping[str, str], zone: str) -> TimeRange:
    """Read a time range whose times are in a zone; raise Invalid with what is wrong at which field."""
    problems, times = {}, {}
    for name in ("from", "to"):
        try:
            times[name] = typed_instant(given.get(name, ""), zone, last=name == "to")
        except ValueError:
            problems[name] = "Please enter a date and a time."
    if not problems and times["from"] >= times["to"]:
        problems["to"] = "The end must be after the start."
    if problems:
        raise Invalid("Please fix the marked fields.", **problems)
    return TimeRange(from_at=times["from"], to_at=times["to"], only_failed=given.get("which") != "all")


def _default_range(zone: str) -> dict[str, str]:
    """Return the last day as the form has it, to the next minute so that what has just happened is in it."""
    local = now().astimezone(zone_of(zone))
    ends = local + timedelta(minutes=1)
    return {"from": (local - timedelta(days=1)).strftime(MINUTES), "to": ends.strftime(MINUTES)}


def _form(webhook_id: int, given: Mapping[str, str], **more: object) -> Response:
    zone = current_host().time_zone
    form = _default_range(zone) | dict(given)
    return page_or_fragment(
        "deliveries/replay.html",
        "deliveries/_replay.html",
        webhook=own_webhook(webhook_id),
        form=form,
        range_of_form=_named(form),
        zone=zone_label(zone),
        **{"errors": {}, "problem": "", "counted": None, "asked": False, **more},
    )


def _named(form: Mapping[str, str]) -> str:
    """Return a time range as the form sends it back, to tell whether it is the one that was counted."""
    return "|".join((form.get("from", ""), form.get("to", ""), form.get("which", "failed")))


@blueprint.get(f"{PATH}/replay")
def ask_replay(webhook_id: int) -> Response:
    """Show the form, and say how many events would be sent: of the last day, or as it is filled in."""
    return _counted(webhook_id, request.args, asked="from" in request.args)


def _counted(webhook_id: int, given: Mapping[str, str], *, asked: bool) -> Response:
    zone = current_host().time_zone
    try:
        time_range = read_time_range(_default_range(zone) | dict(given), zone)
    except Invalid as error:
        return _refused(webhook_id, given, error)
    counted = replays.count(db.session(), own_webhook(webhook_id).id, time_range)
    return _form(webhook_id, given, counted=counted, asked=asked)


@blueprint.post(f"{PATH}/replay")
def start_replay(webhook_id: int) -> Response:
    """Begin a replay; of a time range that was changed since it was counted, say first how much it is."""
    webhook, form = own_webhook(webhook_id), request.form
    if form.get("counted", _named(form)) != _named(form):
        return _counted(webhook_id, form, asked=True)
    try:
        time_range = read_time_range(request.form, current_host().time_zone)
        total = replays.count(db.session(), webhook.id, time_range).total
        with transaction() as session:
            replays.start(session, own_webhook(webhook_id), time_range, total)
    except (Invalid, Conflict) as error:
        return _refused(webhook_id, request.form, error)
    return redirect_to(url_for(".index", webhook_id=webhook_id), "Replay started.")


def _refused(webhook_id: int, given: Mapping[str, str], error: Invalid | Conflict) -> Response:
    problem = "" if error.details else error.message
    response = _form(webhook_id, given, errors=error.details, problem=problem)
    response.status_code = 409 if isinstance(error, Conflict) else 422
    return response


@blueprint.post(f"{PATH}/replay/stop")
def stop_replay(webhook_id: int) -> Response:
    """Stop a replay; what is on its way already is still sent."""
    with transaction() as session:
        replays.stop(session, own_webhook(webhook_id).id)
    return redirect_to(url_for(".index", webhook_id=webhook_id), "Replay stopped.")
