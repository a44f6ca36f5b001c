"""Free times by the API."""

from collections.abc import Callable

import pytest

from calapp.event_types.models import EventType
from tests.api.conftest import Client, details
from tests.api.test_bookings import TEN, booked

pytestmark = pytest.mark.usefixtures("monday")

TUESDAY = "start=2027-01-05&end=2027-01-05"


def slots(client: Client, event_type: EventType, query: str) -> dict[str, list[dict[str, str]]]:
    return client.data(f"/v2/slots?eventTypeId={event_type.id}&{query}")


def starts(days: dict[str, list[dict[str, str]]]) -> list[str]:
    return [slot["start"] for day in days.values() for slot in day]


def test_free_times_are_listed_by_date(anyone: Client, quick_chat: EventType) -> None:
    days = slots(anyone, quick_chat, TUESDAY)
    assert list(days) == ["2027-01-05"]
    found = starts(days)
    assert (found[0], found[-1], len(found)) == ("2027-01-05T08:00:00.000Z", "2027-01-05T15:45:00.000Z", 32)


def test_free_times_are_told_in_the_zone_that_is_asked_for(anyone: Client, quick_chat: EventType) -> None:
    days = slots(anyone, quick_chat, f"{TUESDAY}&timeZone=Pacific/Auckland")
    assert list(days) == ["2027-01-05", "2027-01-06"]
    assert starts(days)[0] == "2027-01-05T21:00:00.000+13:00"


def test_a_range_has_the_end_too(anyone: Client, quick_chat: EventType) -> None:
    days = slots(anyone, quick_chat, f"{TUESDAY}&format=range")
    assert days["2027-01-05"][0]["end"] == "2027-01-05T08:15:00.000Z"


def test_every_time_that_is_listed_can_be_booked(anyone: Client, quick_chat: EventType) -> None:
    first, *rest = starts(slots(anyone, quick_chat, TUESDAY))
    booked(anyone, quick_chat, start=first)
    assert starts(slots(anyone, quick_chat, TUESDAY)) == rest


def test_a_booking_that_moves_does_not_stand_in_its_own_way(anyone: Client, quick_chat: EventType) -> None:
    booking = booked(anyone, quick_chat)
    free = starts(slots(anyone, quick_chat, f"{TUESDAY}&bookingUidToReschedule={booking['uid']}"))
    assert TEN.replace("Z", ".000Z") in free


def test_an_event_type_is_named_by_its_link_too(anyone: Client, quick_chat: EventType) -> None:
    days = anyone.data(f"/v2/slots?username=rick&eventTypeSlug=quick-chat&{TUESDAY}")
    assert days == slots(anyone, quick_chat, TUESDAY)


def test_times_with_hours_bound_the_list(anyone: Client, quick_chat: EventType) -> None:
    query = "start=2027-01-05T09:00:00Z&end=2027-01-05T10:00:00%2B01:00"
    assert slots(anyone, quick_chat, query) == {}
    query = "start=2027-01-05T09:00:00Z&end=2027-01-05T09:30:00Z"
    assert len(starts(slots(anyone, quick_chat, query))) == 2


WRONG = [
    ("", "eventTypeId"),
    ("username=rick", "eventTypeId"),
    ("eventTypeId=x", "eventTypeId"),
]


@pytest.mark.parametrize(("query", "field"), WRONG)
def test_some_event_type_must_be_named(anyone: Client, query: str, field: str) -> None:
    answer = anyone.get(f"/v2/slots?{TUESDAY}&{query}")
    assert (answer.status_code, list(details(answer))) == (400, [field])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("end=2027-01-05", "start"),
        ("start=2027-01-05&end=2027-05-05", "end"),
        ("start=2027-01-05&end=2027-01-04", "end"),
        ("start=0001-01-01T00:00:00%2B14:00&end=2027-01-04", "start"),
        (f"{TUESDAY}&timeZone=Mars", "timeZone"),
    ],
)
def test_a_range_that_cannot_be_is_refused(
    anyone: Client, quick_chat: EventType, query: str, field: str
) -> None:
    answer = anyone.get(f"/v2/slots?eventTypeId={quick_chat.id}&{query}")
    assert answer.status_code == 400
    assert field in details(answer)


def test_free_times_of_what_is_hidden_need_its_link(
    anyone: Client, rick_api: Client, quick_chat: EventType, change: Callable[..., None]
) -> None:
    change(quick_chat, hidden=True)
    assert anyone.get(f"/v2/slots?eventTypeId={quick_chat.id}&{TUESDAY}").status_code == 404
    assert anyone.get(f"/v2/slots?username=rick&eventTypeSlug=quick-chat&{TUESDAY}").status_code == 200
    assert rick_api.get(f"/v2/slots?eventTypeId={quick_chat.id}&{TUESDAY}").status_code == 200


def test_times_are_listed_for_a_length_that_is_offered(anyone: Client, quick_chat: EventType, change) -> None:
    change(quick_chat, lengths=[15, 60])
    days = slots(anyone, quick_chat, f"{TUESDAY}&duration=60&format=range")
    assert len(starts(days)) == 8
    assert days["2027-01-05"][0]["end"] == "2027-01-05T09:00:00.000Z"
    for wrong in ("45", "x"):
        answer = anyone.get(f"/v2/slots?eventTypeId={quick_chat.id}&{TUESDAY}&duration={wrong}")
        assert (answer.status_code, list(details(answer))) == (400, ["duration"])


def test_a_booking_that_moves_is_looked_for_in_its_own_length(
    anyone: Client, quick_chat: EventType, change
) -> None:
    change(quick_chat, lengths=[15, 60])
    booking = booked(anyone, quick_chat, lengthInMinutes=60)
    assert booking["duration"] == 60
    days = slots(anyone, quick_chat, f"{TUESDAY}&format=range&bookingUidToReschedule={booking['uid']}")
    assert days["2027-01-05"][0]["end"] == "2027-01-05T09:00:00.000Z"
