"""The OpenAPI document as people read it: routes with their fields, an example and the errors."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, render_template

from calapp.config import settings
from calapp.error_pages import METHODS
from calapp.incoming import csrf
from calapp.rest.document import Schema, document
from calapp.rest.routes import Api, Operation

GONE = "There is no version 1 of the API here. Please use /v2, which is described at /v2/docs."
MOST_LEVELS = 4  # of fields inside fields
TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
    "null": "null",
}
FORMATS = {"date-time": "time", "email": "email address", "uri": "web address"}
SAMPLES = {"integer": 1, "number": 1, "boolean": True, "object": {}}
A_TIME = "2027-01-05T10:00:00Z"
LIMITS = (
    ("minimum", "from {}"),
    ("maximum", "to {}"),
    ("maxLength", "at most {} characters"),
    ("maxItems", "at most {}"),
)


@dataclass(frozen=True)
class Field:
    """A field, or a part of an address; `name` has the path of fields inside fields."""

    name: str
    type: str
    needed: bool
    words: str


@dataclass(frozen=True, kw_only=True)
class Route:
    """A route with all that there is to say about it."""

    name: str
    method: str
    path: str
    summary: str
    words: Sequence[str]
    key_needed: bool
    parameters: Sequence[Field]
    body: Sequence[Field]
    status: str
    response: Sequence[Field]
    response_is_list: bool
    errors: Sequence[tuple[str, str]]
    curl: str


@dataclass(frozen=True)
class Section:
    """Routes that belong together."""

    name: str
    routes: Sequence[Route]


def sections(document: Schema) -> list[Section]:
    """Return all routes of a document, by their tags, in the order in which the tags come."""
    found: dict[str, list[Route]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            found.setdefault(operation["tags"][0], []).append(_route(document, method, path, operation))
    return [Section(name, routes) for name, routes in found.items()]


def _route(document: Schema, method: str, path: str, operation: Schema) -> Route:
    body = _content(operation.get("requestBody"))
    status = next(code for code in operation["responses"] if code.startswith("2"))
    properties = _content(operation["responses"][status])["properties"]
    key_needed = {} not in operation["security"]
    return Route(
        name=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        words=operation["description"].split("\n\n"),
        key_needed=key_needed,
        parameters=[
            Field(
                one["name"],
                _type(document, one["schema"]),
                one["required"],
                " ".join(filter(None, (one.get("description", ""), _default(one["schema"])))),
            )
            for one in operation["parameters"]
            if one["in"] != "header"
        ],
        body=list(_fields(document, body)),
        status=status,
        response=[
            field
            for name in properties
            if name != "status"
            for field in _fields(document, properties[name], name)
        ],
        response_is_list=properties["data"].get("type") == "array",
        errors=[
            (code, one["description"])
            for code, one in operation["responses"].items()
            if not code.startswith("2")
        ],
        curl=_curl(document, method.upper(), path, operation, body, key_needed=key_needed),
    )


def _content(part: Schema | None) -> Schema:
    schema: Schema = part["content"]["application/json"]["schema"] if part else {}
    return schema


def _resolved(document: Schema, schema: Schema) -> Schema:
    """Follow a reference; keep what is beside it."""
    if "$ref" not in schema:
        return schema
    named = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return {**named, **{name: value for name, value in schema.items() if name != "$ref"}}


def _fields(document: Schema, schema: Schema, prefix: str = "", level: int = 0) -> Iterator[Field]:
    """Return the fields of an object, and those inside them; a list's are named with []."""
    whole = _inner(document, schema)
    if whole.get("type") == "array":
        yield from _fields(document, whole["items"], f"{prefix}[]", level)
        return
    needed = whole.get("required", ())
    for name, one in whole.get("properties", {}).items():
        path = f"{prefix}.{name}" if prefix else name
        words = one.get("description", "") or _inner(document, one).get("description", "")
        if not words:
            limits = [text.format(one[limit]) for limit, text in LIMITS if limit in one]
            words = f"{', '.join(limits).capitalize()}." if limits else ""
        words = " ".join(filter(None, (words, _default(one))))
        yield Field(path, _type(document, one), name in needed, words)
        if level < MOST_LEVELS:
            yield from _fields(document, one, path, level + 1)


def _inner(document: Schema, schema: Schema) -> Schema:
    """Return the schema itself, or the alternative of it that is not null."""
    whole = _resolved(document, schema)
    others = [one for one in whole.get("anyOf", ()) if one.get("type") != "null"]
    return _resolved(document, others[0]) if len(others) == 1 else whole


def _default(schema: Schema) -> str:
    if schema.get("default") in (None, "", [], {}):
        return ""
    return f"Default: {json.dumps(schema['default'])}."


def _type(document: Schema, schema: Schema) -> str:
    whole = _resolved(document, schema)
    if "anyOf" in whole:
        return " or ".join(dict.fromkeys(_type(document, one) for one in whole["anyOf"]))
    if "enum" in whole or "const" in whole:
        return " | ".join(str(one) for one in whole.get("enum", [whole.get("const")]))
    kind: Any = whole.get("type", "anything")
    if kind == "array":
        return f"list of {_type(document, whole['items'])}"
    if isinstance(kind, list):
        return " or ".join(TYPES[one] for one in kind)
    return FORMATS.get(whole.get("format", "")) or TYPES.get(kind) or str(kind)


def _sample(document: Schema, schema: Schema) -> Any:
    """Make an example: what the document gives, else what fits the type; of objects what is needed."""
    whole = _inner(document, schema)
    for given in (schema, whole):
        if given.get("examples"):
            return given["examples"][0]
    if "enum" in whole or "const" in whole:
        return whole.get("enum", [whole.get("const")])[0]
    if whole.get("format") == "date-time":
        return A_TIME
    if whole.get("type") == "array":
        return [_sample(document, whole["items"])]
    if "properties" in whole:
        properties = whole["properties"]
        shown = [
            name
            for name, one in properties.items()
            if name in whole.get("required", ()) or one.get("examples")
        ]
        return {name: _sample(document, properties[name]) for name in shown or list(properties)[:1]}
    return SAMPLES.get(str(whole.get("type")), "…")


def _curl(
    document: Schema, method: str, path: str, operation: Schema, body: Mapping[str, Any], *, key_needed: bool
) -> str:
    needed = [one for one in operation["parameters"] if one["in"] == "query" and one["required"]]
    query = "&".join(f"{one['name']}=2027-01-05" for one in needed)
    address = document["servers"][0]["url"] + path + (f"?{query}" if query else "")
    lines = [f"curl {'' if method == 'GET' else f'-X {method} '}--globoff {shlex.quote(address)}"]
    if key_needed:
        lines.append("-H 'Authorization: Bearer cal_…'")
    if body:
        sample = json.dumps(_sample(document, dict(body)), ensure_ascii=False, indent=2)
        lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(sample)}"]
    return " \\\n  ".join(lines)


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


@blueprint.route("/v1/<path:_rest>", methods=METHODS)
def former(_rest: str) -> tuple[Response, int]:
    """Say to clients of Cal.com's first version where the API is."""
    error = {"code": "gone", "message": GONE, "details": {}}
    return jsonify(status="error", message=GONE, error=error), 410


csrf.exempt(former)


@blueprint.get("/v2/openapi.json")
def openapi() -> Response:
    return jsonify(made_document())


@blueprint.get("/v2/docs")
def docs() -> str:
    made = made_document()
    return render_template(
        "rest/docs.html", sections=sections(made), introduction=made["info"]["description"]
    )
