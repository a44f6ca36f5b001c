"""The integrations page and what stands above its webhooks."""

from collections.abc import Mapping

from flask import Response, render_template, request, url_for
from markupsafe import Markup

from calapp.accounts import service as accounts
from calapp.accounts.guards import current_host
from calapp.accounts.models import Scope
from calapp.broker import alive, workers_alive
from calapp.config import settings
from calapp.db import db, transaction
from calapp.deliveries.health import Health, health_of
from calapp.errors import LimitReached
from calapp.event_types.service import visible
from calapp.htmx import asked_from, dialog_done, is_htmx, page_or_fragment, redirect_to
from calapp.integrations import box_views, guide_views, inspector_views, notices, service
from calapp.integrations.blueprint import blueprint
from calapp.integrations.page import embed_snippet, list_context, shown_webhooks
from calapp.text import line

__all__ = ["blueprint", "box_views", "guide_views", "inspector_views"]

SCOPES = (
    (Scope.READ, "Read", "See bookings, event types, webhooks and deliveries"),
    (Scope.WRITE, "Write", "Change them, and read the secrets of the webhooks that this key made"),
    (Scope.READ_SECRETS, "Read secrets", "Read the secrets of all webhooks"),
)


@blueprint.get("/integrations")
def index() -> str:
    """Show the integrations page."""
    host, session = current_host(), db.session()
    event_types = visible(session, host.id)
    return render_template(
        "integrations/index.html",
        **_trouble(),
        notices=notices.standing(session, host.id),
        checklist=service.checklist(session, host),
        event_types=event_types,
        base_url=settings().base_url,
        feed_url=feed_url(),
        keys=accounts.api_keys(session, host.id),
        snippets=[(one, embed_snippet(host.username, one.slug)) for one in event_types[:20]],
        health=_health_asked_for(),
        **list_context(),
    )


def _health_asked_for() -> dict[int, Health] | None:
    """Return how the webhooks on the page did, for who has no script that loads it."""
    shown = shown_webhooks().rows if "health" in request.args else []
    return health_of(db.session(), [one.id for one in shown]) if shown else None


def _trouble() -> dict[str, object]:
    """Name what keeps webhooks from being delivered: valkey (and whether it is ours), worker, or nothing."""
    trouble = "valkey" if not alive() else "" if workers_alive() else "worker"
    return {"trouble": trouble, "embedded": not settings().redis_url}


def feed_url() -> str | None:
    """Return the address of the host's calendar feed; None when it works but cannot be shown any more."""
    token = current_host().calendar_token
    return f"{settings().base_url}/calendar/{token}.ics" if token else None


@blueprint.get("/integrations/webhooks/health")
def health() -> Response:
    """Show how all webhooks did in the last 24 hours, in one fragment."""
    if not is_htmx():
        return redirect_to(url_for(".index", health=1) + "#webhooks")
    shown = shown_webhooks().rows
    found = health_of(db.session(), [webhook.id for webhook in shown])
    return Response(render_template("integrations/_health.html", webhooks=shown, health=found))


@blueprint.post("/integrations/notices/<int:notice_id>/dismiss")
def dismiss(notice_id: int) -> Response:
    """Put a notice away."""
    with transaction() as session:
        notices.dismiss(session, current_host().id, notice_id)
    return redirect_to(url_for(".index"))


@blueprint.post("/integrations/checklist")
def finish_checklist() -> Response:
    """Put the checklist away."""
    with transaction() as session:
        service.finish_checklist(session, current_host().id)
    return redirect_to(url_for(".index"))


@blueprint.get("/integrations/calendar/renew")
def ask_renew() -> Response:
    """Ask before the calendar feed gets a new address."""
    return page_or_fragment("integrations/renew.html", "integrations/_renew.html")


@blueprint.post("/integrations/calendar/renew")
def renew() -> Response:
    """Give the calendar feed a new address."""
    with transaction() as session:
        accounts.renew_calendar_token(session, current_host().id)
    text = "The feed has a new address. Subscribe to it in your calendar."
    if not asked_from(url_for(".index")):
        return redirect_to(url_for(".index") + "#calendar", text)
    html = render_template("integrations/_calendar.html", feed_url=feed_url())
    return dialog_done(html, target="#calendar", focus="renew-calendar", toast=text)


@blueprint.get("/integrations/api-keys/new")
def new_key() -> Response:
    """Show the form for an API key."""
    return _key_form(name="", chosen=[Scope.READ, Scope.WRITE], errors={})


def _key_form(*, name: str, chosen: list[str], errors: Mapping[str, object]) -> Response:
    response = page_or_fragment(
        "integrations/key.html",
        "integrations/_key.html",
        name=name,
        chosen=chosen,
        errors=errors,
        scopes=SCOPES,
    )
    response.status_code = 422 if errors else 200
    return response


@blueprint.post("/integrations/api-keys/new")
def create_key() -> Response:
    """Make an API key and show it this once."""
    name, chosen = line(request.form.get("name", "")), request.form.getlist("scopes")
    if errors := _key_errors(name, chosen):
        return _key_form(name=name, chosen=chosen, errors=errors)
    try:
        with transaction() as session:
            key, plain = accounts.create_api_key(session, current_host(), name, chosen)
            name = key.name
    except LimitReached as error:
        return _key_form(name=name, chosen=chosen, errors=error.details)
    keys = accounts.api_keys(db.session(), current_host().id)
    return page_or_fragment(
        "integrations/key_made.html", "integrations/_key_made.html", name=name, plain=plain, keys=keys
    )


def _key_errors(name: str, chosen: list[str]) -> dict[str, str]:
    errors = {}
    if not name or len(name) > 100:
        errors["name"] = "Please give the key a name of at most 100 characters."
    if not chosen or not set(chosen) <= {str(scope) for scope in Scope}:
        errors["scopes"] = "Please choose what the key may do."
    return errors


@blueprint.get("/integrations/api-keys/<int:key_id>/revoke")
def ask_revoke(key_id: int) -> Response:
    """Ask before an API key is revoked."""
    keys = accounts.api_keys(db.session(), current_host().id)
    key = next((one for one in keys if one.id == key_id), None)
    if key is None:
        return redirect_to(url_for(".index") + "#api-keys", "This key is revoked already.")
    return page_or_fragment("integrations/revoke.html", "integrations/_revoke.html", key=key)


@blueprint.post("/integrations/api-keys/<int:key_id>/revoke")
def revoke(key_id: int) -> Response:
    """Revoke an API key."""
    with transaction() as session:
        accounts.revoke_api_key(session, current_host().id, key_id)
    if not asked_from(url_for(".index")):
        return redirect_to(url_for(".index") + "#api-keys", "API key revoked.")
    keys = accounts.api_keys(db.session(), current_host().id)
    html = render_template("integrations/_keys.html", keys=keys, zone=current_host().time_zone)
    return dialog_done(Markup(html), target="#api-keys", focus="new-key", toast="API key revoked.")  # noqa: S704
