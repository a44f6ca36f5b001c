"""Event types by the API."""

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from calapp.event_types.models import EventType
from tests.api import contract
from tests.api.conftest import Client, details, message

WHOLE = {
    "title": "Long talk",
    "slug": "long-talk",
    "lengthInMinutes": 60,
    "lengthInMinutesOptions": [15, 30, 60],
    "description": "As long as it takes.",
    "slotInterval": 30,
    "beforeEventBuffer": 5,
    "afterEventBuffer": 10,
    "minimumBookingNotice": 60,
    "bookingWindow": {"type": "calendarDays", "value": 30},
    "bookingLimitsCount": {"day": 3},
    "confirmationPolicy": {"type": "always"},
    "hidden": True,
    "successRedirectUrl": "https://bank.example/thanks",
    "reminders": [1440, 60, 10],
    "locations": [{"type": "link", "link": "https://meet.example/rick"}],
    "bookingFields": [
        {"type": "select", "label": "Branch", "slug": "branch", "required": True, "options": ["A", "B"]},
        {"type": "boolean", "label": "Agree?", "slug": "agree", "required": False, "options": []},
        {"type": "checkbox", "label": "Days?", "slug": "days", "required": False, "options": ["Mo", "Tu"]},
        {"type": "phone", "label": "Mobile?", "slug": "mobile", "required": False, "options": []},
    ],
}
SMALL = {"title": "Talk", "slug": "talk", "lengthInMinutes": 30}


def made(client: Client, **more: object) -> dict[str, object]:
    answer = client.post("/v2/event-types", SMALL | more)
    assert answer.status_code == 201, answer.text
    return answer.get_json()["data"]


def test_all_that_is_said_of_an_event_type_comes_back(rick_api: Client) -> None:
    event_type = made(rick_api, **WHOLE)
    location = {"type": "link", "link": "https://meet.example/rick", "address": None, "phone": None}
    asked = [field | {"hidden": False, "isDefault": False} for field in WHOLE["bookingFields"]]
    whole = WHOLE | {"locations": [location], "bookingFields": asked}
    assert {name: event_type[name] for name in WHOLE} == whole
    assert event_type["bookingUrl"] == "http://127.0.0.1:5000/rick/long-talk"
    assert rick_api.data(f"/v2/event-types/{event_type['id']}") == event_type


def test_what_is_not_said_has_sensible_values(rick_api: Client) -> None:
    event_type = made(rick_api)
    assert event_type["minimumBookingNotice"] == 120
    assert event_type["bookingWindow"] == {"type": "calendarDays", "value": 60}
    assert (event_type["confirmationPolicy"], event_type["bookingLimitsCount"]) == (None, None)
    assert (event_type["locations"], event_type["bookingFields"], event_type["hidden"]) == ([], [], False)


def test_event_types_are_listed_in_their_order(rick_api: Client, quick_chat: EventType) -> None:
    made(rick_api)
    assert [one["slug"] for one in rick_api.data("/v2/event-types")] == ["quick-chat", "talk"]


def test_what_is_left_out_of_a_change_stays(rick_api: Client) -> None:
    event_type = made(rick_api, **WHOLE)
    changed = rick_api.patch(f"/v2/event-types/{event_type['id']}", {"title": "Longer"}).get_json()["data"]
    assert changed == event_type | {"title": "Longer"}


def test_rules_can_be_taken_back(rick_api: Client) -> None:
    event_type = made(rick_api, **WHOLE)
    change = {
        "confirmationPolicy": {"type": "always", "disabled": True},
        "bookingLimitsCount": {"disabled": True},
        "slotInterval": None,
        "successRedirectUrl": None,
        "locations": [],
        "bookingFields": [],
    }
    changed = rick_api.patch(f"/v2/event-types/{event_type['id']}", change).get_json()["data"]
    assert (changed["confirmationPolicy"], changed["bookingLimitsCount"]) == (None, None)
    assert (changed["slotInterval"], changed["successRedirectUrl"]) == (None, None)
    assert (changed["locations"], changed["bookingFields"]) == ([], [])


def test_a_deleted_event_type_is_gone_and_frees_its_slug(rick_api: Client) -> None:
    event_type = made(rick_api)
    address = f"/v2/event-types/{event_type['id']}"
    assert rick_api.delete(address).get_json()["data"]["slug"] == "talk"
    assert (rick_api.get(address).status_code, rick_api.delete(address).status_code) == (404, 404)
    assert made(rick_api)["id"] != event_type["id"]


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_stranger_finds_no_event_type(
    bob_api: Client, quick_chat: EventType, session: Session, method: str
) -> None:
    more = {"json": {"title": "Mine"}} if method == "PATCH" else {}
    assert bob_api.send(method, f"/v2/event-types/{quick_chat.id}", **more).status_code == 404
    session.refresh(quick_chat)
    assert (quick_chat.title, quick_chat.deleted_at) == ("Quick chat", None)


def test_a_slug_stands_once(rick_api: Client, quick_chat: EventType) -> None:
    answer = rick_api.post("/v2/event-types", SMALL | {"slug": "quick-chat"})
    assert (answer.status_code, list(details(answer))) == (409, ["slug"])


WRONG = [
    ({"title": None}, "title"),
    ({"title": " "}, "title"),
    ({"title": "x" * 101}, "title"),
    ({"slug": "a/b"}, "slug"),
    ({"lengthInMinutes": "30"}, "lengthInMinutes"),
    ({"lengthInMinutes": 7}, "lengthInMinutes"),
    ({"lengthInMinutes": -30}, "lengthInMinutes"),
    ({"lengthInMinutes": 10**30}, "lengthInMinutes"),
    ({"slotInterval": 3}, "slotInterval"),
    ({"beforeEventBuffer": 4}, "beforeEventBuffer"),
    ({"minimumBookingNotice": -1}, "minimumBookingNotice"),
    ({"bookingWindow": {"value": 9999}}, "bookingWindow.value"),
    ({"bookingWindow": {"type": "range", "value": 9}}, "bookingWindow.type"),
    ({"bookingLimitsCount": {"day": 0}}, "bookingLimitsCount.day"),
    ({"successRedirectUrl": "javascript:alert(1)"}, "successRedirectUrl"),
    ({"locations": [{"type": "link", "link": "meet"}]}, "locations"),
    ({"locations": [{"type": "integration"}]}, "locations.0.type"),
    ({"locations": [{"type": "phone"}, {"type": "phone"}]}, "locations"),
    ({"bookingFields": [{"type": "text", "label": ""}]}, "bookingFields.0"),
    ({"bookingFields": [{"type": "select", "label": "Which?"}]}, "bookingFields.0"),
    ({"bookingFields": [{"label": str(number)} for number in range(21)]}, "bookingFields"),
]


@pytest.mark.parametrize(("wrong", "field"), WRONG)
def test_what_is_wrong_is_named(rick_api: Client, wrong: dict[str, object], field: str) -> None:
    answer = rick_api.post("/v2/event-types", SMALL | wrong)
    assert (answer.status_code, list(details(answer))) == (400, [field])
    assert message(answer).startswith(f"{field}: ")
    assert rick_api.data("/v2/event-types") == []


def test_a_whole_number_may_be_written_with_a_point(rick_api: Client) -> None:
    event_type = made(rick_api, lengthInMinutes=20.0, bookingWindow={"value": 30.0})
    assert (event_type["lengthInMinutes"], event_type["bookingWindow"]["value"]) == (20, 30)
    answer = rick_api.post("/v2/event-types", SMALL | {"lengthInMinutes": 20.5})
    assert (answer.status_code, list(details(answer))) == (400, ["lengthInMinutes"])


def test_the_document_has_the_limits_that_are_checked(app: Flask) -> None:
    properties = contract.of_app(app)["components"]["schemas"]["EventTypeBody"]["properties"]
    length = properties["lengthInMinutes"]
    assert (length["minimum"], length["maximum"], length["multipleOf"]) == (5, 1440, 5)
    assert (properties["title"]["minLength"], properties["title"]["maxLength"]) == (1, 100)
    assert properties["bookingFields"]["maxItems"] == 22  # notes and guests count beside twenty questions


def test_twenty_questions_may_be_asked_beside_notes_and_guests(rick_api: Client) -> None:
    hidden = [{"slug": "notes", "hidden": True}, {"slug": "guests", "hidden": True}]
    made(rick_api, bookingFields=[{"label": f"Question {number}"} for number in range(20)] + hidden)
    questions = [{"label": f"Question {number}"} for number in range(21)]
    answer = rick_api.post("/v2/event-types", SMALL | {"slug": "more", "bookingFields": questions})
    assert (answer.status_code, list(details(answer))) == (400, ["bookingFields"])


def test_the_lengths_to_choose_from_include_the_usual_one(rick_api: Client) -> None:
    answer = rick_api.post("/v2/event-types", SMALL | {"lengthInMinutesOptions": [15, 60]})
    assert (answer.status_code, list(details(answer))) == (400, ["lengthInMinutesOptions"])
    event_type = made(rick_api, lengthInMinutesOptions=[60, 30, 30])
    assert event_type["lengthInMinutesOptions"] == [30, 60]
    answer = rick_api.patch(f"/v2/event-types/{event_type['id']}", {"lengthInMinutes": 45})
    assert (answer.status_code, list(details(answer))) == (400, ["lengthInMinutesOptions"])
    assert made(rick_api, slug="one", lengthInMinutesOptions=[30])["lengthInMinutesOptions"] == []


def test_notes_and_guests_can_be_left_out_in_cal_coms_words(rick_api: Client) -> None:
    fields = [{"slug": "notes", "hidden": True}, {"type": "multiemail", "slug": "guests", "hidden": True}]
    event_type = made(rick_api, bookingFields=fields)
    shown = [(one["slug"], one["hidden"], one["isDefault"]) for one in event_type["bookingFields"]]
    assert shown == [("notes", True, True), ("guests", True, True)]
    assert event_type["disableGuests"] is True
    path = f"/v2/event-types/{event_type['id']}"
    again = rick_api.patch(path, {"bookingFields": event_type["bookingFields"]}).get_json()["data"]
    assert again == event_type
    changed = rick_api.patch(path, {"disableGuests": False}).get_json()["data"]
    assert [one["slug"] for one in changed["bookingFields"]] == ["notes"]
    answer = rick_api.patch(path, {"bookingFields": [{"label": "Age?", "slug": "age", "hidden": True}]})
    assert (answer.status_code, "Only notes and guests" in message(answer)) == (400, True)
