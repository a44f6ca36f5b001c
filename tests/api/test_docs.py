"""The page that shows the document to people."""

import json
import re
import shlex

import pytest
from flask import Flask
from flask.testing import FlaskClient

from calapp.rest.reference import Route, sections
from tests.api import contract
from tests.api.conftest import Client


def all_routes(app: Flask) -> list[Route]:
    return [route for section in sections(contract.of_app(app)) for route in section.routes]


def route(app: Flask, name: str) -> Route:
    return next(one for one in all_routes(app) if one.name == name)


def test_every_route_stands_on_the_page_with_an_example(app: Flask, client: FlaskClient) -> None:
    page = client.get("/v2/docs").text
    routes = all_routes(app)
    assert len(routes) >= 30
    assert all(f'id="{one.name}"' in page and one.path in page for one in routes)
    assert page.count(">curl ") == len(routes)


def test_the_page_needs_nothing_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/v2/docs").text
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", page)


def test_a_route_tells_its_fields_and_those_inside_them(app: Flask) -> None:
    create = route(app, "bookings_create")
    fields = {one.name: one for one in create.body}
    assert (fields["start"].type, fields["start"].needed) == ("time", True)
    assert fields["attendee.email"].type == "email address"
    assert "at most 50 keys" in fields["metadata"].words
    assert {"data.uid", "data.attendees[].email"} <= {one.name for one in create.response}
    assert {"400", "409", "429"} <= {status for status, _ in create.errors}


def test_what_can_be_changed_has_no_defaults(app: Flask) -> None:
    own = [one for one in route(app, "event_types_update").body if "." not in one.name]
    assert not any("Default" in one.words for one in own)
    assert any("Default: 120" in one.words for one in route(app, "event_types_create").body)


@pytest.mark.parametrize("name", ["webhooks_create", "event_types_create", "webhooks_update"])
def test_the_example_is_one_that_works(app: Flask, rick_api: Client, name: str) -> None:
    example = route(app, name)
    words = shlex.split(example.curl.replace("\\\n", " "))
    body = json.loads(words[words.index("-d") + 1])
    path = example.path
    if "{" in path:
        first = rick_api.post(
            "/v2/webhooks", {"subscriberUrl": "http://127.0.0.1:9/", "triggers": ["MEETING_ENDED"]}
        )
        path = path.replace("{webhookId}", first.get_json()["data"]["id"])
    assert rick_api.send(example.method, path, json=body).status_code in {200, 201}


def test_only_what_needs_a_key_shows_one(app: Flask) -> None:
    for one in all_routes(app):
        assert ("Authorization" in one.curl) == one.key_needed
