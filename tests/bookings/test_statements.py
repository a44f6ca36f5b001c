"""How many statements what visitors do sends to the database; on PostgreSQL each is a wait for the wire."""

import pytest
from flask.testing import FlaskClient

from calapp.accounts.models import User
from calapp.event_types.models import EventType
from calapp.webhooks.models import Webhook
from tests.conftest import on_both_databases

pytestmark = on_both_databases

FORM = {"start": "2027-01-05T10:00:00Z", "name": "Ada Byron", "email": "ada@example.com"}
MONTH = "start=2027-01-04&end=2027-02-04"


@pytest.fixture
def webhooks(rick: User, quick_chat: EventType, saved) -> None:
    urls = (f"https://hooks.example.com/{number}" for number in range(20))
    saved(*(Webhook(user_id=rick.id, subscriber_url=url, triggers=["BOOKING_CREATED"]) for url in urls))


def test_the_booker_asks_little(client: FlaskClient, quick_chat: EventType, statements: list[str]) -> None:
    assert client.get("/rick/quick-chat?tz=Asia/Tokyo").status_code == 200
    assert len(statements) <= 5


def test_a_month_of_free_times_asks_little(
    client: FlaskClient, quick_chat: EventType, statements: list[str]
) -> None:
    address = f"/v2/slots?username=rick&eventTypeSlug={quick_chat.slug}&{MONTH}"
    statements.clear()
    assert client.get(address).status_code == 200
    assert len(statements) <= 6


@pytest.mark.usefixtures("webhooks")
def test_a_booking_with_twenty_webhooks_asks_little(client: FlaskClient, statements: list[str]) -> None:
    assert client.post("/rick/quick-chat", data=FORM | {"time_zone": "Asia/Tokyo"}).status_code == 303
    assert len(statements) <= 20
