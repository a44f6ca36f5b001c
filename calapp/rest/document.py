"""The OpenAPI document (3.1), made from the very models that check the requests."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import Field, TypeAdapter
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaMode

from calapp import __version__
from calapp.rest.routes import Operation
from calapp.rest.schemas import ResponseSchema

PART = re.compile(r"<(?:(\w+)(?:\([^)]*\))?:)?(\w+)>")
REF = "#/components/schemas/{model}"
# What every route may return besides its success; a route adds its own.
COMMON = (400, 404, 413, 415, 429, 500, 503)
WITH_KEY = (401, 403)
MEANINGS = {
    400: "The request is invalid; `details` names each field.",
    401: "The key is missing, unknown or revoked.",
    403: "The key is missing a scope.",
    404: "It does not exist, or belongs to another host.",
    409: "It already exists, is taken, or has changed in the meantime.",
    410: "It is no longer stored.",
    413: "The body is larger than 256 KB.",
    415: "The body is not JSON.",
    429: "Too many requests; `Retry-After` gives the seconds to wait.",
    500: "An error in the server, which was logged.",
    503: "The server is busy; `Retry-After` gives the seconds to wait.",
}
TAGS = {
    "Bookings": "Meetings that were booked or asked for.",
    "Calendars": "Calendars elsewhere whose events block times.",
    "Deliveries and events": "What happened, in order; what webhooks were sent, and how receivers responded.",
    "Event types": "What can be booked.",
    "Links": "Booking links that prove their metadata.",
    "Me": "The host whose key is used.",
    "Schedules": "When a host can be booked.",
    "Slots": "Times that can be booked.",
    "Webhooks": "Who receives the events of a host.",
    "Webhooks of an event type": "Who receives the events of one event type.",
}
INTRODUCTION = """\
The names, shapes and status codes are those of Cal.com's API v2, so clients of Cal.com work here
when their host is set to this server. Create keys on the integrations page and send them as
`Authorization: Bearer cal_…`.
`cal-api-version` is accepted on every route and never required."""

Schema = dict[str, Any]
Schemas = Mapping[tuple[str, JsonSchemaMode], Schema]  # by name and direction
Input = tuple[str, JsonSchemaMode, TypeAdapter[Any]]


class Fault(ResponseSchema):
    """What went wrong."""

    code: str = Field(description="A code for programs.")
    message: str = Field(description="A message for people.")
    details: dict[str, Any] = Field(description="Field name → what is wrong with it.")


def document(operations: Iterable[Operation], server: str) -> Schema:
    """Return the OpenAPI document of these routes; `server` is the app's own address."""
    found = sorted(operations, key=lambda one: (one.path, one.method))
    schemas, definitions = TypeAdapter.json_schemas(list(_inputs(found)), ref_template=REF)
    named = _untitled(definitions.get("$defs", {}))
    queries = {
        one.name: named[schemas[f"{one.name}.query", "validation"]["$ref"].removeprefix(REF.format(model=""))]
        for one in found
        if one.query
    }
    for one in found:  # their fields are listed as parameters, and no component may be unused
        named.pop(
            schemas[f"{one.name}.query", "validation"]["$ref"].rpartition("/")[2] if one.query else "", None
        )
    paths: dict[str, Schema] = {}
    for one in found:
        made = {
            "operationId": one.name,
            "tags": [one.tag],
            **_words(one),
            "security": [{"key": []}] if one.access.key_needed else [{}, {"key": []}],
            "parameters": [*_parameters(one, queries.get(one.name)), VERSION],
            "responses": _responses(one, schemas),
        }
        if one.body:
            needed = any(field.is_required() for field in one.body.model_fields.values())
            made["requestBody"] = {"required": needed, **_json(schemas[f"{one.name}.body", "validation"])}
        path = PART.sub(lambda match: f"{{{to_camel(match[2])}}}", one.path)
        paths.setdefault(path, {})[one.method.lower()] = made
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Calapp API",
            "version": __version__,
            "description": INTRODUCTION,
            "contact": {"name": "Calapp", "url": server},
            "license": {"name": "All rights reserved", "identifier": "LicenseRef-All-rights-reserved"},
        },
        "servers": [{"url": server}],
        "tags": [{"name": tag, "description": TAGS[tag]} for tag in dict.fromkeys(one.tag for one in found)],
        "paths": paths,
        "components": {
            "schemas": named,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "cal_…"}},
        },
    }


def _untitled(schema: Any) -> Any:
    """Leave out the titles that pydantic makes of names."""
    if isinstance(schema, list):
        return [_untitled(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: inner for name, inner in schema.items() if name != "title" or isinstance(inner, dict)}
    return {name: _untitled(inner) for name, inner in kept.items()}


VERSION = {
    "name": "cal-api-version",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "Accepted but not required.",
}


def _inputs(operations: Iterable[Operation]) -> Iterator[Input]:
    yield "fault", "serialization", TypeAdapter(Fault)
    for one in operations:
        yield f"{one.name}.response", "serialization", one.adapter
        if one.pagination:
            yield f"{one.name}.pagination", "serialization", one.page_adapter
        if one.body:
            yield f"{one.name}.body", "validation", TypeAdapter(one.body)
        if one.query:
            yield f"{one.name}.query", "validation", TypeAdapter(one.query)


def _words(one: Operation) -> Schema:
    summary, _, more = one.doc.partition("\n")
    description = "\n\n".join(part for part in (more.strip(), f"Needs {one.access.words}.") if part)
    return {"summary": summary.rstrip("."), "description": description}


def _parameters(one: Operation, query: Schema | None) -> Iterator[Schema]:
    for kind, name in PART.findall(one.path):
        schema = {"type": "integer", "minimum": 0} if kind == "int" else {"type": "string", "minLength": 1}
        yield {"name": to_camel(name), "in": "path", "required": True, "schema": schema}

    for name, schema in (query or {"properties": {}})["properties"].items():
        words = {"description": schema["description"]} if "description" in schema else {}
        bare = {key: value for key, value in schema.items() if key != "description"}
        needed = name in (query or {}).get("required", ())
        # A list may be repeated or written with commas.
        yield {"name": name, "in": "query", "required": needed, "schema": bare, **words}


def _responses(one: Operation, schemas: Schemas) -> Schema:
    properties = {"status": {"const": "success"}, "data": schemas[f"{one.name}.response", "serialization"]}
    if one.pagination:
        properties["pagination"] = schemas[f"{one.name}.pagination", "serialization"]
    success = {"type": "object", "properties": properties, "required": list(properties)}
    responses = {str(one.status): {"description": "Done.", **_json(success)}}
    properties = {
        "status": {"const": "error"},
        "timestamp": {"type": "string", "format": "date-time"},
        "path": {"type": "string", "description": "The address that was asked for."},
        "error": schemas["fault", "serialization"],
    }
    error = {"type": "object", "properties": properties, "required": list(properties)}
    for status in sorted({*COMMON, *one.errors, *WITH_KEY}):
        responses[str(status)] = {"description": MEANINGS[status], **_json(error)}
    return responses


def _json(schema: Schema) -> Schema:
    return {"content": {"application/json": {"schema": schema}}}
