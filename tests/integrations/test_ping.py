"""Ping: a sample booking at once, saved or not."""

import json
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from standardwebhooks import Webhook as Verifier

from calapp.accounts.models import User
from calapp.accounts.service import lock_user
from calapp.db import transaction
from calapp.deliveries import outbox
from calapp.deliveries.models import Event
from calapp.event_types.models import EventType
from calapp.webhooks.models import Webhook
from tests.api.conftest import Client, rick_api, with_key
from tests.integrations.conftest import HTMX, SECRET, filled
from tests.receiver import Receiver, answer, sending

PING = "/integrations/webhooks/ping"

__all__ = ["rick_api", "with_key"]  # fixtures


def test_a_ping_before_saving_carries_a_full_sample_booking(
    rick_client: FlaskClient, receiver: Receiver
) -> None:
    page = rick_client.post(PING, data=filled(receiver.url(), secret=SECRET), headers=HTMX)
    assert "Responded 200 in" in page.text
    (request,) = receiver.requests
    body = json.loads(request.body)
    assert body["triggerEvent"] == "PING"
    assert body["payload"]["metadata"] == {"user_id": "123"}
    assert body["payload"]["organizer"]["username"] == "rick"
    Verifier(SECRET).verify(request.body, request.headers)


def test_a_ping_uses_what_is_saved_where_fields_are_kept(
    rick_client: FlaskClient, receiver: Receiver, webhook: Webhook
) -> None:
    kept = {"header_name": ["Authorization"], "header_value": [""], "webhook_id": webhook.id}
    rick_client.post(PING, data=filled(receiver.url(), **kept))
    (request,) = receiver.requests
    assert request.headers["authorization"] == "Bearer hush-hush"
    Verifier(SECRET).verify(request.body, request.headers)


def test_a_ping_from_the_list_uses_the_saved_webhook(
    rick_client: FlaskClient, receiver: Receiver, webhook: Webhook
) -> None:
    page = rick_client.post(f"/integrations/webhooks/{webhook.id}/ping")
    assert "Responded 200" in page.text
    assert receiver.requests[0].headers["authorization"] == "Bearer hush-hush"


def test_a_ping_sends_the_payload_of_ones_own(rick_client: FlaskClient, receiver: Receiver) -> None:
    given = filled(receiver.url(), payload="custom", payload_template='{"u": "{{metadata.user_id}}"}')
    rick_client.post(PING, data=given)
    assert receiver.requests[0].body == b'{"u": "123"}'


def test_a_refused_ping_says_what_the_receiver_said(rick_client: FlaskClient) -> None:
    with Receiver(sending(answer("401 Unauthorized", b"<b>who are you</b>"))) as receiver:
        page = rick_client.post(PING, data=filled(receiver.url()))
    assert "Responded 401" in page.text
    assert "Does it need a custom header" in page.text
    assert "&lt;b&gt;who are you" in page.text


def test_a_ping_to_a_private_address_never_leaves(rick_client: FlaskClient) -> None:
    page = rick_client.post(PING, data=filled("http://169.254.169.254/latest"), headers=HTMX)
    assert page.status_code == 422
    assert "link-local" in page.text


def test_a_ping_needs_no_trigger(rick_client: FlaskClient, receiver: Receiver) -> None:
    rick_client.post(PING, data={"subscriber_url": receiver.url()})
    assert len(receiver.requests) == 1


def test_a_strangers_webhook_lends_no_secret(bob_client: FlaskClient, webhook: Webhook) -> None:
    given = filled(webhook.subscriber_url, webhook_id=webhook.id)
    assert bob_client.post(PING, data=given).status_code == 404


@pytest.fixture
def last(rick: User, quick_chat: EventType, happen: Callable[..., Event]) -> Event:
    """The last event of Rick's bookings; one about a webhook comes after it."""
    event = happen("real", title="Quick chat between Rick and Bob")
    happen("about", trigger="DAILY_SUMMARY")
    return event


@pytest.fixture
def happen(rick: User) -> Callable[..., Event]:
    """Return a function that records an event of Rick's."""

    def record(chain: str, trigger: str = "BOOKING_CREATED", **payload: object) -> Event:
        with transaction() as session:
            return outbox.record(
                session,
                user=lock_user(session, rick.id),
                trigger=trigger,
                payload={"uid": chain, "metadata": {"user_id": "real <b>"}, **payload},
                chain=chain,
                sequence=1,
                subject=chain,
            )

    return record


def test_a_ping_can_carry_the_last_booking(
    rick_client: FlaskClient, receiver: Receiver, webhook: Webhook, last: Event
) -> None:
    offered = rick_client.post(f"/integrations/webhooks/{webhook.id}/ping").text
    assert "Send your last booking" in offered
    sent = rick_client.post(f"/integrations/webhooks/{webhook.id}/ping", data={"sample": "last_booking"}).text
    assert "Quick chat between Rick and Bob" in sent
    given = filled(receiver.url(), sample="last_booking")
    assert "Quick chat between Rick and Bob" in rick_client.post(PING, data=given).text
    bodies = [json.loads(request.body) for request in receiver.requests[1:]]
    assert [body["triggerEvent"] for body in bodies] == ["PING"] * 2
    assert [body["payload"]["metadata"] for body in bodies] == [{"user_id": "real <b>"}] * 2
    assert len({last.uid, *(body["id"] for body in bodies)}) == 3


def test_without_a_booking_none_is_offered_and_asking_for_it_is_refused(
    rick_client: FlaskClient, rick_api: Client, receiver: Receiver, webhook: Webhook
) -> None:
    page = rick_client.post(f"/integrations/webhooks/{webhook.id}/ping").text
    assert "Send your last booking" not in page
    refused = rick_api.post(f"/v2/webhooks/{webhook.uid}/ping?sample=last_booking")
    assert (refused.status_code, "no booking yet" in refused.text) == (409, True)
    given = filled(receiver.url(), sample="last_booking", payload_template="kept")
    typed = rick_client.post(PING, data=given)
    assert (typed.status_code, "no booking yet" in typed.text, "kept" in typed.text) == (409, True, True)
    from_list = rick_client.post(
        f"/integrations/webhooks/{webhook.id}/ping", data={"sample": "last_booking"}, headers=HTMX
    )
    assert from_list.status_code == 409
    assert len(receiver.requests) == 1


def test_the_api_pings_with_the_last_booking(
    rick_api: Client, receiver: Receiver, webhook: Webhook, last: Event
) -> None:
    assert rick_api.post(f"/v2/webhooks/{webhook.uid}/ping?sample=last_booking").status_code == 200
    assert json.loads(receiver.requests[0].body)["payload"]["uid"] == "real"
    assert rick_api.post(f"/v2/webhooks/{webhook.uid}/ping?sample=other").status_code == 400


def test_a_template_is_shown_with_the_sample_and_the_last_booking(
    rick_client: FlaskClient, last: Event
) -> None:
    given = {"payload_template": '{"user": "{{metadata.user_id}}"}'}
    shown = rick_client.post("/integrations/webhooks/preview", data=given, headers=HTMX).text
    assert "&#34;123&#34;" in shown
    assert "real &lt;b&gt;" in shown
