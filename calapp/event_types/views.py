"""Pages of this package."""

from flask import Blueprint

blueprint = Blueprint("event_types", __name__)
