"""Bookings by the API: with a key and, where the uid is enough, without."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.bookings.models import Booking
from calapp.clock import now
from calapp.deliveries.models import Event
from calapp.event_types.models import EventType
from tests.api.conftest import Client, KeyMaker, details, message

pytestmark = pytest.mark.usefixtures("monday")

TEN = "2027-01-05T10:00:00Z"
ADA = {"name": "Ada Byron", "email": "ada@example.com", "timeZone": "Europe/London", "language": "en"}
CELEBRATED = {"start": "2027-01-05T10:00:00.000Z", "end": "2027-01-05T10:15:00.000Z", "duration": 15}


def wish(event_type: EventType, **more: object) -> dict[str, object]:
    return {"start": TEN, "eventTypeId": event_type.id, "attendee": ADA, **more}


def booked(client: Client, event_type: EventType, **more: object) -> dict[str, object]:
    answer = client.post("/v2/bookings", wish(event_type, **more))
    assert answer.status_code == 201, answer.text
    return answer.get_json()["data"]


@pytest.fixture
def asking(rick: User, saved: Callable[..., None]) -> EventType:
    """Rick's half hour, which he confirms."""
    event_type = EventType(
        user_id=rick.id, title="Half hour", slug="30min", length=30, requires_confirmation=True
    )
    saved(event_type)
    return event_type


@pytest.fixture
def triggers(session: Session) -> Callable[[], list[str]]:
    def read() -> list[str]:
        session.rollback()
        return list(session.scalars(select(Event.trigger).order_by(Event.number)))

    return read


def test_anybody_may_book(anyone: Client, rick: User, quick_chat: EventType) -> None:
    booking = booked(anyone, quick_chat, metadata={"user_id": "123"}, guests=["bob@example.com"])
    assert {name: booking[name] for name in CELEBRATED} == CELEBRATED
    assert (booking["status"], booking["metadata"]) == ("accepted", {"user_id": "123"})
    assert booking["eventType"] == {"id": quick_chat.id, "slug": "quick-chat"}
    assert [one["email"] for one in booking["attendees"]] == ["ada@example.com", "bob@example.com"]
    assert booking["guests"] == ["bob@example.com"]
    assert [host["username"] for host in booking["hosts"]] == ["rick"]


def test_an_event_type_is_named_by_its_link_too(anyone: Client, quick_chat: EventType) -> None:
    body = {"start": TEN, "username": "Rick", "eventTypeSlug": "quick-chat", "attendee": ADA}
    assert anyone.post("/v2/bookings", body).status_code == 201


def test_a_start_may_be_written_in_any_zone(anyone: Client, quick_chat: EventType) -> None:
    booking = booked(anyone, quick_chat, start="2027-01-05T11:00:00.000+01:00")
    assert booking["start"] == CELEBRATED["start"]


def test_a_booking_sends_the_event_of_the_page(
    anyone: Client, quick_chat: EventType, triggers: Callable[[], list[str]]
) -> None:
    booked(anyone, quick_chat)
    assert triggers() == ["BOOKING_CREATED"]


def test_metadata_values_become_text(anyone: Client, quick_chat: EventType) -> None:
    booking = booked(anyone, quick_chat, metadata={"a": 1, "b": True, "c": 1.5, "d": ""})
    assert booking["metadata"] == {"a": "1", "b": "true", "c": "1.5", "d": ""}


SENTENCE = (
    "Metadata must have at most 50 keys, each key up to 40 characters, "
    "and string values up to 500 characters."
)
TOO_MUCH = [
    {f"key{number}": "x" for number in range(60)},
    {"k" * 41: "x"},
    {"k": "x" * 501},
    {"k": {"a": 1}},
    {"k": None},
    {"a b": "x"},
]


@pytest.mark.parametrize("metadata", TOO_MUCH)
def test_metadata_over_the_limits_is_refused(
    anyone: Client, quick_chat: EventType, metadata: dict[str, object], triggers: Callable[[], list[str]]
) -> None:
    answer = anyone.post("/v2/bookings", wish(quick_chat, metadata=metadata))
    assert answer.status_code == 400
    assert details(answer)["metadata"].startswith(SENTENCE)
    assert triggers() == []


def test_fifty_keys_are_taken(anyone: Client, quick_chat: EventType) -> None:
    metadata = {f"key{number}" + "k" * 30: "x" * 500 for number in range(50)}
    assert booked(anyone, quick_chat, metadata=metadata)["metadata"] == metadata


def test_a_taken_time_is_a_conflict(
    anyone: Client, quick_chat: EventType, triggers: Callable[[], list[str]]
) -> None:
    booked(anyone, quick_chat)
    answer = anyone.post("/v2/bookings", wish(quick_chat))
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (409, "slot_taken")
    assert triggers() == ["BOOKING_CREATED"]


@pytest.mark.parametrize("start", ["2027-01-05T05:00:00Z", "2027-01-05T10:00:00.5Z", "2026-01-05T10:00:00Z"])
def test_a_time_that_is_not_offered_is_not_booked(anyone: Client, quick_chat: EventType, start: str) -> None:
    assert anyone.post("/v2/bookings", wish(quick_chat, start=start)).status_code in {400, 409}


def test_a_request_sent_twice_with_its_key_books_once(
    anyone: Client, quick_chat: EventType, triggers: Callable[[], list[str]]
) -> None:
    twice = [
        anyone.post("/v2/bookings", wish(quick_chat), headers={"Idempotency-Key": "abc"}) for _ in range(2)
    ]
    assert [answer.status_code for answer in twice] == [201, 201]
    assert twice[0].get_json() == twice[1].get_json()
    assert triggers() == ["BOOKING_CREATED"]


def test_the_key_of_another_request_opens_nothing(anyone: Client, quick_chat: EventType) -> None:
    headers = {"Idempotency-Key": "abc"}
    anyone.post("/v2/bookings", wish(quick_chat), headers=headers)
    eve = wish(quick_chat, attendee=ADA | {"email": "eve@example.com"})
    assert anyone.post("/v2/bookings", eve, headers=headers).status_code == 409


def test_questions_are_answered_by_their_slugs(
    anyone: Client, quick_chat: EventType, change: Callable[..., None]
) -> None:
    question = {"name": "branch", "label": "Branch", "type": "text", "required": True, "options": []}
    change(quick_chat, questions=[question])
    missing = anyone.post("/v2/bookings", wish(quick_chat))
    assert details(missing) == {"bookingFieldsResponses.branch": "Please answer this question."}
    booking = booked(anyone, quick_chat, bookingFieldsResponses={"branch": 7, "notes": "Hello"})
    assert booking["bookingFieldsResponses"]["branch"] == "7"
    assert booking["description"] == "Hello"


@pytest.mark.parametrize("answer", [{"a": 1}, [["a"], {}], None, 10**30])
def test_an_answer_of_another_type_is_no_fault_of_ours(
    anyone: Client, quick_chat: EventType, change: Callable[..., None], answer: object
) -> None:
    question = {"name": "terms", "label": "Terms", "type": "checkbox", "required": True, "options": []}
    change(quick_chat, questions=[question])
    refused = anyone.post("/v2/bookings", wish(quick_chat, bookingFieldsResponses={"terms": answer}))
    assert details(refused) == {"bookingFieldsResponses.terms": "Please check this box."}


WRONG = [
    ({"start": "tomorrow"}, "start"),
    ({"start": "2027-01-05T10:00:00"}, "start"),
    ({"start": 1}, "start"),
    ({"eventTypeId": None}, "eventTypeId"),
    ({"eventTypeId": "1"}, "eventTypeId"),
    ({"eventTypeId": 10**30}, "eventTypeId"),
    ({"eventTypeId": 2**63}, "eventTypeId"),
    ({"attendee": None}, "attendee"),
    ({"attendee": ADA | {"email": "ada"}}, "attendee.email"),
    ({"attendee": ADA | {"name": " "}}, "attendee.name"),
    ({"attendee": ADA | {"timeZone": "Mars/Base"}}, "attendee.timeZone"),
    ({"attendee": {"name": "Ada", "timeZone": "UTC"}}, "attendee.email"),
    ({"guests": ["x"]}, "guests"),
    ({"guests": [f"g{number}@example.com" for number in range(21)]}, "guests"),
    ({"lengthInMinutes": 60}, "lengthInMinutes"),
    ({"bookingFieldsResponses": {"notes": "x" * 5001}}, "notes"),
]


@pytest.mark.parametrize(("wrong", "field"), WRONG)
def test_what_is_wrong_is_named(
    anyone: Client, quick_chat: EventType, wrong: dict[str, object], field: str
) -> None:
    answer = anyone.post("/v2/bookings", wish(quick_chat) | wrong)
    assert answer.status_code == 400
    assert list(details(answer)) == [field]
    assert message(answer).startswith(f"{field}: ")


def test_what_is_not_offered_is_not_found(
    anyone: Client, bob_api: Client, rick_api: Client, quick_chat: EventType, change: Callable[..., None]
) -> None:
    change(quick_chat, hidden=True)
    assert anyone.post("/v2/bookings", wish(quick_chat)).status_code == 404
    assert bob_api.post("/v2/bookings", wish(quick_chat)).status_code == 404
    assert rick_api.post("/v2/bookings", wish(quick_chat)).status_code == 201


def test_the_uid_is_enough_to_look(anyone: Client, quick_chat: EventType) -> None:
    booking = booked(anyone, quick_chat)
    assert anyone.data(f"/v2/bookings/{booking['uid']}") == booking
    assert anyone.get("/v2/bookings/nothing").status_code == 404
    assert anyone.get("/v2/bookings/1").status_code == 404


def test_nobody_lists_bookings_without_a_key(anyone: Client, bob_api: Client, quick_chat: EventType) -> None:
    booked(anyone, quick_chat)
    assert anyone.get("/v2/bookings").status_code == 401
    assert bob_api.data("/v2/bookings") == []


def test_a_visitor_cancels_with_a_reason(
    anyone: Client, quick_chat: EventType, triggers: Callable[[], list[str]]
) -> None:
    booking = booked(anyone, quick_chat)
    answer = anyone.post(f"/v2/bookings/{booking['uid']}/cancel", {"cancellationReason": "Ill"})
    cancelled = answer.get_json()["data"]
    assert (answer.status_code, cancelled["status"], cancelled["cancellationReason"]) == (
        200,
        "cancelled",
        "Ill",
    )
    assert cancelled["cancelledByEmail"] == "ada@example.com"
    assert triggers() == ["BOOKING_CREATED", "BOOKING_CANCELLED"]


def test_a_second_cancel_is_a_conflict(
    anyone: Client, quick_chat: EventType, triggers: Callable[[], list[str]]
) -> None:
    booking = booked(anyone, quick_chat)
    statuses = [anyone.post(f"/v2/bookings/{booking['uid']}/cancel").status_code for _ in range(2)]
    assert statuses == [200, 409]
    assert triggers() == ["BOOKING_CREATED", "BOOKING_CANCELLED"]


def test_the_host_cancels_as_the_host(rick_api: Client, quick_chat: EventType) -> None:
    booking = booked(rick_api, quick_chat)
    answer = rick_api.post(f"/v2/bookings/{booking['uid']}/cancel", {})
    assert answer.get_json()["data"]["cancelledByEmail"] == "rick@example.com"


def test_a_key_that_may_only_read_acts_as_a_visitor(
    with_key: KeyMaker, rick: User, quick_chat: EventType
) -> None:
    reader = with_key(rick, "read")
    booking = booked(reader, quick_chat)
    answer = reader.post(f"/v2/bookings/{booking['uid']}/cancel")
    assert answer.get_json()["data"]["cancelledByEmail"] == "ada@example.com"


def test_a_wrong_key_does_nothing_although_none_is_needed(anyone: Client, quick_chat: EventType) -> None:
    booking = booked(anyone, quick_chat)
    anyone.key = "cal_wrong"
    assert anyone.post(f"/v2/bookings/{booking['uid']}/cancel").status_code == 401


def test_a_booking_moves_and_both_know_of_each_other(
    anyone: Client, quick_chat: EventType, triggers: Callable[[], list[str]]
) -> None:
    booking = booked(anyone, quick_chat, metadata={"user_id": "123"})
    body = {"start": "2027-01-06T10:00:00Z", "reschedulingReason": "Travel"}
    answer = anyone.post(f"/v2/bookings/{booking['uid']}/reschedule", body)
    moved = answer.get_json()["data"]
    assert (answer.status_code, moved["start"]) == (201, "2027-01-06T10:00:00.000Z")
    assert (moved["rescheduledFromUid"], moved["reschedulingReason"]) == (booking["uid"], "Travel")
    assert moved["metadata"] == {"user_id": "123"}
    former = anyone.data(f"/v2/bookings/{booking['uid']}")
    assert (former["status"], former["rescheduledToUid"]) == ("cancelled", moved["uid"])
    assert triggers() == ["BOOKING_CREATED", "BOOKING_RESCHEDULED"]


def test_an_old_uid_leads_to_the_newest_booking(anyone: Client, quick_chat: EventType) -> None:
    booking = booked(anyone, quick_chat)
    moved = anyone.post(f"/v2/bookings/{booking['uid']}/reschedule", {"start": "2027-01-06T10:00:00Z"})
    cancelled = anyone.post(f"/v2/bookings/{booking['uid']}/cancel")
    assert cancelled.get_json()["data"]["uid"] == moved.get_json()["data"]["uid"]


def test_a_booking_does_not_move_onto_another(anyone: Client, quick_chat: EventType) -> None:
    booking = booked(anyone, quick_chat)
    booked(anyone, quick_chat, start="2027-01-06T10:00:00Z")
    path = f"/v2/bookings/{booking['uid']}/reschedule"
    assert anyone.post(path, {"start": "2027-01-06T10:00:00Z"}).status_code == 409
    assert details(anyone.post(path, {"start": TEN}))["start"].startswith("This is already the booked time")
    assert anyone.data(f"/v2/bookings/{booking['uid']}")["status"] == "accepted"


def test_the_host_confirms_once(
    anyone: Client, rick_api: Client, asking: EventType, triggers: Callable[[], list[str]]
) -> None:
    path = f"/v2/bookings/{booked(anyone, asking)['uid']}/confirm"
    answers = [rick_api.post(path), rick_api.post(path)]
    assert [answer.status_code for answer in answers] == [200, 409]
    assert answers[0].get_json()["data"]["status"] == "accepted"
    assert triggers() == ["BOOKING_REQUESTED", "BOOKING_CREATED"]


def test_the_host_declines_with_a_reason(
    anyone: Client, rick_api: Client, asking: EventType, triggers: Callable[[], list[str]]
) -> None:
    path = f"/v2/bookings/{booked(anyone, asking)['uid']}/decline"
    declined = rick_api.post(path, {"reason": "Away"}).get_json()["data"]
    assert (declined["status"], declined["rejectionReason"]) == ("rejected", "Away")
    assert triggers() == ["BOOKING_REQUESTED", "BOOKING_REJECTED"]


@pytest.mark.parametrize("action", ["confirm", "decline", "mark-absent"])
def test_what_is_the_hosts_to_do_needs_the_hosts_key(
    anyone: Client, bob_api: Client, asking: EventType, action: str
) -> None:
    path = f"/v2/bookings/{booked(anyone, asking)['uid']}/{action}"
    body = {"attendees": [{"email": "ada@example.com", "absent": True}]}
    assert (anyone.post(path, body).status_code, bob_api.post(path, body).status_code) == (401, 404)


def test_somebody_who_did_not_come_is_marked(
    anyone: Client, rick_api: Client, quick_chat: EventType, triggers: Callable[[], list[str]], monday: object
) -> None:
    path = f"/v2/bookings/{booked(anyone, quick_chat)['uid']}/mark-absent"
    body = {"attendees": [{"email": "ADA@example.com", "absent": True}]}
    assert rick_api.post(path, body).status_code == 409
    monday.move_to(now() + timedelta(days=1, hours=4))
    marked = rick_api.post(path, body).get_json()["data"]
    assert [one["absent"] for one in marked["attendees"]] == [True]
    unknown = rick_api.post(path, {"attendees": [{"email": "eve@example.com", "absent": True}]})
    assert list(details(unknown)) == ["attendees"]
    assert triggers() == ["BOOKING_CREATED", "BOOKING_NO_SHOW_UPDATED"]


@pytest.fixture
def several(anyone: Client, rick_api: Client, quick_chat: EventType, asking: EventType) -> dict[str, str]:
    """Bookings of each kind; name → uid."""
    hours = {"soon": 10, "waits": 11, "later": 13, "cancelled": 14}
    uids = {}
    for name, hour in hours.items():
        event_type = asking if name == "waits" else quick_chat
        attendee = ADA | {"email": f"{name}@example.com", "name": name.title()}
        booking = booked(anyone, event_type, start=f"2027-01-05T{hour}:00:00Z", attendee=attendee)
        uids[name] = booking["uid"]
    anyone.post(f"/v2/bookings/{uids['cancelled']}/cancel")
    return uids


FILTERS = [
    ("", ["soon", "waits", "later", "cancelled"]),
    ("status=upcoming", ["soon", "later"]),
    ("status=unconfirmed", ["waits"]),
    ("status=cancelled", ["cancelled"]),
    ("status=past", []),
    ("status=recurring", []),
    ("status=upcoming,unconfirmed", ["soon", "waits", "later"]),
    ("status=upcoming&status=cancelled", ["soon", "later", "cancelled"]),
    ("attendeeEmail=LATER@example.com", ["later"]),
    ("attendeeName=ait", ["waits"]),
    ("afterStart=2027-01-05T11:00:00Z", ["waits", "later", "cancelled"]),
    ("beforeEnd=2027-01-05T11:30:00Z", ["soon", "waits"]),
    ("afterStart=2027-01-06", []),
    ("sortStart=desc", ["cancelled", "later", "waits", "soon"]),
    ("sortCreated=desc&take=1", ["cancelled"]),
    ("take=2&skip=1", ["waits", "later"]),
    ("limit=2&cursor=2", ["later", "cancelled"]),
]


@pytest.mark.parametrize(("query", "names"), FILTERS)
def test_bookings_are_filtered(
    rick_api: Client, several: dict[str, str], query: str, names: list[str]
) -> None:
    found = [booking["uid"] for booking in rick_api.data(f"/v2/bookings?{query}")]
    assert found == [several[name] for name in names]


def test_bookings_are_read_to_their_end_by_the_cursor(rick_api: Client, several: dict[str, str]) -> None:
    first = rick_api.get("/v2/bookings?limit=3").get_json()["pagination"]
    assert (first["totalItems"], first["hasMore"], first["nextCursor"]) == (4, True, "3")
    last = rick_api.get("/v2/bookings?limit=3&cursor=3").get_json()["pagination"]
    assert (last["hasMore"], last["nextCursor"], last["returnedItems"]) == (False, None, 1)


@pytest.mark.parametrize("query", ["status=new", "afterStart=x", "take=1000", "cursor=x", "eventTypeId=x"])
def test_a_filter_that_cannot_be_read_is_refused(rick_api: Client, query: str) -> None:
    answer = rick_api.get(f"/v2/bookings?{query}")
    assert answer.status_code == 400
    assert next(iter(details(answer))).startswith(query.partition("=")[0])


@pytest.mark.parametrize("body", [b"[" * 100_000, b"x" * 300_000, b'{"username": {"a": "\\ud800"}}', b""])
def test_no_body_confuses_the_limits(anyone: Client, caplog: pytest.LogCaptureFixture, body: bytes) -> None:
    answer = anyone.post("/v2/bookings", data=body, content_type="application/json")
    assert answer.status_code in {400, 413}
    assert "rate limit" not in caplog.text.lower()


def test_other_ways_to_write_a_name_share_one_limit(anyone: Client, quick_chat: EventType) -> None:
    body = {"start": "2027-01-05T05:00:00Z", "eventTypeSlug": "quick-chat", "attendee": ADA}
    names = ["rick", "Rick", "RICK"] * 7
    statuses = [anyone.post("/v2/bookings", body | {"username": name}).status_code for name in names]
    assert statuses == [409] * 20 + [429]


def test_bookings_without_a_key_are_limited_as_on_the_page(
    anyone: Client, rick_api: Client, quick_chat: EventType, session: Session
) -> None:
    body = wish(quick_chat, start="2027-01-05T05:00:00Z")
    assert [anyone.post("/v2/bookings", body).status_code for _ in range(21)] == [409] * 20 + [429]
    assert rick_api.post("/v2/bookings", body).status_code == 409
    assert session.scalar(select(Booking.id)) is None


PLACES_OF_NUMBER = [
    {"attendee": ADA | {"phoneNumber": "+49 30 901820"}},
    {"location": {"type": "attendeePhone", "phone": "+49 30 901820"}},
    {"bookingFieldsResponses": {"attendeePhoneNumber": "+49 30 901820"}},
]


@pytest.mark.parametrize("given", PLACES_OF_NUMBER)
def test_v5_the_number_to_call_is_taken_wherever_cal_com_has_it(
    anyone: Client, quick_chat: EventType, change: Callable[..., None], given: dict[str, object]
) -> None:
    change(quick_chat, location_kind="phone", location="")
    booking = booked(anyone, quick_chat, **given)
    assert booking["attendees"][0]["phoneNumber"] == "+4930901820"
    assert booking["bookingFieldsResponses"]["attendeePhoneNumber"] == "+4930901820"
    assert booking["location"] == "+4930901820"


def test_v5_a_meeting_by_phone_needs_a_number(
    anyone: Client, quick_chat: EventType, change: Callable[..., None]
) -> None:
    change(quick_chat, location_kind="phone", location="")
    answer = anyone.post("/v2/bookings", wish(quick_chat))
    assert (answer.status_code, list(details(answer))) == (400, ["attendee.phoneNumber"])
    wrong = {"location": {"type": "attendeePhone", "phone": "12"}}
    answer = anyone.post("/v2/bookings", wish(quick_chat, **wrong))
    assert (answer.status_code, list(details(answer))) == (400, ["location.phone"])


def test_a_place_that_the_event_type_does_not_have_is_refused(anyone: Client, quick_chat: EventType) -> None:
    answer = anyone.post("/v2/bookings", wish(quick_chat, location={"type": "attendeePhone"}))
    assert (answer.status_code, list(details(answer))) == (400, ["location.type"])


def test_notes_and_guests_are_refused_where_they_are_not_asked_for(
    anyone: Client, quick_chat: EventType, change: Callable[..., None]
) -> None:
    change(quick_chat, asks_notes=False, asks_guests=False)
    answer = anyone.post("/v2/bookings", wish(quick_chat, guests=["bob@example.com"]))
    assert (answer.status_code, list(details(answer))) == (400, ["guests"])
    answer = anyone.post("/v2/bookings", wish(quick_chat, bookingFieldsResponses={"notes": "Hi"}))
    assert (answer.status_code, list(details(answer))) == (400, ["notes"])


def test_several_choices_are_a_list(
    anyone: Client, quick_chat: EventType, change: Callable[..., None]
) -> None:
    days = {"name": "days", "label": "Days?", "type": "checkboxes", "required": True, "options": ["Mo", "Tu"]}
    change(quick_chat, questions=[days])
    booking = booked(anyone, quick_chat, bookingFieldsResponses={"days": ["Tu", "Mo"]})
    assert booking["bookingFieldsResponses"]["days"] == ["Mo", "Tu"]
    answer = anyone.post("/v2/bookings", wish(quick_chat, bookingFieldsResponses={"days": ["Su"]}))
    assert (answer.status_code, list(details(answer))) == (400, ["bookingFieldsResponses.days"])
