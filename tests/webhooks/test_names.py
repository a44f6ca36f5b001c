"""The name that a host gives a webhook: saved by box and API, shown wherever the webhook is."""

from collections.abc import Callable

from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.db import transaction
from calapp.deliveries import notices
from calapp.mail import Email
from calapp.webhooks.models import Webhook
from tests.api.conftest import Client, anyone, bob_api, details, rick_api, with_key
from tests.integrations.conftest import HTMX, filled, receiver, webhook

__all__ = ["anyone", "bob_api", "receiver", "rick_api", "webhook", "with_key"]  # fixtures

URL = "http://127.0.0.1:9/hook"
BODY = {"subscriberUrl": URL, "triggers": ["BOOKING_CREATED"]}


def test_the_box_saves_a_name_on_one_line(rick_client: FlaskClient, session: Session) -> None:
    rick_client.post("/integrations/webhooks/new", data=filled(URL, name="  My \t CRM\u202e "))
    assert session.scalars(select(Webhook.name)).one() == "My CRM"
    page = rick_client.get("/integrations").text
    assert f'aria-label="Edit webhook My CRM ({URL})"' in page


def test_the_box_shows_the_name_and_empties_it(
    rick_client: FlaskClient, webhook: Webhook, change: Callable, session: Session
) -> None:
    change(webhook, name="CRM")
    address = f"/integrations/webhooks/{webhook.id}/edit"
    assert 'name="name" type="text" value="CRM"' in rick_client.get(address).text
    rick_client.post(address, data=filled(webhook.subscriber_url, name=" "))
    session.refresh(webhook)
    assert (webhook.name, webhook.label) == (None, webhook.subscriber_url)


def test_a_name_that_is_too_long_is_marked(rick_client: FlaskClient) -> None:
    page = rick_client.post("/integrations/webhooks/new", data=filled(URL, name="n" * 101), headers=HTMX)
    assert page.status_code == 422
    assert 'id="field-name-error"' in page.text


def test_the_api_saves_shows_and_removes_a_name(rick_api: Client) -> None:
    made = rick_api.post("/v2/webhooks", BODY | {"name": "CRM"}).get_json()["data"]
    path = f"/v2/webhooks/{made['id']}"
    assert made["name"] == "CRM"
    assert rick_api.patch(path, {"active": True}).get_json()["data"]["name"] == "CRM"
    assert rick_api.patch(path, {"name": None}).get_json()["data"]["name"] is None


def test_the_api_refuses_a_name_that_is_none(rick_api: Client) -> None:
    for name in (7, ["CRM"], "n" * 101):
        assert "name" in details(rick_api.post("/v2/webhooks", BODY | {"name": name}))


def test_log_and_emails_name_a_webhook(
    rick_client: FlaskClient, webhook: Webhook, change: Callable, session: Session
) -> None:
    change(webhook, name="CRM")
    assert "CRM: http" in rick_client.get(f"/integrations/webhooks/{webhook.id}/deliveries").text
    with transaction() as writing:
        notices.tell(writing, writing.get_one(Webhook, webhook.id), "warning", "It fails.")
    assert f"“CRM”, {webhook.subscriber_url}" in session.scalars(select(Email.body)).one()


def test_a_webhook_is_found_by_its_name(
    rick_client: FlaskClient, webhook: Webhook, change: Callable, saved: Callable
) -> None:
    change(webhook, name="Warehouse")
    saved(
        *(
            Webhook(user_id=webhook.user_id, subscriber_url=f"{URL}/{number}", triggers=["BOOKING_CREATED"])
            for number in range(30)
        )
    )
    page = rick_client.get("/integrations?find=warehouse").text
    assert page.count('id="switch-') == 1
    assert "Warehouse" in page
