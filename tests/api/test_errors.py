"""What the API says to what it cannot take; nothing that is sent gives a 5xx."""

import pytest

from calapp.accounts.models import User
from calapp.event_types.models import EventType
from tests.api.conftest import Client, details, message


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2/nothing", "/v2/a/b/c", "/v2/webhooks/x/y"])
def test_nothing_is_at_other_addresses(rick_api: Client, path: str) -> None:
    answer = rick_api.browser.get(path, headers={"Authorization": f"Bearer {rick_api.key}"})
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v2/me", {"GET", "PATCH"}),
        ("DELETE", "/v2/webhooks", {"GET", "POST"}),
        ("PUT", "/v2/webhooks/1", {"GET", "PATCH", "DELETE"}),
        ("POST", "/v2/openapi.json", {"GET"}),
    ],
)
def test_the_wrong_method_is_told_the_right_ones(
    anyone: Client, method: str, path: str, allowed: set[str]
) -> None:
    answer = anyone.browser.open(path, method=method)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) - {"HEAD", "OPTIONS"} == allowed


def test_no_page_is_served_under_the_api(anyone: Client, quick_chat: EventType) -> None:
    answer = anyone.browser.get("/v2/quick-chat")
    assert (answer.status_code, answer.mimetype) == (404, "application/json")


@pytest.mark.parametrize("number", ["9" * 19, "9" * 40, "9" * 5000, "0" * 30 + "1"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_number_that_no_column_holds_is_not_found(rick_api: Client, method: str, number: str) -> None:
    more = {"json": {"title": "x"}} if method == "PATCH" else {}
    assert rick_api.send(method, f"/v2/event-types/{number}", **more).status_code == 404


BODIES = [
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"a": NaN}',
    b'{"a": "\\ud800"}',
    b'{"subscriberUrl": 1e999}',
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_what_is_no_json_object_is_refused(rick_api: Client, body: bytes) -> None:
    answer = rick_api.post("/v2/webhooks", data=body, content_type="application/json")
    assert answer.status_code == 400
    assert message(answer)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_another_content_type_is_refused(rick_api: Client, kind: str) -> None:
    answer = rick_api.post("/v2/webhooks", data=b'{"a": 1}', content_type=kind)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (415, "unsupported_media_type")
    assert "application/json" in message(answer)


def test_an_empty_body_is_told_what_is_needed(rick_api: Client) -> None:
    answer = rick_api.post("/v2/webhooks")
    assert set(details(answer)) == {"subscriberUrl", "triggers"}


def test_a_body_over_256_kb_is_refused(rick_api: Client) -> None:
    body = {"subscriberUrl": "https://example.com", "triggers": [], "payloadTemplate": "x" * 262_144}
    answer = rick_api.post("/v2/webhooks", body)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (413, "too_large")


def test_fields_that_nobody_knows_are_ignored(rick_api: Client) -> None:
    body = {"title": "Talk", "slug": "talk", "lengthInMinutes": 30, "calendarMood": 7, "\N{SNOWMAN}": None}
    assert rick_api.post("/v2/event-types", body).status_code == 201


def booking(quick_chat: EventType, name: str, metadata: dict[str, str]) -> dict[str, object]:
    attendee = {"name": name, "email": "ada@example.com", "timeZone": "UTC"}
    start = "2027-01-05T10:00:00Z"
    return {"start": start, "eventTypeId": quick_chat.id, "attendee": attendee, "metadata": metadata}


def test_v3_what_no_text_may_hold_is_taken_out(anyone: Client, quick_chat: EventType) -> None:
    body = booking(quick_chat, "A\x07da", {"a\0": "x\0\x9fy", "half": "😀 \ud83d.", "lines": "1\r\n2"})
    made = anyone.post("/v2/bookings", body).get_json()["data"]
    assert made["attendees"][0]["name"] == "Ada"
    assert made["metadata"] == {"a": "xy", "half": "😀 .", "lines": "1\n2"}


@pytest.mark.parametrize("bad", ["NaN", "1 2", "[" * 5000, '{"a":' * 5000])
def test_half_a_character_excuses_nothing_else(anyone: Client, bad: str) -> None:
    text = '{"a": "\\ud83d", "b": ' + bad + "}"
    answer = anyone.browser.post("/v2/bookings", data=text, content_type="application/json")
    assert answer.status_code == 400
    assert "not valid JSON" in answer.get_json()["error"]["message"]


@pytest.mark.parametrize("field", ["secret", "payloadTemplate", "subscriberUrl"])
@pytest.mark.parametrize("bad", ["\0", "\ud83d"])
def test_what_must_stay_as_it_is_is_refused_not_changed(rick_api: Client, field: str, bad: str) -> None:
    body = {"subscriberUrl": "https://example.com/", "triggers": ["BOOKING_CREATED"], field: f"a{bad}"}
    assert list(details(rick_api.post("/v2/webhooks", body))) == [field]


def test_a_null_means_what_leaving_out_means(rick_api: Client, rick: User) -> None:
    body = {"title": "Talk", "slug": "talk", "lengthInMinutes": 30, "hidden": None, "description": None}
    assert rick_api.post("/v2/event-types", body).get_json()["data"]["hidden"] is False
