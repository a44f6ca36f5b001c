"""The page that a sign-up leads to: what is ready, and what most hosts do next."""

from flask import Blueprint, Response, make_response, render_template

from calapp.accounts.guards import current_host, require_host
from calapp.availability.service import hours_of
from calapp.calendars.service import of_host
from calapp.config import settings
from calapp.db import db
from calapp.event_types.service import of_user
from calapp.webhooks import service as webhooks

blueprint = Blueprint("first_steps", __name__)
blueprint.before_request(require_host)


@blueprint.get("/integrations/first-steps")
def index() -> Response:
    """Show the host's link, and how to connect a calendar and a webhook."""
    session, host = db.session(), current_host()
    shown = [one for one in of_user(session, host.id) if not one.hidden]
    page = render_template(
        "integrations/first_steps.html",
        host=host,
        base_url=settings().base_url,
        event_type=next(iter(shown), None),
        zone=hours_of(session, host).zone,
        has_calendar=bool(of_host(session, host.id)),
        has_webhook=webhooks.count(session, host.id, None) > 0,
    )
    return make_response(page)
