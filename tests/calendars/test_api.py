"""The API of calendars, in Cal.com's shape."""

from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from calapp.accounts.models import User
from calapp.accounts.service import create_api_key
from calapp.calendars.models import ExternalCalendar
from calapp.db import transaction
from tests.api import contract
from tests.calendars.conftest import MONDAY
from tests.receiver import Receiver, answer

NINE = MONDAY.replace(hour=9)


class Api:
    """Rick's program; every response is held against the document."""

    def __init__(self, app: Flask, client: FlaskClient, key: str) -> None:
        self.document, self.client = contract.of_app(app), client
        self.headers = {"Authorization": f"Bearer {key}"}

    def send(self, method: str, path: str, **more: object) -> TestResponse:
        response = self.client.open(path, method=method, headers=self.headers, **more)
        contract.check(self.document, method, path, response.status_code, response.json)
        return response


@pytest.fixture
def api(app: Flask, client: FlaskClient, rick: User) -> Api:
    with transaction() as session:
        _, key = create_api_key(session, rick, "test", ["read", "write"])
    return Api(app, client, key)


def test_an_address_is_saved_after_it_was_read(api: Api, server: Receiver, rick: User) -> None:
    response = api.send("POST", "/v2/calendars/ics-feed/save", json={"urls": [server.url("/work.ics")]})
    data = response.json["data"]
    assert (response.status_code, data["type"], data["appId"], data["invalid"]) == (
        201, "ics-feed_calendar", "ics-feed", False,
    )  # fmt: skip
    assert data["userId"] == rick.id


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"urls": ["nonsense"]}, "urls.0"),
        ({"urls": []}, "urls"),
        ({}, "urls"),
        ({"urls": ["http://10.0.0.1/x.ics"]}, "urls.0"),
        ({"urls": ["https://x.example/a.ics"], "readOnly": False}, "readOnly"),
    ],
)
def test_what_cannot_be_saved_is_named(api: Api, body: dict[str, object], field: str) -> None:
    response = api.send("POST", "/v2/calendars/ics-feed/save", json=body)
    assert response.status_code == 400
    assert field in response.json["error"]["details"]


def test_what_cannot_be_read_is_not_saved(api: Api, server: Receiver) -> None:
    server.behave = answer("404 Not Found")
    response = api.send("POST", "/v2/calendars/ics-feed/save", json={"urls": [server.url()]})
    assert response.status_code == 400
    assert "no calendar at this address" in response.json["error"]["message"]
    assert api.send("GET", "/v2/calendars").json["data"]["connectedCalendars"] == []


def test_one_address_is_one_calendar(api: Api, server: Receiver, work: ExternalCalendar) -> None:
    body = {"urls": [server.url("/work.ics")]}
    assert api.send("POST", "/v2/calendars/ics-feed/save", json=body).status_code == 409


def test_the_list_has_no_address(api: Api, server: Receiver, work: ExternalCalendar) -> None:
    response = api.send("GET", "/v2/calendars")
    (found,) = response.json["data"]["connectedCalendars"]
    assert (found["credentialId"], found["primary"]["name"]) == (work.id, "Work")
    assert "work.ics" not in response.text


def test_busy_times_are_those_of_the_range(api: Api, work: ExternalCalendar) -> None:
    day, before = f"{MONDAY:%Y-%m-%d}", f"{MONDAY - timedelta(days=1):%Y-%m-%d}"
    path = f"/v2/calendars/busy-times?timeZone=UTC&dateFrom={day}&dateTo={day}"
    expected = [
        {
            "start": f"{NINE:%Y-%m-%dT%H}:00:00.000Z",
            "end": f"{NINE + timedelta(hours=1):%Y-%m-%dT%H}:00:00.000Z",
            "source": "ics-feed_calendar",
        }
    ]
    assert api.send("GET", path).json["data"] == expected
    named = f"{path}&calendarsToLoad[0][credentialId]={work.id}&calendarsToLoad[0][externalId]=x"
    assert api.send("GET", named).json["data"] == expected
    assert api.send("GET", path.replace(day, before)).json["data"] == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("dateFrom=2027-01-05", 400),
        ("dateFrom=x&dateTo=2027-01-05", 400),
        ("dateFrom=2027-01-05&dateTo=2027-01-01", 400),
        ("dateFrom=2020-01-05&dateTo=2027-01-01", 400),
        ("dateFrom=0001-01-01&dateTo=0001-01-01&timeZone=Asia/Tokyo", 400),
        ("dateFrom=2027-01-05&dateTo=2027-01-05&timeZone=Moon", 400),
        ("dateFrom=2027-01-05&dateTo=2027-01-05&calendarsToLoad[0][credentialId]=999", 404),
        ("dateFrom=2027-01-05&dateTo=2027-01-05&calendarsToLoad[0][credentialId]=x", 404),
    ],
)
def test_a_wrong_query_is_refused(api: Api, query: str, status: int) -> None:
    assert api.send("GET", f"/v2/calendars/busy-times?{query}").status_code == status


def test_a_check_says_how_reading_goes(api: Api, work: ExternalCalendar) -> None:
    assert api.send("GET", "/v2/calendars/ics-feed/check").status_code == 200
    with transaction():
        work.error_code, work.error = "status_404", "There is no calendar at this address (404)."
    assert api.send("GET", "/v2/calendars/ics-feed/check").status_code == 409


def test_a_check_without_an_address_finds_none(api: Api) -> None:
    assert api.send("GET", "/v2/calendars/ics-feed/check").status_code == 404


def test_a_removed_calendar_is_gone(api: Api, work: ExternalCalendar) -> None:
    path = f"/v2/calendars/{work.id}"
    assert [api.send("DELETE", path).status_code for _ in range(2)] == [200, 404]
