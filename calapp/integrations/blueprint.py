"""The blueprint that the pages of this package share; nobody passes who is not signed in."""

from flask import Blueprint

from calapp.accounts.guards import require_host

blueprint = Blueprint("integrations", __name__)
blueprint.before_request(require_host)
