"""The document: every route is in it, and it is what OpenAPI allows."""

import json
import re

import jsonschema_rs
import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.api import contract

NOT_JSON = {"/v2/openapi.json", "/v2/docs"}


def routes(app: Flask) -> set[tuple[str, str]]:
    """The routes of the API as the app has them: method and path."""
    found = set()
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/v2/") and rule.rule not in NOT_JSON:
            path = re.sub(r"<(?:\w+:)?(\w+)>", lambda match: f"{{{camel(match[1])}}}", rule.rule)
            found |= {(method, path) for method in rule.methods - {"HEAD", "OPTIONS"}}
    return found


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def test_every_route_is_in_the_document(app: Flask) -> None:
    documented = {
        (method.upper(), path)
        for path, operations in contract.of_app(app)["paths"].items()
        for method in operations
    }
    assert documented == routes(app)
    assert len(documented) >= 25


def test_the_document_is_served_as_it_is_made(app: Flask, client: FlaskClient) -> None:
    answer = client.get("/v2/openapi.json")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.get_json() == contract.of_app(app)


def test_every_schema_of_the_document_is_a_schema(app: Flask) -> None:
    document = contract.of_app(app)
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]})
    assert document["openapi"] == "3.1.0"
    assert {"contact", "license", "description"} <= set(document["info"])
    used = {tag for path in document["paths"].values() for one in path.values() for tag in one["tags"]}
    assert used == {tag["name"] for tag in document["tags"]}


def test_every_reference_of_the_document_leads_somewhere(app: Flask) -> None:
    document = contract.of_app(app)
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert names <= set(document["components"]["schemas"])


def test_operations_have_names_of_their_own(app: Flask) -> None:
    operations = [one for path in contract.of_app(app)["paths"].values() for one in path.values()]
    names = [one["operationId"] for one in operations]
    assert len(set(names)) == len(names)
    assert all(one["summary"] and one["description"] for one in operations)


def test_who_needs_a_key_is_told_by_the_document(app: Flask) -> None:
    document = contract.of_app(app)
    assert contract.find(document, "GET", "/v2/bookings")["security"] == [{"key": []}]
    assert contract.find(document, "POST", "/v2/bookings")["security"] == [{}, {"key": []}]


@pytest.mark.parametrize("name", ["WebhookBody", "BookingRequest", "EventTypeBody"])
def test_a_schema_has_cal_coms_names(app: Flask, name: str) -> None:
    properties = contract.of_app(app)["components"]["schemas"][name]["properties"]
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", field) for field in properties)
