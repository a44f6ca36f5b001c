"""The blueprint that the pages of this package share; nobody passes who is not signed in."""

from flask import Blueprint

from calapp.accounts.guards import require_host

blueprint = Blueprint("deliveries", __name__)
blueprint.before_request(require_host)

PATH = "/integrations/webhooks/<int:webhook_id>/deliveries"
