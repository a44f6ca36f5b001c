"""The log, resend and replay over the API: what the pages do, for programs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.clock import iso_milliseconds, now
from calapp.deliveries import engine
from calapp.deliveries.models import Event
from calapp.webhooks.models import Webhook
from tests.api.conftest import Client, KeyMaker, details, message
from tests.receiver import Receiver, answer

Happen = Callable[..., Event]
Deliver = Callable[[], None]
DAY = timedelta(days=1)


def log_of(client: Client, webhook: Webhook, query: str = "") -> tuple[list[Any], Any]:
    """Return a page of a webhook's log and its pagination."""
    made = client.get(f"/v2/webhooks/{webhook.uid}/deliveries?{query}")
    assert made.status_code == 200, made.text
    return made.get_json()["data"], made.get_json()["pagination"]


def window(**more: object) -> dict[str, object]:
    return {"from": iso_milliseconds(now() - DAY), "to": iso_milliseconds(now() + DAY), **more}


def ids(receiver: Receiver) -> list[str]:
    return [request.headers["webhook-id"] for request in receiver.requests]


def test_the_log_shows_what_was_delivered(
    rick_api: Client, webhook: Webhook, happen: Happen, deliver: Deliver
) -> None:
    event = happen()
    deliver()
    [shown], pagination = log_of(rick_api, webhook)
    told = {name: shown[name] for name in ("webhookId", "eventId", "state", "attemptCount", "lastStatus")}
    assert told == {
        "webhookId": webhook.uid,
        "eventId": event.uid,
        "state": "delivered",
        "attemptCount": 1,
        "lastStatus": 200,
    }
    assert pagination == {"next": None, "hasMore": False}


def test_the_log_goes_back_page_by_page(rick_api: Client, webhook: Webhook, happen: Happen) -> None:
    made = [happen(f"chain {number}").uid for number in range(5)]
    read, before, more = [], "", True
    while more:
        rows, pagination = log_of(rick_api, webhook, f"take=2{before}")
        read += [row["eventId"] for row in rows]
        before, more = f"&before={pagination['next']}", pagination["hasMore"]
    assert read == made[::-1]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("state=delivered", 0),
        ("state=waiting", 2),
        ("triggerEvent=BOOKING_CREATED", 1),
        ("bookingUid=two", 1),
        ("bookingUid=nobody", 0),
    ],
)
def test_the_log_can_be_filtered(
    rick_api: Client, webhook: Webhook, happen: Happen, query: str, count: int
) -> None:
    happen("one")
    happen("two", trigger="BOOKING_CANCELLED")
    assert len(log_of(rick_api, webhook, query)[0]) == count


@pytest.mark.parametrize("query", ["state=odd", "triggerEvent=NOPE", "before=0", "before=x", "take=1000"])
def test_a_filter_that_cannot_be_read_is_named(rick_api: Client, webhook: Webhook, query: str) -> None:
    refused = rick_api.get(f"/v2/webhooks/{webhook.uid}/deliveries?{query}")
    assert (refused.status_code, list(details(refused))) == (400, [query.partition("=")[0]])


def test_a_delivery_shows_its_body_and_tries(
    rick_api: Client, webhook: Webhook, receiver: Receiver, happen: Happen, deliver: Deliver
) -> None:
    receiver.behave = answer("500 Oops", b"no \xff\0")
    event = happen()
    deliver()
    [row], _ = log_of(rick_api, webhook, "state=failing")
    shown = rick_api.data(f"/v2/deliveries/{row['id']}")
    [attempt] = shown["attempts"]
    assert (shown["body"], shown["subscriberUrl"]) == (event.body, webhook.subscriber_url)
    assert (attempt["status"], attempt["responseBody"], attempt["failure"] != "") == (500, "no \ufffd", True)
    assert shown["nextAttemptAt"] > attempt["at"]


ROUTES = [
    ("GET", "/v2/webhooks/{webhook}/deliveries"),
    ("GET", "/v2/deliveries/{delivery}"),
    ("POST", "/v2/deliveries/{delivery}/resend"),
    ("POST", "/v2/webhooks/{webhook}/replay"),
    ("GET", "/v2/webhooks/{webhook}/replay"),
    ("DELETE", "/v2/webhooks/{webhook}/replay"),
    ("POST", "/v2/webhooks/{webhook}/ping"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_strangers_deliveries_are_not_there(
    rick_api: Client, bob_api: Client, webhook: Webhook, happen: Happen, method: str, path: str
) -> None:
    happen()
    number = log_of(rick_api, webhook)[0][0]["id"]
    address = path.format(webhook=webhook.uid, delivery=number)
    body = {"json": window()} if path.endswith("replay") and method == "POST" else {}
    assert bob_api.send(method, address, **body).status_code == 404


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_what_only_reads_needs_read_and_the_rest_write(
    with_key: KeyMaker, rick: User, webhook: Webhook, method: str, path: str
) -> None:
    refused = with_key(rick, "write" if method == "GET" else "read").send(
        method, path.format(webhook=webhook.uid, delivery=1)
    )
    assert refused.status_code == 403


def test_the_log_of_a_deleted_webhook_is_gone(
    rick_api: Client, webhook: Webhook, happen: Happen, change: Callable[..., None]
) -> None:
    happen()
    number = log_of(rick_api, webhook)[0][0]["id"]
    change(webhook, deleted_at=now())
    assert rick_api.get(f"/v2/webhooks/{webhook.uid}/deliveries").status_code == 404
    assert rick_api.post(f"/v2/deliveries/{number}/resend").status_code == 404


@pytest.mark.parametrize("number", [0, 10**12, 2**63 - 1, 2**63, 10**30])
def test_a_number_of_no_delivery_is_not_found(rick_api: Client, number: int) -> None:
    assert rick_api.get(f"/v2/deliveries/{number}").status_code == 404


def test_a_resent_event_keeps_its_id(
    rick_api: Client, webhook: Webhook, receiver: Receiver, happen: Happen, deliver: Deliver
) -> None:
    happen()
    deliver()
    first = log_of(rick_api, webhook)[0][0]["id"]
    again = rick_api.post(f"/v2/deliveries/{first}/resend")
    deliver()
    assert (again.status_code, again.get_json()["data"]["manual"]) == (202, True)
    assert again.get_json()["data"]["id"] != first
    assert len(ids(receiver)) == 2
    assert len(set(ids(receiver))) == 1


def test_two_resends_at_once_send_once(
    rick_api: Client, webhook: Webhook, receiver: Receiver, happen: Happen, deliver: Deliver
) -> None:
    happen()
    deliver()
    first = log_of(rick_api, webhook)[0][0]["id"]
    made = {rick_api.post(f"/v2/deliveries/{first}/resend").get_json()["data"]["id"] for _ in range(2)}
    deliver()
    assert (len(made), len(ids(receiver))) == (1, 2)


def test_a_resend_while_the_webhook_is_off_is_told_so(
    rick_api: Client, webhook: Webhook, happen: Happen, change: Callable[..., None]
) -> None:
    happen()
    change(webhook, active=False)
    number = log_of(rick_api, webhook)[0][0]["id"]
    refused = rick_api.post(f"/v2/deliveries/{number}/resend")
    assert (refused.status_code, "switch it on" in message(refused)) == (409, True)


def test_a_resend_of_what_is_no_longer_kept_is_gone(
    rick_api: Client, webhook: Webhook, happen: Happen, deliver: Deliver, change: Callable[..., None]
) -> None:
    event = happen()
    deliver()
    change(event, body=None)
    number = log_of(rick_api, webhook)[0][0]["id"]
    assert rick_api.post(f"/v2/deliveries/{number}/resend").status_code == 410


def test_a_replay_sends_a_window_once_more(
    rick_api: Client, webhook: Webhook, receiver: Receiver, happen: Happen, deliver: Deliver
) -> None:
    for number in range(3):
        happen(f"chain {number}")
    deliver()
    started = rick_api.post(f"/v2/webhooks/{webhook.uid}/replay", window(onlyFailed=False))
    engine.continue_replays()
    deliver()
    shown = rick_api.data(f"/v2/webhooks/{webhook.uid}/replay")
    assert (started.status_code, started.get_json()["data"]["state"]) == (202, "running")
    assert (shown["state"], shown["total"], shown["done"]) == ("done", 3, 3)
    assert sorted(ids(receiver)[3:]) == sorted(ids(receiver)[:3])


def test_a_dry_run_only_counts(
    rick_api: Client, webhook: Webhook, receiver: Receiver, happen: Happen, deliver: Deliver
) -> None:
    happen()
    deliver()
    counted = rick_api.post(f"/v2/webhooks/{webhook.uid}/replay", window(onlyFailed=False, dryRun=True))
    engine.continue_replays()
    deliver()
    assert counted.get_json()["data"] | {"from": "", "to": ""} == {
        "id": None,
        "webhookId": webhook.uid,
        "from": "",
        "to": "",
        "onlyFailed": False,
        "state": "dry_run",
        "total": 1,
        "done": 0,
        "waiting": 0,
        "createdAt": None,
        "finishedAt": None,
    }
    assert len(ids(receiver)) == 1


def test_a_replay_leaves_out_what_was_delivered_unless_told(
    rick_api: Client, webhook: Webhook, happen: Happen, deliver: Deliver
) -> None:
    happen()
    deliver()
    refused = rick_api.post(f"/v2/webhooks/{webhook.uid}/replay", window())
    assert (refused.status_code, "nothing to send" in message(refused)) == (400, True)


def test_a_second_replay_waits_for_the_first(
    rick_api: Client, webhook: Webhook, happen: Happen, deliver: Deliver
) -> None:
    happen()
    deliver()
    rick_api.post(f"/v2/webhooks/{webhook.uid}/replay", window(onlyFailed=False))
    assert rick_api.post(f"/v2/webhooks/{webhook.uid}/replay", window(onlyFailed=False)).status_code == 409


def test_a_stopped_replay_sends_nothing_more(
    rick_api: Client, webhook: Webhook, receiver: Receiver, happen: Happen, deliver: Deliver
) -> None:
    happen()
    deliver()
    rick_api.post(f"/v2/webhooks/{webhook.uid}/replay", window(onlyFailed=False))
    stopped = rick_api.delete(f"/v2/webhooks/{webhook.uid}/replay")
    engine.continue_replays()
    deliver()
    assert stopped.get_json()["data"]["state"] == "stopped"
    assert len(ids(receiver)) == 1


def test_without_a_replay_there_is_none_to_show(rick_api: Client, webhook: Webhook) -> None:
    assert rick_api.get(f"/v2/webhooks/{webhook.uid}/replay").status_code == 404
    assert rick_api.delete(f"/v2/webhooks/{webhook.uid}/replay").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"from": "2027-01-05T10:00:00Z"}, "to"),
        ({"from": "2027-01-05", "to": "2027-01-05T10:00:00Z"}, "from"),
        ({"from": "2027-01-05T10:00:00", "to": "2027-01-05T10:00:00Z"}, "from"),
        ({"from": "2027-01-05T10:00:00Z", "to": "2027-01-05T10:00:00Z"}, "to"),
        ({"from": "0001-01-01T00:00:00Z", "to": "2027-01-05T10:00:00Z"}, "from"),
        (window(onlyFailed="yes"), "onlyFailed"),
    ],
)
def test_a_window_that_cannot_be_is_named(
    rick_api: Client, webhook: Webhook, body: dict[str, object], field: str
) -> None:
    refused = rick_api.post(f"/v2/webhooks/{webhook.uid}/replay", body)
    assert (refused.status_code, list(details(refused))) == (400, [field])


def test_a_ping_carries_a_signed_sample(
    rick_api: Client, webhook: Webhook, receiver: Receiver, session: Session
) -> None:
    told = rick_api.post(f"/v2/webhooks/{webhook.uid}/ping").get_json()["data"]
    assert (told["status"], told["failure"], told["responseBody"]) == (200, None, "ok")
    assert b'"triggerEvent":"PING"' in receiver.requests[0].body
    assert "webhook-signature" in receiver.requests[0].headers


def test_a_ping_that_fails_says_why(rick_api: Client, webhook: Webhook, change: Callable[..., None]) -> None:
    change(webhook, subscriber_url="http://127.0.0.1:9/")
    told = rick_api.post(f"/v2/webhooks/{webhook.uid}/ping").get_json()["data"]
    assert (told["status"], told["failure"] != "") == (None, True)


def parked_at(client: Client, webhook: Webhook, happen: Happen) -> str:
    """Have an event parked and a later one of its booking wait behind it; return the webhook's path."""
    path = f"/v2/webhooks/{webhook.uid}"
    client.patch(path, json={"active": False})
    happen("booked")
    client.patch(path, json={"active": True})
    happen("booked", sequence=2, trigger="BOOKING_CANCELLED")
    return path


@pytest.mark.parametrize(("verb", "count"), [("release", 2), ("discard", 1)])
def test_d5_parked_events_are_released_or_discarded(
    rick_api: Client, webhook: Webhook, receiver: Receiver, happen: Happen, deliver: Deliver, verb, count
) -> None:
    path = parked_at(rick_api, webhook, happen)
    assert rick_api.data(f"{path}/parked") == {"webhookId": webhook.uid, "parked": 1, "decision": None}
    made = rick_api.post(f"{path}/parked/{verb}")
    assert (made.status_code, made.get_json()["data"]["parked"]) == (202, 0)
    engine.free_left_behind()
    deliver()
    assert len(receiver.requests) == count
    assert rick_api.post(f"{path}/parked/{verb}").status_code == 202  # a second time there is nothing left


def test_d5_nothing_is_released_while_the_webhook_is_off(
    rick_api: Client, bob_api: Client, webhook: Webhook, happen: Happen
) -> None:
    path = parked_at(rick_api, webhook, happen)
    rick_api.patch(path, json={"active": False})
    refused = rick_api.post(f"{path}/parked/release")
    assert (refused.status_code, "is off" in message(refused)) == (409, True)
    assert bob_api.post(f"{path}/parked/discard").status_code == 404
