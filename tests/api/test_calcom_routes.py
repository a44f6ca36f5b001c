"""What the list says that we do with Cal.com's routes and fields is what we do."""

import re

import pytest
from flask import Flask
from werkzeug.exceptions import HTTPException

from calapp.rest.reference import operations
from tests.api.conftest import Client
from tools.calcom_routes import DONE, IGNORED, NOT_OURS, REFUSED, Line, lines


@pytest.fixture
def found(app: Flask) -> list[Line]:
    with app.app_context():
        return list(lines(operations()))


def address(line: Line) -> str:
    return re.sub(r"\{\w+\}", "1", line.path)


def test_the_routes_that_are_done_are_those_of_the_app(app: Flask, found: list[Line]) -> None:
    served = app.url_map.bind("")
    for line in found:
        try:
            endpoint, _ = served.match(address(line), method=line.method)
        except HTTPException:
            endpoint = ""
        expected = DONE if "_api." in endpoint else NOT_OURS
        assert line.ours == expected, f"{line.method} {line.path} leads to {endpoint or 'nothing'}."
    assert len([line for line in found if line.ours == DONE]) >= 50


def test_no_field_of_cal_coms_clients_is_ignored(found: list[Line]) -> None:
    ignored = [
        f"{line.path} {name}" for line in found for name, ours in line.fields.items() if ours == IGNORED
    ]
    assert not ignored


def test_the_fields_that_are_refused_are_refused_by_name(rick_api: Client, found: list[Line]) -> None:
    for line in found:
        for name in (name for name, ours in line.fields.items() if ours == REFUSED):
            more = {"query_string": {name: "x"}} if line.method == "GET" else {"json": {name: "x"}}
            answer = rick_api.browser.open(
                address(line), method=line.method, headers={"Authorization": f"Bearer {rick_api.key}"}, **more
            )
            error = answer.get_json()["error"]
            assert (error["code"], list(error["details"])) == ("not_supported", [name]), line


def test_routes_that_are_not_ours_say_so_in_json(rick_api: Client, found: list[Line]) -> None:
    for line in (line for line in found if line.ours == NOT_OURS):
        answer = rick_api.browser.open(address(line), method=line.method)
        assert (answer.status_code in {404, 405}, answer.get_json()["status"]) == (True, "error"), line
