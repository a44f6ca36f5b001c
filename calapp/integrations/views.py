"""Pages of this package."""

from flask import Blueprint

blueprint = Blueprint("integrations", __name__)
