"""Pages of this package."""

from flask import Blueprint

blueprint = Blueprint("availability", __name__)
