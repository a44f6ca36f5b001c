"""Pages of this package."""

from flask import Blueprint

blueprint = Blueprint("deliveries", __name__)
