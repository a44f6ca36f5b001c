"""Limits on requests: no way to write an address, and nothing made up, gives a fresh counter."""

import logging

import pytest
from flask.testing import FlaskClient

from calapp.event_types.models import EventType
from tests.bookings.conftest import TUESDAY_TEN
from tests.conftest import on_both_databases

pytestmark = on_both_databases

SPELLINGS = (
    "/rick/quick-chat",
    "/Rick/QUICK-chat",
    "/rick/quick%2Dchat",
    "/%72ick/quick-chat",
    "/rick/quick-chat?a=1",
)
BODY = {
    "start": "2027-01-05T05:00:00Z",
    "attendee": {"name": "A", "email": "a@example.com", "timeZone": "UTC"},
}


def test_k5_other_ways_to_write_an_event_types_address_share_one_counter(
    client: FlaskClient, quick_chat: EventType
) -> None:
    answers = [client.post(SPELLINGS[number % len(SPELLINGS)]).status_code for number in range(21)]
    assert answers == [422] * 20 + [429]


def test_k5_what_does_not_exist_is_counted_by_the_address_alone(
    client: FlaskClient, quick_chat: EventType, caplog: pytest.LogCaptureFixture
) -> None:
    answers = [client.post(f"/nobody{number}/chat{number}") for number in range(22)]
    assert [answer.status_code for answer in answers] == [404] * 20 + [429] * 2
    assert "One moment" in answers[20].text
    told = [one for one in caplog.records if one.getMessage() == "limit reached"]
    assert [(one.levelno, one.said["limit"]) for one in told] == [
        (logging.WARNING, "requests to bookings.create")
    ]
    assert not [one for one in caplog.records if one.exc_info]
    assert client.post("/rick/quick-chat").status_code == 422  # which has its own


@pytest.mark.parametrize("act", ["cancel", "reschedule"])
@pytest.mark.parametrize("start", ["/booking", "/v2/bookings"])
def test_k5_made_up_bookings_are_counted_by_the_address_alone(
    client: FlaskClient, quick_chat, act, start
) -> None:
    body = {"json": {"start": "2027-01-05T05:00:00Z"} if act == "reschedule" else {}} if "v2" in start else {}
    answers = [client.post(f"{start}/made-up-{number}/{act}", **body).status_code for number in range(21)]
    assert answers == [404] * 20 + [429]


def test_k5_a_booking_keeps_its_counter_when_it_gets_a_new_uid(client: FlaskClient, book, quick_chat) -> None:
    first, second = book(TUESDAY_TEN), book(TUESDAY_TEN.replace(hour=12))
    uids = [first.uid, second.uid] * 11
    answers = [client.post(f"/booking/{uid}/reschedule").status_code for uid in uids]
    assert answers == [422] * 20 + [429] * 2


@pytest.mark.parametrize(
    "named",
    [
        lambda number: {"eventTypeId": 10_000 + number},
        lambda number: {"eventTypeId": 2**31 + number},
        lambda number: {"username": f"nobody{number}", "eventTypeSlug": "quick-chat"},
        lambda number: {"username": "rick", "eventTypeSlug": f"x\0{number}"},
        lambda number: {"username": {"a": number}, "eventTypeSlug": [number]},
    ],
)
def test_k5_no_made_up_event_type_renews_the_apis_counter(client: FlaskClient, quick_chat, named) -> None:
    answers = [client.post("/v2/bookings", json=BODY | named(number)).status_code for number in range(21)]
    assert 429 not in answers[:20]
    assert answers[20] == 429


def test_k5_id_and_name_of_an_event_type_share_the_apis_counter(client: FlaskClient, quick_chat) -> None:
    names = ({"eventTypeId": quick_chat.id}, {"username": "Rick", "eventTypeSlug": "Quick-Chat"})
    answers = [
        client.post(f"/v2/bookings{'/' * (number % 2)}", json=BODY | names[number % 2]).status_code
        for number in range(21)
    ]
    assert answers == [409] * 20 + [429]
