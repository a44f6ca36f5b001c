"""A receiver on loopback, a webhook that points to it, and the forms of the box."""

from collections.abc import Callable, Iterator

import pytest

from calapp.accounts.models import User
from calapp.webhooks.models import Webhook
from tests.receiver import Receiver

HTMX = {"HX-Request": "true"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def webhook(rick: User, receiver: Receiver, saved: Callable[..., None]) -> Webhook:
    """Rick's webhook, with a secret and a header of his own."""
    webhook = Webhook(
        user_id=rick.id,
        subscriber_url=receiver.url(),
        triggers=["BOOKING_CREATED"],
        secret=SECRET,
        headers=[["Authorization", "Bearer hush-hush"]],
    )
    saved(webhook)
    return webhook


def filled(url: str, **more: object) -> dict[str, object]:
    """Return the fields that a browser sends for a new webhook."""
    return {
        "subscriber_url": url,
        "triggers": ["BOOKING_CREATED", "BOOKING_CANCELLED"],
        "active": ["0", "1"],
        "secret": "",
        "event_type_id": "",
        "payload": "default",
        "payload_template": "",
        "action": "save",
        **more,
    }
