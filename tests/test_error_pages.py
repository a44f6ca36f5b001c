"""Every error as a page, as a toast for htmx, and as the API's JSON."""

import json
import logging
from datetime import datetime

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from calapp import errors
from calapp.clock import now
from calapp.event_types.models import EventType

HTMX = {"HX-Request": "true", "HX-Current-URL": "http://localhost/event-types?page=2"}


# With the words that clients of Cal.com's API look for.
CALS = "User either already has booking at this time or is not available"
MESSAGES = {"slot_taken": f"{errors.SlotTaken().message} ({CALS})"}


def raising(app: Flask, error: Exception) -> FlaskClient:
    """A browser of an app in which three addresses fail in this way."""

    def view() -> str:
        raise error

    app.config.update(TESTING=False, PROPAGATE_EXCEPTIONS=False)
    for address in ("/fails/here", "/v2/fails"):
        app.add_url_rule(address, address, view, methods=["GET", "POST"])
    return app.test_client()


KINDS = [
    (errors.NotFound(), 404, 404, "not_found"),
    (errors.NotAllowed("Not yours."), 403, 403, "forbidden"),
    (errors.Invalid("Please fix the marked fields.", email="No."), 422, 400, "invalid"),
    (errors.Conflict("It stands already."), 409, 409, "conflict"),
    (errors.SlotTaken(), 409, 409, "slot_taken"),
    (errors.Gone(), 410, 410, "gone"),
    (errors.TooMany(retry_after=7), 429, 429, "too_many_requests"),
    (errors.Busy(), 503, 503, "busy"),
]


@pytest.mark.parametrize(("error", "status", "_api", "_code"), KINDS)
def test_a_person_sees_a_page_with_the_sentence(
    app: Flask, error: errors.AppError, status: int, _api: int, _code: str
) -> None:
    answer = raising(app, error).get("/fails/here")
    assert answer.status_code == status
    assert error.message in answer.text
    assert answer.text.startswith("<!doctype html>")


@pytest.mark.parametrize(("error", "status", "_api", "_code"), KINDS)
def test_htmx_keeps_the_form_and_shows_a_toast(
    app: Flask, error: errors.AppError, status: int, _api: int, _code: str
) -> None:
    answer = raising(app, error).post("/fails/here", headers=HTMX)
    said = json.loads(answer.headers["HX-Trigger"])["toast"]
    assert (answer.status_code, answer.headers["HX-Reswap"]) == (status, "none")
    assert said["text"].startswith(error.message)
    assert said["tone"] == "bad"


@pytest.mark.parametrize(("error", "_status", "api", "code"), KINDS)
def test_a_program_gets_json(app: Flask, error: errors.AppError, _status: int, api: int, code: str) -> None:
    answer = raising(app, error).get("/v2/fails")
    told = {"code": code, "message": MESSAGES.get(code, error.message), "details": error.details}
    assert answer.status_code == api
    body = answer.get_json()
    assert datetime.fromisoformat(body.pop("timestamp")) <= now()
    assert body == {"status": "error", "path": "/v2/fails", "error": told}


def test_the_details_of_invalid_fields_are_said_to_people_too(app: Flask) -> None:
    answer = raising(app, errors.Invalid("Please look.", start="This is no time.")).post("/fails/here")
    assert "Please look. This is no time." in answer.text


def test_who_comes_too_often_is_told_when_to_come_again(app: Flask) -> None:
    assert raising(app, errors.TooMany(retry_after=7)).get("/v2/fails").headers["Retry-After"] == "7"


def test_who_finds_the_server_busy_is_told_when_to_come_again(app: Flask) -> None:
    assert int(raising(app, errors.Busy()).get("/fails/here").headers["Retry-After"]) > 0


def test_the_signed_out_go_to_the_sign_in_and_back(app: Flask) -> None:
    answer = raising(app, errors.SignedOut()).get("/fails/here?a=1&b=%2F")
    assert (answer.status_code, answer.location) == (303, "/login?next=%2Ffails%2Fhere%3Fa%3D1%26b%3D%252F")


def test_htmx_of_the_signed_out_asks_for_the_password_where_it_is(app: Flask) -> None:
    answer = raising(app, errors.SignedOut()).post("/fails/here", headers=HTMX)
    assert answer.status_code == 401
    assert "HX-Redirect" not in answer.headers
    assert "sign-in" in json.loads(answer.headers["HX-Trigger"])


def test_a_post_of_the_signed_out_comes_back_to_its_page(app: Flask) -> None:
    browser = raising(app, errors.SignedOut())
    answer = browser.post("/fails/here", headers={"Referer": "https://evil.example/settings?x=1"})
    assert answer.location == "/login?next=%2Fsettings%3Fx%3D1"


def test_a_program_without_a_key_gets_401(app: Flask) -> None:
    answer = raising(app, errors.SignedOut("Please send an API key.")).get("/v2/fails")
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (401, "unauthorized")


def test_an_unexpected_error_is_noted_and_tells_nothing_of_itself(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = raising(app, RuntimeError("the secret is swordfish")).get("/fails/here")
    assert answer.status_code == 500
    assert "swordfish" not in answer.text
    assert "the secret is swordfish" in caplog.text


def test_an_unexpected_error_is_json_for_a_program(app: Flask) -> None:
    answer = raising(app, RuntimeError("boom")).get("/v2/fails")
    assert answer.status_code == 500
    assert answer.get_json()["error"]["code"] == "internal_error"


def test_a_database_that_is_away_is_no_fault_of_the_visitor(app: Flask) -> None:
    away = OperationalError("SELECT 1", {}, Exception("the server closed the connection"))
    answer = raising(app, away).get("/v2/fails")
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (503, "busy")


@pytest.mark.parametrize("address", ["/a/b/c/d", "/event-types/99999999999999999999", "/nobody"])
def test_nothing_is_at_other_addresses(client: FlaskClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code in {303, 404}


def test_the_wrong_method_is_told(client: FlaskClient) -> None:
    answer = client.delete("/login")
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


def test_a_body_that_is_too_large_is_refused(client: FlaskClient) -> None:
    answer = client.post("/login", data={"username": "x" * 300_000})
    assert answer.status_code == 413
    assert "The request is too large" in answer.text


@pytest.mark.parametrize("field", ["username", "na\0me"])
def test_a_nul_never_reaches_the_database(client: FlaskClient, field: str) -> None:
    answer = client.post("/login", data={field: "ri\0ck", "password": "x"})
    assert answer.status_code == 422


ODD_BYTES = ("%00", "%ff", "%ed%a0%80", "%c2%85", "%e2%80%ae", "%EF%BF%BF", "%0b", "%")


@pytest.mark.parametrize("odd", ODD_BYTES)
@pytest.mark.parametrize("query", ["metadata[k]=a{}b", "utm={}", "{}={}", "tz={}", "tf={}&date={}&slot={}"])
def test_v4_odd_bytes_in_an_address_leave_the_page_as_ever(
    client: FlaskClient, quick_chat: EventType, odd: str, query: str
) -> None:
    answer = client.get(f"/rick/quick-chat?{query.replace('{}', odd)}")
    assert (answer.status_code, "Quick chat" in answer.text) == (200, True)


def test_v4_bytes_that_are_not_even_encoded_leave_the_page_as_ever(
    client: FlaskClient, quick_chat: EventType
) -> None:
    query = "metadata[k]=\xff\xfe\x00&name=\xc3\xa9"  # as WSGI has bytes
    environ = {"QUERY_STRING": query, "PATH_INFO": "/rick/\x00quick-chat"}
    answer = client.get("/", environ_overrides=environ)
    assert answer.status_code == 200
    assert "Quick chat" in answer.text


HOST_PAGES = ("bookings/upcoming", "bookings/past", "integrations", "login", "availability", "event-types")


@pytest.mark.parametrize("odd", ODD_BYTES)
@pytest.mark.parametrize("path", HOST_PAGES)
def test_v4_host_pages_stand_odd_bytes(rick_client: FlaskClient, path: str, odd: str) -> None:
    answer = rick_client.get(f"/{path}?q=a{odd}b&page={odd}&health={odd}&next={odd}&{odd}=1")
    assert answer.status_code in {200, 302}


def test_v4_a_nul_in_a_path_is_not_there(client: FlaskClient, quick_chat: EventType) -> None:
    assert client.get("/rick%00/quick-%00chat").status_code == 200
    assert client.get("/nobody%00").status_code == 404


def test_a_raw_body_is_still_there_for_the_view(app: Flask) -> None:
    app.add_url_rule("/raw", "raw", lambda: request.get_data().decode(), methods=["POST"])
    answer = app.test_client().post("/raw", data="a=1&b=2", content_type="application/x-www-form-urlencoded")
    assert answer.text == "a=1&b=2"


def test_an_error_never_repeats_markup(client: FlaskClient) -> None:
    assert "<script>alert" not in client.get("/<script>alert(1)</script>").text


@pytest.mark.parametrize("header", ["HX-Current-URL", "Referer"])
@pytest.mark.parametrize("address", ["http://[", "//[::1", "http://a]b/"])
def test_a_header_with_an_address_that_cannot_be_read_is_no_fault(
    client: FlaskClient, rick_client: FlaskClient, header: str, address: str
) -> None:
    headers = {header: address} | ({"HX-Request": "true"} if header == "HX-Current-URL" else {})
    left = client.post("/integrations/webhooks/new", headers=headers)
    assert left.status_code == 401 if "HX-Request" in headers else left.location == "/login?next=%2F"
    assert rick_client.get("/integrations/webhooks/health", headers=headers).status_code in {200, 303}
    assert rick_client.post("/integrations/api-keys/1/revoke", headers=headers).status_code in {204, 303, 404}
