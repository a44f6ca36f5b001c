"""Ping: a sample booking at once, saved or not."""

import json

from flask.testing import FlaskClient
from standardwebhooks import Webhook as Verifier

from calapp.webhooks.models import Webhook
from tests.integrations.conftest import HTMX, SECRET, filled
from tests.receiver import Receiver, answer, sending

PING = "/integrations/webhooks/ping"


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
    assert request.headers["authorization"] == "Bearer hush"
    Verifier(SECRET).verify(request.body, request.headers)


def test_a_ping_from_the_list_uses_the_saved_webhook(
    rick_client: FlaskClient, receiver: Receiver, webhook: Webhook
) -> None:
    page = rick_client.post(f"/integrations/webhooks/{webhook.id}/ping")
    assert "Responded 200" in page.text
    assert receiver.requests[0].headers["authorization"] == "Bearer hush"


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
