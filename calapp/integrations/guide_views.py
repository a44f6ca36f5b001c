"""The webhook guide in the app."""

from flask import render_template

from calapp.accounts.guards import current_host
from calapp.clock import now
from calapp.config import settings
from calapp.integrations.blueprint import blueprint
from calapp.integrations.guide import guide_html, guide_text


@blueprint.get("/integrations/guide")
def guide() -> str:
    """Show how webhooks work, with the host's own addresses and this server's settings."""
    text = guide_text(current_host(), settings(), now(), own=True)
    return render_template("integrations/guide.html", guide=guide_html(text))
