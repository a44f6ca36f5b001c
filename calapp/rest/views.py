"""The API's document, for programs at /v2/openapi.json and for people at /v2/docs."""

from collections.abc import Iterator

from flask import Blueprint, Response, current_app, jsonify

from calapp.config import settings
from calapp.rest.document import Schema, document
from calapp.rest.routes import Api, Operation

blueprint = Blueprint("rest", __name__)


def operations() -> Iterator[Operation]:
    """Return every route of the API that this app has."""
    for one in current_app.blueprints.values():
        if isinstance(one, Api):
            yield from one.operations


def made_document() -> Schema:
    """Return the document of this app's API, made on the first call."""
    kept: Schema | None = current_app.extensions.get("api-document")
    if kept is None:
        kept = current_app.extensions["api-document"] = document(operations(), settings().base_url)
    return kept


@blueprint.get("/v2/openapi.json")
def openapi() -> Response:
    """Give the OpenAPI document."""
    return jsonify(made_document())
