"""The parts of the integrations page that more than one answer shows, rendered."""

from urllib.parse import parse_qsl

from flask import Response, render_template, request, url_for

from calapp.accounts.guards import current_host
from calapp.config import settings
from calapp.db import db
from calapp.deliveries.models import State
from calapp.deliveries.service import counts
from calapp.deliveries.words import held
from calapp.htmx import asked_from, dialog_done, is_htmx, named_by, redirect_to
from calapp.integrations.listing import Listing, listing_of, read_wanted
from calapp.integrations.models import Inspector
from calapp.integrations.service import inspector_url
from calapp.webhooks import service as webhooks
from calapp.webhooks.triggers import Trigger


def shown_webhooks() -> Listing:
    """Return the page of webhooks that the address asks for; htmx says which page it stands on."""
    given = request.args.to_dict()
    if is_htmx():
        given = dict(parse_qsl(named_by("HX-Current-URL").query))
    return listing_of(webhooks.of_user(db.session(), current_host().id), read_wanted(given))


def list_address() -> str:
    """Return the address of the list of webhooks, as the page that was left showed it."""
    left = named_by("Referer")
    query = f"?{left.query}" if left.query and left.path == url_for("integrations.index") else ""
    return f"{url_for('integrations.index')}{query}#webhooks"


def list_context() -> dict[str, object]:
    """Return what the list of webhooks shows."""
    session, host, listing = db.session(), current_host(), shown_webhooks()
    inspector = session.get(Inspector, host.id)
    return {
        "listing": listing,
        "webhooks": listing.rows,
        "parked": counts(session, [webhook.id for webhook in listing.rows], State.PARKED),
        "Trigger": Trigger,
        "inspector_url": inspector_url(inspector) if inspector else None,
        "zone": host.time_zone,
        "held": held,
    }


def webhooks_html(**extra: object) -> str:
    """Render the list of webhooks as a fragment."""
    return render_template("integrations/_webhooks.html", **list_context(), **extra)


def list_answer(toast: str, *, focus: str = "new-webhook") -> Response:
    """Close the dialog and show the whole list anew; where there is no dialog lead back to it."""
    home = url_for("integrations.index")
    if not asked_from(home):
        return redirect_to(f"{home}#webhooks", toast)
    return dialog_done(webhooks_html(), target="#webhooks", focus=focus, toast=toast)


def embed_snippet(username: str, slug: str) -> str:
    """Return the HTML that shows a booking page on another site."""
    address = f"{settings().base_url}/{username}/{slug}"
    return f'<iframe src="{address}" title="Book a meeting" width="100%" height="720"></iframe>'
