"""Schedules by the API, in Cal.com's shape."""

import pytest

from calapp.accounts.models import User
from calapp.availability.service import default_schedule
from calapp.db import transaction
from calapp.event_types.models import EventType
from tests.api.conftest import Client, message

WHOLE = {
    "name": "Evenings",
    "timeZone": "Europe/Rome",
    "isDefault": False,
    "availability": [
        {"days": ["Monday", "Tuesday"], "startTime": "17:00", "endTime": "19:00"},
        {"days": ["Friday"], "startTime": "22:00", "endTime": "02:00"},
    ],
    "overrides": [
        {"date": "2030-05-20", "startTime": "18:00", "endTime": "21:00"},
        {"date": "2030-05-21", "startTime": "00:00", "endTime": "00:00"},
    ],
}
OFFICE = [
    {
        "days": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"],
        "startTime": "09:00",
        "endTime": "17:00",
    }
]


def made(client: Client, **more: object) -> dict:
    answer = client.post("/v2/schedules", WHOLE | more)
    assert answer.status_code == 201, answer.text
    return answer.get_json()["data"]


def test_all_that_is_said_of_a_schedule_comes_back(rick_api: Client, rick: User) -> None:
    schedule = made(rick_api)
    assert schedule == WHOLE | {"id": schedule["id"], "ownerId": rick.id}
    assert rick_api.data(f"/v2/schedules/{schedule['id']}") == schedule
    assert [one["name"] for one in rick_api.data("/v2/schedules")] == ["Working hours", "Evenings"]


def test_the_default_schedule_has_the_hours_that_there_were(rick_api: Client, rick: User) -> None:
    assert rick_api.get("/v2/schedules/default").status_code == 404
    with transaction() as session:
        default_schedule(session, rick)
    default = rick_api.data("/v2/schedules/default")
    assert (default["availability"], default["isDefault"]) == (OFFICE, True)
    assert rick_api.data("/v2/me")["defaultScheduleId"] == default["id"]


def test_a_new_schedule_has_office_hours_unless_it_says_others(rick_api: Client) -> None:
    answer = rick_api.post("/v2/schedules", {"name": "New", "timeZone": "Europe/Rome"})
    assert answer.get_json()["data"]["availability"] == OFFICE


def test_a_change_leaves_what_it_does_not_name(rick_api: Client) -> None:
    schedule = made(rick_api)
    path = f"/v2/schedules/{schedule['id']}"
    assert rick_api.patch(path, {"name": "Nights"}).get_json()["data"] == schedule | {"name": "Nights"}
    changed = rick_api.patch(path, {"isDefault": True, "overrides": []}).get_json()["data"]
    assert changed == schedule | {"name": "Nights", "isDefault": True, "overrides": []}
    me = rick_api.data("/v2/me")
    assert (me["defaultScheduleId"], me["timeZone"]) == (schedule["id"], "Europe/Rome")
    refused = rick_api.patch(path, {"isDefault": False})
    assert (refused.status_code, "default" in message(refused)) == (409, True)


def test_a_schedule_is_deleted_unless_it_is_the_default(rick_api: Client) -> None:
    first, second = made(rick_api), made(rick_api, isDefault=True)
    assert rick_api.delete(f"/v2/schedules/{first['id']}").status_code == 200
    assert rick_api.get(f"/v2/schedules/{first['id']}").status_code == 404
    assert rick_api.delete(f"/v2/schedules/{second['id']}").status_code == 409


def test_an_event_type_names_its_schedule(rick_api: Client, quick_chat: EventType) -> None:
    schedule, path = made(rick_api), f"/v2/event-types/{quick_chat.id}"
    assert rick_api.data(path)["scheduleId"] is None
    changed = rick_api.patch(path, {"scheduleId": schedule["id"]}).get_json()["data"]
    assert changed["scheduleId"] == schedule["id"]
    assert rick_api.patch(path, {"scheduleId": None}).get_json()["data"]["scheduleId"] is None
    refused = rick_api.patch(path, {"scheduleId": 999})
    assert (refused.status_code, message(refused)) == (
        400,
        "scheduleId: Please choose one of your schedules.",
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"timeZone": "Mars/Base"}, "timeZone"),
        ({"availability": [{"days": ["Funday"], "startTime": "09:00", "endTime": "10:00"}]}, "availability"),
        ({"availability": [{"days": ["Monday"], "startTime": "10:00", "endTime": "9"}]}, "availability"),
        ({"availability": WHOLE["availability"][:1] * 2}, "availability"),
        ({"overrides": [{"date": "1999-01-01", "startTime": "09:00", "endTime": "10:00"}]}, "overrides"),
        ({"overrides": [{"date": "2030-02-30", "startTime": "09:00", "endTime": "10:00"}]}, "overrides"),
    ],
)
def test_what_is_wrong_is_named(rick_api: Client, change: dict, field: str) -> None:
    refused = rick_api.post("/v2/schedules", WHOLE | change)
    assert refused.status_code == 400
    assert message(refused).startswith(field)
