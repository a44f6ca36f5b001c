"""What Cal.com's API knows and this one does not do: refused by name, unless it asks for nothing."""

from collections.abc import Callable

import pytest

from calapp.accounts.models import User
from calapp.event_types.models import EventType, LocationKind
from tests.api.conftest import Client, details
from tests.api.test_bookings import ADA, TEN, booked, wish

pytestmark = pytest.mark.usefixtures("monday")

TALK = {"title": "Talk", "slug": "talk", "lengthInMinutes": 30}
TUESDAY = "start=2027-01-05&end=2027-01-05"


def refused(answer: object) -> list[str]:
    error = answer.get_json()["error"]
    assert (answer.status_code, error["code"]) == (400, "not_supported"), answer.text
    return list(error["details"])


EVENT_TYPE = [
    ({"seats": {"seatsPerTimeSlot": 3}}, "seats"),
    ({"recurrence": {"interval": 1, "occurrences": 4, "frequency": "weekly"}}, "recurrence"),
    ({"metadata": {"a": "b"}}, "metadata"),
    ({"customName": "{Scheduler}"}, "customName"),
    ({"offsetStart": 5}, "offsetStart"),
    ({"onlyShowFirstAvailableSlot": True}, "onlyShowFirstAvailableSlot"),
    ({"bookingLimitsDuration": {"day": 60}}, "bookingLimitsDuration"),
    ({"bookingLimitsCount": {"day": 1, "week": 3}}, "bookingLimitsCount.week"),
    ({"requiresBookerEmailVerification": True}, "requiresBookerEmailVerification"),
    ({"bookerLayouts": {"defaultLayout": "week", "enabledLayouts": ["week"]}}, "bookerLayouts"),
    ({"color": {"lightThemeHex": "#fff", "darkThemeHex": "#000"}}, "color"),
    ({"bookingWindow": {"value": 30, "rolling": True}}, "bookingWindow.rolling"),
    ({"bookingWindow": {"disabled": True}}, "bookingWindow.disabled"),
    (
        {"confirmationPolicy": {"type": "always", "blockUnconfirmedBookingsInBooker": False}},
        "confirmationPolicy.blockUnconfirmedBookingsInBooker",
    ),
    (
        {"locations": [{"type": "address", "address": "Here", "public": False}]},
        "locations.0.public",
    ),
    ({"hideOrganizerEmail": True}, "hideOrganizerEmail"),
    ({"disableCancelling": {"disabled": True}}, "disableCancelling"),
    ({"interfaceLanguage": "de"}, "interfaceLanguage"),
]


@pytest.mark.parametrize(("more", "field"), EVENT_TYPE, ids=[field for _, field in EVENT_TYPE])
def test_what_is_not_done_for_an_event_type_is_refused_by_name(
    rick_api: Client, more: dict[str, object], field: str
) -> None:
    assert refused(rick_api.post("/v2/event-types", TALK | more)) == [field]


def test_a_change_is_refused_by_name_too(rick_api: Client, quick_chat: EventType) -> None:
    path = f"/v2/event-types/{quick_chat.id}"
    assert refused(rick_api.patch(path, {"seats": {"seatsPerTimeSlot": 3}})) == ["seats"]


def test_what_asks_for_nothing_is_accepted(rick_api: Client) -> None:
    nothing = {
        "seats": {"disabled": True},
        "recurrence": None,
        "metadata": {},
        "disableGuests": False,
        "offsetStart": 0,
        "customName": "{Event type title} between {Organiser} and {Scheduler}",
        "bookerLayouts": {"defaultLayout": "month", "enabledLayouts": ["month"]},
        "confirmationPolicy": {"type": "always", "blockUnconfirmedBookingsInBooker": True},
        "bookingWindow": {"type": "calendarDays", "value": 30, "rolling": False},
        "locations": [{"type": "address", "address": "Here", "public": True}],
        "bookingFields": [{"type": "text", "label": "Why?", "placeholder": "", "hidden": False}],
        "disableCancelling": {"disabled": False},
        "interfaceLanguage": "",
    }
    assert rick_api.post("/v2/event-types", TALK | nothing).status_code == 201


BOOKING = [
    ({"recurrenceCount": 3}, "recurrenceCount"),
    ({"allowConflicts": True}, "allowConflicts"),
    ({"allowBookingOutOfBounds": True}, "allowBookingOutOfBounds"),
    ({"instant": True}, "instant"),
    ({"meetingUrl": "https://meet.example/x"}, "meetingUrl"),
    ({"attendee": ADA | {"language": "de"}}, "attendee.language"),
    ({"bookingFieldsResponses": {"colour": "red"}}, "bookingFieldsResponses.colour"),
    ({"bookingFieldsResponses": {"name": "Eve"}}, "bookingFieldsResponses.name"),
]


@pytest.mark.parametrize(("more", "field"), BOOKING)
def test_what_is_not_done_for_a_booking_is_refused_by_name(
    anyone: Client, quick_chat: EventType, more: dict[str, object], field: str
) -> None:
    assert refused(anyone.post("/v2/bookings", wish(quick_chat, **more))) == [field]


def test_a_booking_may_say_what_is_so_anyway(
    anyone: Client, quick_chat: EventType, change: Callable[..., None]
) -> None:
    change(quick_chat, location_kind=LocationKind.LINK, location="https://meet.example/rick")
    same = {
        "location": {"type": "link"},
        "recurrenceCount": 1,
        "allowConflicts": False,
        "lengthInMinutes": 15.0,
        "attendee": ADA | {"language": "en-GB"},
        "bookingFieldsResponses": {"name": "Ada Byron", "email": "ada@example.com", "title": ""},
    }
    assert booked(anyone, quick_chat, **same)["location"] == "https://meet.example/rick"


@pytest.mark.parametrize("field", ["usernames=rick,bob", "teamSlug=x", "organizationSlug=x"])
def test_free_times_of_teams_are_refused_by_name(anyone: Client, quick_chat: EventType, field: str) -> None:
    answer = anyone.get(f"/v2/slots?eventTypeId={quick_chat.id}&{TUESDAY}&{field}")
    assert refused(answer) == [field.partition("=")[0]]


def test_bookings_of_teams_are_refused_by_name(rick_api: Client) -> None:
    assert refused(rick_api.get("/v2/bookings?teamId=3")) == ["teamId"]
    assert refused(rick_api.get("/v2/event-types?usernames=rick,bob")) == ["usernames"]


def test_an_absent_host_is_refused_by_name(rick_api: Client, quick_chat: EventType) -> None:
    uid = booked(rick_api, quick_chat)["uid"]
    assert refused(rick_api.post(f"/v2/bookings/{uid}/mark-absent", {"host": True})) == ["host"]
    assert rick_api.post(f"/v2/bookings/{uid}/mark-absent", {"host": False}).status_code == 200


def test_times_have_no_end_unless_it_is_asked_for(anyone: Client, quick_chat: EventType) -> None:
    days = anyone.data(f"/v2/slots?eventTypeId={quick_chat.id}&{TUESDAY}")
    assert set(days["2027-01-05"][0]) == {"start"}


def test_event_types_of_a_host_are_listed_without_a_key(
    anyone: Client, rick: User, quick_chat: EventType, change: Callable[..., None]
) -> None:
    change(quick_chat, location_kind=LocationKind.LINK, location="https://meet.example/rick")
    (found,) = anyone.data("/v2/event-types?username=Rick")
    assert (found["slug"], found["locations"][0]["link"]) == ("quick-chat", None)
    change(quick_chat, hidden=True)
    assert anyone.data("/v2/event-types?username=rick") == []
    assert anyone.data("/v2/event-types?username=rick&eventSlug=quick-chat")[0]["id"] == quick_chat.id
    assert anyone.get("/v2/event-types?username=nobody").status_code == 404
    assert anyone.get("/v2/event-types").status_code == 401


def test_your_event_types_can_be_filtered_and_turned_around(rick_api: Client, quick_chat: EventType) -> None:
    rick_api.post("/v2/event-types", TALK)
    newest = rick_api.data("/v2/event-types?sortCreatedAt=desc")
    assert [one["slug"] for one in newest] == ["talk", "quick-chat"]
    assert [one["slug"] for one in rick_api.data("/v2/event-types?eventSlug=talk")] == ["talk"]


def test_bookings_are_filtered_and_sorted_as_cal_com_does(rick_api: Client, quick_chat: EventType) -> None:
    late = booked(rick_api, quick_chat, start="2027-01-05T12:00:00Z")
    early = booked(rick_api, quick_chat, start=TEN)

    def uids(query: str) -> list[str]:
        return [one["uid"] for one in rick_api.data(f"/v2/bookings?{query}")]

    assert uids(f"bookingUid={late['uid']}") == [late["uid"]]
    assert uids(f"eventTypeIds={quick_chat.id},999") == [early["uid"], late["uid"]]
    assert uids("eventTypeIds=999") == []
    assert uids("status[]=past&status[]=cancelled") == []
    assert uids("sortEnd=desc") == [late["uid"], early["uid"]]
    assert uids("sortUpdatedAt=asc&afterUpdatedAt=2027-01-04")[0] == late["uid"]
    assert uids("afterCreatedAt=2027-01-05") == uids("beforeCreatedAt=2027-01-03") == []


SENTENCES = [
    ("2027-01-05T05:00:00Z", "outside", "User either already has booking at this time or is not available"),
    ("2026-01-05T10:00:00Z", "passed", "Attempting to book a meeting in the past."),
    ("2027-01-04T07:15:00Z", "too soon", "it's too soon"),
    ("2027-11-02T10:00:00Z", "too far", "too far in the future"),
]


@pytest.mark.parametrize(("start", "ours", "theirs"), SENTENCES)
def test_v12_why_a_time_cannot_be_booked_is_said(
    anyone: Client, quick_chat: EventType, start: str, ours: str, theirs: str
) -> None:
    answer = anyone.post("/v2/bookings", wish(quick_chat, start=start))
    assert answer.status_code == 409
    assert ours in answer.get_json()["error"]["message"]
    assert theirs in answer.get_json()["error"]["message"]


def test_an_error_says_when_and_where(anyone: Client, quick_chat: EventType) -> None:
    booked(anyone, quick_chat)
    answer = anyone.post("/v2/bookings", wish(quick_chat))
    body = answer.get_json()
    assert (body["timestamp"], body["path"]) == ("2027-01-04T07:00:00.000Z", "/v2/bookings")
    text = "User either already has booking at this time or is not available"
    assert (body["error"]["code"], text in body["error"]["message"]) == ("slot_taken", True)
    assert details(answer) == {}
