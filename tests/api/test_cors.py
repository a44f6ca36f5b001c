"""Programs in other sites' pages may call the API; their browsers ask first."""

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from calapp.event_types.models import EventType
from tests.conftest import signed_in

SITE = {"Origin": "https://bank.example"}
ASKED = {
    **SITE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,cal-api-version",
}


def listed(answer: TestResponse, header: str) -> set[str]:
    return {name.strip().lower() for name in answer.headers[header].split(",")}


@pytest.mark.parametrize(
    "path",
    ["/v2", "/v2/me", "/v2/bookings", "/v2/event-types/1", "/v2/nothing", "/v2/a/b/c", "/v2/webhooks/x"],
)
def test_a_browser_that_asks_first_may_go_on_whatever_is_there(client: FlaskClient, path: str) -> None:
    answer = client.options(path, headers=ASKED)
    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Max-Age"] == "86400"
    methods = {"get", "head", "post", "put", "patch", "delete", "options"}
    assert listed(answer, "Access-Control-Allow-Methods") == methods
    allowed = listed(answer, "Access-Control-Allow-Headers")
    assert {"authorization", "cal-api-version", "content-type", "x-cal-client-id", "accept"} <= allowed


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/openapi.json", 200),
        ("GET", "/v2/me", 401),
        ("GET", "/v2/nothing", 404),
        ("PUT", "/v2/me", 405),
        ("POST", "/v2/bookings", 400),
    ],
)
def test_a_page_may_read_every_answer_and_error(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    answer = client.open(path, method=method, headers=SITE, json={} if method == "POST" else None)
    assert answer.status_code == status
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("path", ["/login", "/rick/quick-chat", "/rick/quick-chat/embed", "/healthz", "/v2x"])
def test_no_other_page_may_be_read(client: FlaskClient, quick_chat: EventType, path: str) -> None:
    for answer in (client.options(path, headers=ASKED), client.get(path, headers=SITE)):
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_session_opens_nothing_from_another_site(app, rick) -> None:
    assert signed_in(app, rick).get("/v2/me", headers=SITE).status_code == 401


def test_asking_first_counts_for_no_limit(client: FlaskClient) -> None:
    assert {client.options("/v2/bookings", headers=ASKED).status_code for _ in range(50)} == {204}
