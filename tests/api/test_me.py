"""The host over the API, time zones, and the address of the version before, on both databases."""

import pytest
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from tests.api.conftest import Client, details
from tests.conftest import on_both_databases

pytestmark = on_both_databases


def test_the_host_has_what_clients_of_cal_com_read(rick_api: Client, rick: User) -> None:
    me = rick_api.data("/v2/me")
    assert (me["username"], me["timeZone"]) == ("rick", rick.time_zone)
    fixed = {"timeFormat": 24, "weekStart": "Monday", "locale": "en", "avatarUrl": None, "bio": None}
    assert {name: me[name] for name in fixed} == fixed
    assert me["organizationId"] is None


def test_a_host_is_changed(rick_api: Client, rick: User, session: Session) -> None:
    evenings = {"name": "Evenings", "timeZone": "Europe/Paris", "isDefault": False}
    schedule = rick_api.post("/v2/schedules", evenings).get_json()["data"]
    body = {"name": "Richard", "defaultScheduleId": schedule["id"], "weekStart": "Monday", "timeFormat": 24}
    me = rick_api.patch("/v2/me", body | {"email": "Rick@example.com"}).get_json()["data"]
    assert (me["name"], me["timeZone"], me["defaultScheduleId"]) == (
        "Richard",
        "Europe/Paris",
        schedule["id"],
    )
    assert rick_api.patch("/v2/me", {"timeZone": "Asia/Tokyo"}).get_json()["data"]["timeZone"] == "Asia/Tokyo"
    session.refresh(rick)
    assert (rick.name, rick.time_zone) == ("Richard", "Asia/Tokyo")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "other@example.com"}, "email"),
        ({"weekStart": "Sunday"}, "weekStart"),
        ({"timeFormat": 12}, "timeFormat"),
        ({"bio": "I am Rick."}, "bio"),
        ({"locale": "de"}, "locale"),
    ],
)
def test_what_cannot_be_changed_here_is_refused_by_name(
    rick_api: Client, body: dict[str, object], field: str
) -> None:
    answer = rick_api.patch("/v2/me", body)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (400, "not_supported")
    assert list(details(answer)) == [field]


def test_a_strangers_schedule_is_not_taken(rick_api: Client, bob_api: Client) -> None:
    body = {"name": "Mine", "timeZone": "Europe/Paris", "isDefault": True}
    schedule = bob_api.post("/v2/schedules", body).get_json()["data"]["id"]
    answer = rick_api.patch("/v2/me", {"defaultScheduleId": schedule})
    assert (answer.status_code, list(details(answer))) == (400, ["defaultScheduleId"])
    assert rick_api.patch("/v2/me", {"timeZone": "Mars"}).status_code == 400


def test_time_zones_are_listed(anyone: Client) -> None:
    assert {"city": "New York", "timezone": "America/New_York"} in anyone.data("/v2/timezones")


def test_the_version_before_says_where_the_api_is(anyone: Client) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = anyone.browser.open("/v1/bookings?apiKey=cal_x", method=method)
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (410, "gone")


@pytest.mark.parametrize("version", ["2024-08-13", "2026-02-25", "2024-04-15", "nonsense"])
def test_every_version_is_accepted(rick_api: Client, version: str) -> None:
    assert rick_api.get("/v2/bookings", headers={"cal-api-version": version}).status_code == 200
