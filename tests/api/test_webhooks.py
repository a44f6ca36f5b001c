"""Webhooks by the API: made, listed, found, changed, deleted; of the host and of one event type."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.event_types.models import EventType
from calapp.webhooks.models import Webhook
from tests.api import contract
from tests.api.conftest import Client, KeyMaker, details, message
from tests.integrations.conftest import filled

SECRET = "5f2c" * 16  # 64 hexadecimal characters, as n8n makes them
WEBHOOK = {"subscriberUrl": "http://127.0.0.1:9/hook", "triggers": ["BOOKING_CREATED"], "secret": SECRET}


@pytest.fixture(params=["host", "event type"])
def path(request: pytest.FixtureRequest, quick_chat: EventType) -> str:
    """The address of the webhooks: those of the host, and those of one event type."""
    return "/v2/webhooks" if request.param == "host" else f"/v2/event-types/{quick_chat.id}/webhooks"


def made(client: Client, path: str, **more: object) -> dict[str, object]:
    answer = client.post(path, WEBHOOK | more)
    assert answer.status_code == 201, answer.text
    return answer.get_json()["data"]


def test_a_webhook_is_made_as_n8n_makes_it(rick_api: Client, rick: User, path: str) -> None:
    body = {**WEBHOOK, "triggers": ["MEETING_ENDED", "BOOKING_CREATED"], "active": True}
    webhook = rick_api.post(path, body).get_json()["data"]
    assert len(webhook["id"]) == 36
    assert webhook["userId"] == rick.id
    assert webhook["subscriberUrl"] == body["subscriberUrl"]
    assert sorted(webhook["triggers"]) == sorted(body["triggers"])
    assert (webhook["active"], webhook["payloadTemplate"], webhook["secret"]) == (True, None, SECRET)


def test_a_webhook_is_found_again_with_its_secret(rick_api: Client, path: str) -> None:
    webhook = made(rick_api, path)
    assert rick_api.data(f"{path}?take=250&skip=0") == [webhook]
    assert rick_api.data(f"{path}/{webhook['id']}") == webhook


def test_a_webhook_knows_its_event_type(rick_api: Client, quick_chat: EventType) -> None:
    webhook = made(rick_api, f"/v2/event-types/{quick_chat.id}/webhooks")
    assert webhook["eventTypeId"] == quick_chat.id
    assert rick_api.data("/v2/webhooks") == []
    assert rick_api.data(f"/v2/webhooks/{webhook['id']}") == webhook


def test_another_key_sees_no_secret(with_key: KeyMaker, rick_api: Client, rick: User, path: str) -> None:
    webhook = made(rick_api, path)
    assert with_key(rick).data(f"{path}/{webhook['id']}")["secret"] is None


def test_a_key_that_reads_secrets_sees_it(
    with_key: KeyMaker, rick_api: Client, rick: User, path: str
) -> None:
    webhook = made(rick_api, path)
    assert with_key(rick, "read", "read_secrets").data(f"{path}/{webhook['id']}")["secret"] == SECRET


def test_a_list_comes_in_pages(rick_api: Client, path: str) -> None:
    ids = [made(rick_api, path, subscriberUrl=f"http://127.0.0.1:9/{number}")["id"] for number in range(5)]
    answer = rick_api.get(f"{path}?take=2&skip=2").get_json()
    assert [webhook["id"] for webhook in answer["data"]] == ids[2:4]
    assert answer["pagination"] == {
        "totalItems": 5,
        "remainingItems": 1,
        "returnedItems": 2,
        "itemsPerPage": 2,
        "currentPage": 2,
        "totalPages": 3,
        "hasNextPage": True,
        "hasPreviousPage": True,
    }


@pytest.mark.parametrize(
    ("query", "field"), [("take=0", "take"), ("take=251", "take"), ("skip=-1", "skip"), ("take=all", "take")]
)
def test_a_page_that_cannot_be_is_refused(rick_api: Client, path: str, query: str, field: str) -> None:
    answer = rick_api.get(f"{path}?{query}")
    assert answer.status_code == 400
    assert list(details(answer)) == [field]


def test_what_is_left_out_of_a_change_stays(rick_api: Client, path: str) -> None:
    webhook = made(rick_api, path, payloadTemplate='{"a": "{{title}}"}')
    changed = rick_api.patch(f"{path}/{webhook['id']}", {"active": False}).get_json()["data"]
    assert (changed["active"], changed["offReason"]) == (False, "host")
    different = {"active", "offReason", "updatedAt"}
    assert {k: v for k, v in changed.items() if k not in different} == {
        k: v for k, v in webhook.items() if k not in different
    }


def test_every_field_can_be_changed(rick_api: Client, path: str) -> None:
    webhook = made(rick_api, path)
    change = {
        "subscriberUrl": "http://127.0.0.1:9/other",
        "triggers": ["BOOKING_CANCELLED"],
        "payloadTemplate": '{"x": 1}',
        "secret": "another, long enough",
    }
    changed = rick_api.patch(f"{path}/{webhook['id']}", change).get_json()["data"]
    assert {name: changed[name] for name in change} == change


def test_a_change_of_all_that_was_read_keeps_the_secret(
    with_key: KeyMaker, rick_api: Client, rick: User, session: Session, path: str
) -> None:
    webhook = made(rick_api, path)
    other = with_key(rick)
    read = other.data(f"{path}/{webhook['id']}")
    assert other.patch(f"{path}/{webhook['id']}", read).status_code == 200
    assert session.scalar(select(Webhook)).secret == SECRET


def test_an_empty_secret_removes_it(rick_api: Client, session: Session, path: str) -> None:
    webhook = made(rick_api, path)
    assert rick_api.patch(f"{path}/{webhook['id']}", {"secret": ""}).get_json()["data"]["secret"] is None
    assert session.scalar(select(Webhook)).secret is None


def test_a_previous_secret_still_signs_after_a_change(rick_api: Client, session: Session, path: str) -> None:
    webhook = made(rick_api, path)
    rick_api.patch(f"{path}/{webhook['id']}", {"secret": "a new one, longer"})
    saved = session.scalar(select(Webhook))
    assert (saved.secret, saved.old_secret) == ("a new one, longer", SECRET)


def test_a_webhook_can_be_switched_off_whatever_became_of_its_address(
    rick_api: Client, change: Callable[..., None], session: Session, path: str
) -> None:
    webhook = made(rick_api, path)
    change(session.scalar(select(Webhook)), subscriber_url="http://10.0.0.1/closed-since")
    assert rick_api.patch(f"{path}/{webhook['id']}", {"active": False}).status_code == 200
    assert rick_api.patch(f"{path}/{webhook['id']}", {"triggers": ["MEETING_ENDED"]}).status_code == 400


def test_values_of_custom_headers_are_never_shown(rick_api: Client, session: Session, path: str) -> None:
    webhook = made(rick_api, path, headers=[{"name": "X-Token", "value": "hush-hush"}])
    assert webhook["headers"] == [{"name": "X-Token", "value": "••••"}]
    rick_api.patch(f"{path}/{webhook['id']}", {"headers": webhook["headers"]})
    assert session.scalar(select(Webhook)).headers == [["X-Token", "hush-hush"]]


def test_a_deleted_webhook_is_gone(rick_api: Client, path: str) -> None:
    webhook = made(rick_api, path)
    assert rick_api.delete(f"{path}/{webhook['id']}").get_json()["data"]["id"] == webhook["id"]
    assert rick_api.get(f"{path}/{webhook['id']}").status_code == 404
    assert rick_api.delete(f"{path}/{webhook['id']}").status_code == 404
    assert rick_api.data(path) == []
    assert made(rick_api, path)["id"] != webhook["id"]


def test_a_url_is_once_in_its_scope(rick_api: Client, path: str) -> None:
    made(rick_api, path)
    answer = rick_api.post(path, WEBHOOK)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (409, "conflict")
    assert list(details(answer)) == ["subscriberUrl"]


def test_a_change_cannot_take_the_url_of_another(rick_api: Client, path: str) -> None:
    made(rick_api, path)
    other = made(rick_api, path, subscriberUrl="http://127.0.0.1:9/other")
    answer = rick_api.patch(f"{path}/{other['id']}", {"subscriberUrl": WEBHOOK["subscriberUrl"]})
    assert answer.status_code == 409


def test_a_stranger_finds_nothing(rick_api: Client, bob_api: Client, path: str) -> None:
    webhook = made(rick_api, path)
    address = f"{path}/{webhook['id']}"
    answers = [bob_api.get(address), bob_api.patch(address, {"active": False}), bob_api.delete(address)]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert rick_api.data(address) == webhook


def test_a_stranger_has_no_say_over_an_event_type(bob_api: Client, quick_chat: EventType) -> None:
    path = f"/v2/event-types/{quick_chat.id}/webhooks"
    assert [bob_api.get(path).status_code, bob_api.post(path, WEBHOOK).status_code] == [404, 404]


def test_a_webhook_of_another_event_type_is_not_found(
    rick_api: Client, rick: User, quick_chat: EventType, saved: Callable[..., None]
) -> None:
    other = EventType(user_id=rick.id, title="Other", slug="other", length=30)
    saved(other)
    webhook = made(rick_api, f"/v2/event-types/{quick_chat.id}/webhooks")
    assert rick_api.get(f"/v2/event-types/{other.id}/webhooks/{webhook['id']}").status_code == 404


def test_a_key_that_may_only_read_changes_nothing(with_key: KeyMaker, rick: User, path: str) -> None:
    reader = with_key(rick, "read")
    assert reader.post(path, WEBHOOK).status_code == 403
    assert reader.data(path) == []


WRONG = [
    ({"subscriberUrl": None}, "subscriberUrl"),
    ({"subscriberUrl": 7}, "subscriberUrl"),
    ({"subscriberUrl": "ftp://example.com"}, "subscriberUrl"),
    ({"subscriberUrl": "https://u:p@example.com"}, "subscriberUrl"),
    ({"triggers": "BOOKING_CREATED"}, "triggers"),
    ({"triggers": []}, "triggers"),
    ({"triggers": ["BOOKING_CREATED", "FORM_MOVED"]}, "triggers"),
    ({"triggers": ["PING"]}, "triggers"),
    ({"triggers": [1]}, "triggers.0"),
    ({"active": "yes"}, "active"),
    ({"payloadTemplate": '{"a": '}, "payloadTemplate"),
    ({"secret": "x" * 501}, "secret"),
    ({"secret": "a\0b"}, "secret"),
    ({"headers": [{"name": "Host", "value": "x"}]}, "headers"),
    ({"headers": [{"value": "x"}]}, "headers.0.name"),
    ({"version": "2099-01-01"}, "version"),
]


@pytest.mark.parametrize(("wrong", "field"), WRONG)
def test_what_is_wrong_is_named(rick_api: Client, wrong: dict[str, object], field: str) -> None:
    answer = rick_api.post("/v2/webhooks", WEBHOOK | wrong)
    assert answer.status_code == 400
    assert list(details(answer)) == [field]
    assert message(answer).startswith(f"{field}: ")
    assert rick_api.data("/v2/webhooks") == []


def test_an_unknown_trigger_is_named(rick_api: Client) -> None:
    answer = rick_api.post("/v2/webhooks", WEBHOOK | {"triggers": ["FORM_MOVED"]})
    assert "Unknown trigger: FORM_MOVED." in message(answer)


PRIVATE = ["http://10.0.0.1/", "http://[::ffff:10.0.0.1]/", "http://0x0a000001/", "http://169.254.169.254/"]


@pytest.mark.parametrize("url", PRIVATE)
def test_a_private_address_is_refused_with_the_reason(rick_api: Client, url: str) -> None:
    answer = rick_api.post("/v2/webhooks", WEBHOOK | {"subscriberUrl": url})
    assert (answer.status_code, list(details(answer))) == (400, ["subscriberUrl"])
    assert "address" in message(answer)


def test_t5_unknown_variables_are_named_in_the_answer(rick_api: Client, path: str) -> None:
    webhook = made(rick_api, path, payloadTemplate='{"a": "{{nothing.here}}", "b": "{{attendees.[0].name}}"}')
    assert webhook["warnings"] == ["{{nothing.here}} is not a known variable and is sent as empty."]
    change = {"payloadTemplate": '{"a": "{{title}} {{tilte}}"}'}
    changed = rick_api.patch(f"{path}/{webhook['id']}", change).get_json()["data"]
    assert changed["warnings"] == ["{{tilte}} is not a known variable and is sent as empty."]


@pytest.mark.parametrize(
    "text",
    [
        '{"a":"\\ud83d {{title}}"}',
        "[" * 700 + "]" * 700,
        '{"a":1e999}',
        '["{{metadata}}"' + ',"{{metadata}}"' * 99 + "]",
    ],
)
def test_t3_t4_t7_a_template_that_cannot_be_sent_is_refused(rick_api: Client, path: str, text: str) -> None:
    body = {"subscriberUrl": "http://127.0.0.1:9/", "triggers": ["BOOKING_CREATED"], "payloadTemplate": text}
    answer = rick_api.post(path, body)
    assert (answer.status_code, list(details(answer))) == (400, ["payloadTemplate"])


SHORT = [
    "whsec_",
    "whsec_QQ==",
    "whsec_abc",
    "whsec_ MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "…",
    "15 characters..",
]


@pytest.mark.parametrize("secret", SHORT)
def test_u5_a_weak_secret_is_refused(rick_api: Client, secret: str) -> None:
    answer = rick_api.post("/v2/webhooks", WEBHOOK | {"secret": secret})
    assert (answer.status_code, list(details(answer))) == (400, ["secret"])


RESERVED = [
    "x_cal_signature_256",
    "Content_Length",
    "Webhook_Signature",
    "Proxy-Connection",
    "x.calapp.attempt",
]


@pytest.mark.parametrize("name", RESERVED)
def test_u6_a_header_that_could_be_taken_for_ours_is_refused(rick_api: Client, name: str) -> None:
    answer = rick_api.post("/v2/webhooks", WEBHOOK | {"headers": [{"name": name, "value": "x"}]})
    assert (answer.status_code, list(details(answer))) == (400, ["headers"])


def test_u7_a_new_origin_needs_headers_and_secret_again(
    with_key: KeyMaker, rick_api: Client, rick: User, path: str
) -> None:
    webhook = made(rick_api, path, headers=[{"name": "X-Token", "value": "hush-hush"}])
    moved = {"subscriberUrl": "http://127.0.0.1:8999/"}
    other, address = with_key(rick), f"{path}/{webhook['id']}"
    refused = other.patch(address, moved | {"headers": webhook["headers"]})
    assert (refused.status_code, set(details(refused))) == (400, {"headers", "secret"})
    again = {"secret": SECRET, "headers": [{"name": "X-Token", "value": "hush-hush"}]}
    assert other.patch(address, moved | again).status_code == 200


def test_d6_a_new_secret_can_end_the_old_one_at_once(rick_api: Client, session: Session, path: str) -> None:
    webhook = made(rick_api, path)
    change = {"secret": "a new one, longer", "secretOverlapSeconds": 0}
    assert rick_api.patch(f"{path}/{webhook['id']}", change).status_code == 200
    assert session.scalar(select(Webhook)).old_secret is None


def test_u2_another_spelling_of_a_url_is_a_conflict(rick_api: Client, path: str) -> None:
    made(rick_api, path, subscriberUrl="http://127.0.0.1:9")
    assert rick_api.post(path, WEBHOOK | {"subscriberUrl": "HTTP://127.1:9/#x"}).status_code == 409


def test_u9_a_deleted_event_type_stays_the_scope(rick_api: Client, quick_chat: EventType) -> None:
    webhook = made(rick_api, f"/v2/event-types/{quick_chat.id}/webhooks")
    rick_api.delete(f"/v2/event-types/{quick_chat.id}")
    changed = rick_api.patch(f"/v2/webhooks/{webhook['id']}", {"active": False}).get_json()["data"]
    assert changed["eventTypeId"] == quick_chat.id
    assert [one["id"] for one in rick_api.data("/v2/webhooks")] == [webhook["id"]]


def test_the_document_has_the_limits_of_a_webhook_that_are_checked(app: Flask) -> None:
    schemas = contract.of_app(app)["components"]["schemas"]
    for name in ("WebhookBody", "WebhookPatch"):
        properties = schemas[name]["properties"]
        assert (properties["triggers"]["minItems"], properties["headers"]["maxItems"]) == (1, 10)


def test_a_saved_secret_may_be_sent_back_however_short(rick_api: Client, session: Session) -> None:
    made = rick_api.post("/v2/webhooks", WEBHOOK | {"secret": "x" * 16}).get_json()["data"]
    webhook = session.scalars(select(Webhook).where(Webhook.uid == made["id"])).one()
    webhook.secret = "short"
    session.commit()
    address = f"/v2/webhooks/{made['id']}"
    assert rick_api.patch(address, {"secret": "short", "active": False}).status_code == 200
    answer = rick_api.patch(address, {"secret": "other"})
    assert (answer.status_code, list(details(answer))) == (400, ["secret"])


def test_the_box_and_the_api_refuse_in_the_same_words(rick_client: FlaskClient, rick_api: Client) -> None:
    url = f"https://example.com/{'a' * 2000}"
    page = rick_client.post("/integrations/webhooks/new", data=filled(url)).text
    answer = rick_api.post("/v2/webhooks", {"subscriberUrl": url, "triggers": ["BOOKING_CREATED"]})
    words = answer.get_json()["error"]["details"]["subscriberUrl"]
    assert words == "Must be at most 2,000 characters."
    assert words in page


def test_triggers_of_what_cannot_happen_are_accepted_and_named(rick_api: Client) -> None:
    body = WEBHOOK | {"triggers": ["RECORDING_READY", "BOOKING_CREATED", "OOO_CREATED"]}
    webhook = rick_api.post("/v2/webhooks", body).get_json()["data"]
    assert webhook["triggers"] == ["BOOKING_CREATED", "RECORDING_READY", "OOO_CREATED"]
    assert webhook["neverSent"] == ["RECORDING_READY", "OOO_CREATED"]


def test_a_change_may_name_a_saved_trigger_that_is_no_longer_offered(
    rick_api: Client, change: Callable[..., None], session: Session
) -> None:
    webhook = rick_api.post("/v2/webhooks", WEBHOOK).get_json()["data"]
    saved = session.scalars(select(Webhook)).one()
    change(saved, triggers=["BOOKING_CREATED", "BOOKING_MOVED"])
    path = f"/v2/webhooks/{webhook['id']}"
    changed = rick_api.patch(path, {"triggers": ["BOOKING_MOVED", "BOOKING_CREATED"]}).get_json()["data"]
    assert (changed["triggers"], changed["neverSent"]) == (
        ["BOOKING_CREATED", "BOOKING_MOVED"],
        ["BOOKING_MOVED"],
    )
    answer = rick_api.patch(path, {"triggers": ["BOOKING_GONE"]})
    assert (answer.status_code, list(details(answer))) == (400, ["triggers"])


def test_all_webhooks_of_an_event_type_are_deleted_at_once(
    rick_api: Client, bob_api: Client, quick_chat: EventType
) -> None:
    path = f"/v2/event-types/{quick_chat.id}/webhooks"
    for number in range(2):
        made(rick_api, path, subscriberUrl=f"http://127.0.0.1:9/{number}")
    kept = made(rick_api, "/v2/webhooks")
    assert bob_api.delete(path).status_code == 404
    assert rick_api.delete(path).get_json()["data"] == "2 webhooks deleted"
    assert rick_api.data(path) == []
    assert [one["id"] for one in rick_api.data("/v2/webhooks")] == [kept["id"]]
