"""The blueprint of all booking pages, the visitor's and the host's."""

from flask import Blueprint

blueprint = Blueprint("bookings", __name__)
