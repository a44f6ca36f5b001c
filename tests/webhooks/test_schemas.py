"""One schema: what the box, the API and the table say about a webhook is the same."""

from flask.testing import FlaskClient

from calapp.webhooks.models import Webhook
from calapp.webhooks.schemas import SavedWebhook, WebhookBody, WebhookForm, WebhookPatch
from calapp.webhooks.service import BESIDE
from tests.integrations.conftest import HTMX, filled

NEW = "/integrations/webhooks/new"


def test_what_is_simply_saved_is_a_column() -> None:
    for schema in (WebhookBody, WebhookPatch, WebhookForm):
        assert set(schema.model_fields) - BESIDE <= set(Webhook.__mapper__.column_attrs.keys())


def test_what_can_be_set_is_shown() -> None:
    assert set(WebhookBody.model_fields) <= set(SavedWebhook.model_fields)


def test_the_box_names_every_bad_field_together(rick_client: FlaskClient) -> None:
    wrong = filled(
        "ftp://example.com",
        triggers=["BOOKING_MOVED"],
        secret="short",
        payload="custom",
        payload_template='{"a": }',
        header_name=["Host"],
        header_value=["x"],
        event_type_id="none of yours",
    )
    page = rick_client.post(NEW, data=wrong, headers=HTMX)
    assert page.status_code == 422
    for words in (
        "begins with https:// or http://",
        "Unknown trigger: BOOKING_MOVED.",
        "Must be at least 16 characters.",
        "This is not valid JSON",
        "The header Host is set by Calapp",
        "There is no such event type.",
    ):
        assert words in page.text
