"""Numbers that no column holds lead nowhere, on either database; pages and lists are the same on both."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from calapp.event_types.models import EventType
from tests.api.conftest import Client
from tests.api.test_bookings import booked, wish
from tests.api.test_webhooks import WEBHOOK
from tests.conftest import on_both_databases

pytestmark = [on_both_databases, pytest.mark.usefixtures("monday")]

NUMBERS = [0, 2**31 - 1, 2**31, 2**63, 10**30]
DAY = "start=2027-01-05&end=2027-01-05"


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_of_nothing_is_not_found(rick_api: Client, quick_chat: EventType, number: int) -> None:
    places = ("event-types/{}", "event-types/{}/webhooks", "deliveries/{}", f"slots?{DAY}&eventTypeId={{}}")
    answers = [rick_api.get(f"/v2/{place.format(number)}").status_code for place in places]
    assert answers[:3] == [404, 404, 404]
    assert answers[3] in {400, 404}
    assert rick_api.post("/v2/bookings", wish(quick_chat, eventTypeId=number)).status_code in {400, 404}
    assert rick_api.get(f"/v2/bookings?eventTypeId={number}").status_code in {200, 400}


def test_pages_survive_such_numbers_too(rick_client: FlaskClient, quick_chat: EventType) -> None:
    for number in NUMBERS[2:]:
        assert rick_client.get(f"/event-types/{number}").status_code == 404
    form = {"webhook_id": str(2**40), "subscriber_url": "http://127.0.0.1:9/"}
    assert rick_client.post("/integrations/webhooks/ping", data=form).status_code == 404


def test_lists_are_the_same_on_both_databases(
    rick_api: Client, anyone: Client, quick_chat: EventType, change: Callable[..., None]
) -> None:
    first = booked(anyone, quick_chat)
    later = booked(anyone, quick_chat, start="2027-01-06T10:00:00Z")
    assert [one["uid"] for one in rick_api.data("/v2/bookings?attendeeName=ADA&sortStart=desc")] == [
        later["uid"],
        first["uid"],
    ]
    assert rick_api.data("/v2/bookings?attendeeEmail=Ada@Example.com&skip=10000000") == []
    for path in ("/v2/webhooks", f"/v2/event-types/{quick_chat.id}/webhooks"):
        webhook = rick_api.post(path, WEBHOOK).get_json()["data"]
        assert rick_api.post(path, WEBHOOK).status_code == 409
        assert rick_api.data(path) == [webhook]
