"""Replaying a window of a webhook's events: the form with its count, start, stop."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from flask import Response, request, url_for

from calapp.accounts.guards import current_host
from calapp.clock import now
from calapp.db import db, transaction
from calapp.deliveries import replays
from calapp.deliveries.blueprint import PATH, blueprint
from calapp.deliveries.replays import Window
from calapp.errors import Conflict, Invalid
from calapp.htmx import page_or_fragment, redirect_to
from calapp.local_time import instant_of, zone_label, zone_of
from calapp.webhooks.guards import own_webhook

MINUTES = "%Y-%m-%dT%H:%M"


def read_window(given: Mapping[str, str], zone: str) -> Window:
    """Read a window whose times are in a zone; raise Invalid with what is wrong at which field."""
    problems, times = {}, {}
    for name in ("from", "to"):
        try:
            wall = datetime.fromisoformat(given.get(name, ""))
            times[name] = instant_of(wall, zone, last=name == "to")
        except (ValueError, OverflowError):
            problems[name] = "Please give a day and a time."
    if not problems and times["from"] >= times["to"]:
        problems["to"] = "Please give an end that is later than the beginning."
    if problems:
        raise Invalid("Please correct what is marked.", **problems)
    return Window(from_at=times["from"], to_at=times["to"], only_failed=given.get("which") != "all")


def _form(webhook_id: int, given: Mapping[str, str], **more: object) -> Response:
    zone = current_host().time_zone
    local = now().astimezone(zone_of(zone))
    default = {"from": (local - timedelta(days=1)).strftime(MINUTES), "to": local.strftime(MINUTES)}
    return page_or_fragment(
        "deliveries/replay.html",
        "deliveries/_replay.html",
        webhook=own_webhook(webhook_id),
        form=default | dict(given),
        zone=zone_label(zone),
        **{"errors": {}, "problem": "", "total": None, **more},
    )


@blueprint.get(f"{PATH}/replay")
def ask_replay(webhook_id: int) -> Response:
    """Show the form; once it is filled in, say how many events would be sent."""
    webhook = own_webhook(webhook_id)
    if "from" not in request.args:
        return _form(webhook_id, {})
    try:
        window = read_window(request.args, current_host().time_zone)
    except Invalid as error:
        return _refused(webhook_id, request.args, error)
    return _form(webhook_id, request.args, total=replays.count(db.session(), webhook.id, window))


@blueprint.post(f"{PATH}/replay")
def start_replay(webhook_id: int) -> Response:
    """Begin a replay."""
    webhook = own_webhook(webhook_id)
    try:
        window = read_window(request.form, current_host().time_zone)
        total = replays.count(db.session(), webhook.id, window)
        with transaction() as session:
            replays.start(session, own_webhook(webhook_id), window, total)
    except (Invalid, Conflict) as error:
        return _refused(webhook_id, request.form, error)
    return redirect_to(url_for(".index", webhook_id=webhook_id), "The replay has begun.")


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
    return redirect_to(url_for(".index", webhook_id=webhook_id), "The replay was stopped.")
