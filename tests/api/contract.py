"""Every answer held against the app's own OpenAPI document."""

import re
from functools import cache, lru_cache
from typing import Any

import jsonschema_rs
from flask import Flask

from calapp.config import settings
from calapp.rest.reference import made_document

Document = dict[str, Any]


def of_app(app: Flask) -> Document:
    """Return the document of an app; apps of one address have the same."""
    with app.app_context():
        return _of_address(settings().base_url)


@cache
def _of_address(_address: str) -> Document:
    return made_document()


def check(document: Document, method: str, path: str, status: int, body: object) -> None:
    """Fail unless the document has this route, this status of it, and this body for the status."""
    operation = find(document, method, path)
    assert str(status) in operation["responses"], f"{method} {path} may not answer {status}: {body}"
    schema = operation["responses"][str(status)]["content"]["application/json"]["schema"]
    _validator(_whole(schema, document)).validate(body)


def find(document: Document, method: str, path: str) -> Document:
    """Return the operation that answers at an address."""
    plain = path.partition("?")[0].rstrip("/")
    for template, operations in document["paths"].items():
        if method.lower() in operations and re.fullmatch(_pattern(template), plain):
            return operations[method.lower()]
    raise AssertionError(f"The document has no {method} {path}.")


@lru_cache
def _pattern(template: str) -> str:
    return re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))


def _whole(schema: Document, document: Document) -> str:
    return jsonschema_rs.canonical.json.to_string({**schema, "components": document["components"]})


@cache
def _validator(schema: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
