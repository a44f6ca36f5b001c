"""The API's document, for programs at /v2/openapi.json and for people at /v2/docs."""

from collections.abc import Iterator

from flask import Blueprint, Response, current_app, jsonify, render_template, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import Rule

from calapp.config import settings
from calapp.error_pages import API, is_api
from calapp.rest.document import Schema, document
from calapp.rest.reference import sections
from calapp.rest.routes import Api, Operation

blueprint = Blueprint("rest", __name__)

METHODS = ("GET", "POST", "PATCH", "DELETE")


@blueprint.before_app_request
def refuse_pages() -> None:
    """Keep pages that answer to any two parts, /<user>/<slug>, away from the API's addresses."""
    if not is_api() or request.url_rule is None or _of_api(request.url_rule):
        return
    allowed = [method for method in METHODS if _of_api(_rule(method))]
    raise MethodNotAllowed(valid_methods=allowed) if allowed else NotFound


def _of_api(rule: Rule | None) -> bool:
    return rule is not None and rule.rule.startswith(API)


def _rule(method: str) -> Rule | None:
    """Return what would answer at this request's address to another method."""
    adapter = current_app.create_url_adapter(request)
    try:
        return adapter.match(method=method, return_rule=True)[0] if adapter else None
    except HTTPException:
        return None


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


@blueprint.get("/v2/docs")
def docs() -> str:
    """Show the document to people."""
    made = made_document()
    return render_template(
        "rest/docs.html", sections=sections(made), introduction=made["info"]["description"]
    )
