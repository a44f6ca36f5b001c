"""Times held for a few minutes over the API, on both databases."""

from collections.abc import Callable

import pytest
import time_machine
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.bookings import times
from calapp.bookings.models import ReservedSlot, SlotReservation
from calapp.db import transaction
from calapp.event_types.models import EventType
from tests.api.conftest import Client, KeyMaker, message
from tests.api.test_bookings import TEN, booked, wish
from tests.conftest import on_both_databases

pytestmark = [on_both_databases, pytest.mark.usefixtures("monday")]

PATH = "/v2/slots/reservations"
TUESDAY = "start=2027-01-05&end=2027-01-05"


def held(client: Client, event_type: EventType, **more: object) -> dict[str, object]:
    answer = client.post(PATH, {"eventTypeId": event_type.id, "slotStart": TEN, **more})
    assert answer.status_code == 201, answer.text
    return answer.get_json()["data"]


def free(client: Client, event_type: EventType) -> list[str]:
    days = client.data(f"/v2/slots?eventTypeId={event_type.id}&{TUESDAY}")
    return [one["start"] for one in days.get("2027-01-05", [])]


def rows(session: Session) -> tuple[int, int]:
    session.rollback()
    return tuple(
        session.scalar(select(func.count()).select_from(one)) for one in (SlotReservation, ReservedSlot)
    )


def test_a_held_time_is_taken_for_others_and_booked_by_its_holder(
    with_key: KeyMaker, bob: User, anyone: Client, quick_chat: EventType, session: Session
) -> None:
    holder = with_key(bob)
    made = held(holder, quick_chat)
    uid = made.pop("reservationUid")
    assert made == {
        "eventTypeId": quick_chat.id,
        "slotStart": "2027-01-05T10:00:00.000Z",
        "slotEnd": "2027-01-05T10:15:00.000Z",
        "slotDuration": 15,
        "reservationDuration": 5,
        "reservationUntil": "2027-01-04T07:05:00.000Z",
    }
    assert TEN.replace("Z", ".000Z") not in free(anyone, quick_chat)
    assert anyone.post("/v2/bookings", wish(quick_chat)).status_code == 409
    assert anyone.post(PATH, {"eventTypeId": quick_chat.id, "slotStart": TEN}).status_code == 409
    booked(holder, quick_chat)
    assert (rows(session), anyone.get(f"{PATH}/{uid}").status_code) == ((0, 0), 404)


def test_whoever_knows_its_uid_books_a_held_time(
    rick_api: Client, anyone: Client, quick_chat: EventType
) -> None:
    uid = held(rick_api, quick_chat)["reservationUid"]
    booked(anyone, quick_chat, reservationUid=uid)
    assert anyone.get(f"{PATH}/{uid}").status_code == 404


def test_a_booking_that_fails_leaves_the_time_held(anyone: Client, quick_chat: EventType) -> None:
    uid = held(anyone, quick_chat)["reservationUid"]
    answer = anyone.post("/v2/bookings", wish(quick_chat, start="2027-01-05T05:00:00Z", reservationUid=uid))
    assert answer.status_code == 409
    assert anyone.data(f"{PATH}/{uid}")["slotStart"] == "2027-01-05T10:00:00.000Z"


def test_after_five_minutes_the_time_is_free_again(
    rick_api: Client,
    anyone: Client,
    quick_chat: EventType,
    session: Session,
    monday: time_machine.Traveller,
) -> None:
    uid = held(rick_api, quick_chat)["reservationUid"]
    monday.shift(301)
    assert anyone.get(f"{PATH}/{uid}").status_code == 404
    booked(anyone, quick_chat)
    assert rows(session) == (1, 3)
    with transaction() as writing:
        assert times.forget_expired_reservations(writing) == 1
    assert rows(session) == (0, 0)


def test_a_held_time_is_moved_and_freed(rick_api: Client, anyone: Client, quick_chat: EventType) -> None:
    uid = held(anyone, quick_chat)["reservationUid"]
    moved = anyone.patch(f"{PATH}/{uid}", {"slotStart": "2027-01-05T11:00:00Z"}).get_json()["data"]
    assert (moved["reservationUid"], moved["slotStart"]) == (uid, "2027-01-05T11:00:00.000Z")
    found = free(rick_api, quick_chat)
    assert "2027-01-05T10:00:00.000Z" in found
    assert "2027-01-05T11:00:00.000Z" not in found
    assert anyone.patch(f"{PATH}/{uid}", {}).status_code == 200
    assert anyone.delete(f"{PATH}/{uid}").status_code == 200
    assert len(free(rick_api, quick_chat)) == 32
    assert anyone.delete(f"{PATH}/{uid}").status_code == 404


def test_a_time_that_is_taken_cannot_be_held(anyone: Client, quick_chat: EventType) -> None:
    uid = held(anyone, quick_chat, slotStart="2027-01-05T11:00:00Z")["reservationUid"]
    booked(anyone, quick_chat)
    assert anyone.post(PATH, {"eventTypeId": quick_chat.id, "slotStart": TEN}).status_code == 409
    assert anyone.patch(f"{PATH}/{uid}", {"slotStart": TEN}).status_code == 409
    assert anyone.data(f"{PATH}/{uid}")["slotStart"] == "2027-01-05T11:00:00.000Z"


def test_only_the_host_says_for_how_long(rick_api: Client, anyone: Client, quick_chat: EventType) -> None:
    body = {"eventTypeId": quick_chat.id, "slotStart": TEN, "reservationDuration": 30}
    assert anyone.post(PATH, body).status_code == 403
    assert rick_api.post(PATH, body).get_json()["data"]["reservationUntil"] == "2027-01-04T07:30:00.000Z"


def test_a_visitor_holds_only_so_many(anyone: Client, rick_api: Client, quick_chat: EventType) -> None:
    for hour in range(9, 14):
        held(anyone, quick_chat, slotStart=f"2027-01-05T{hour:02}:00:00Z")
    answer = anyone.post(PATH, {"eventTypeId": quick_chat.id, "slotStart": "2027-01-05T14:00:00Z"})
    assert (answer.status_code, "5 times already" in message(answer)) == (429, True)
    held(rick_api, quick_chat, slotStart="2027-01-05T14:00:00Z")


def test_buffers_are_held_too(
    anyone: Client, rick_api: Client, quick_chat: EventType, change: Callable[..., None]
) -> None:
    change(quick_chat, buffer_after=15)
    held(anyone, quick_chat)
    assert "2027-01-05T10:15:00.000Z" not in free(rick_api, quick_chat)


def test_older_clients_get_times_in_their_shape(anyone: Client, quick_chat: EventType) -> None:
    query = f"eventTypeId={quick_chat.id}&startTime=2027-01-05T00:00:00Z&endTime=2027-01-05T23:59:59Z"
    slots = anyone.data(f"/v2/slots/available?{query}")["slots"]
    assert slots["2027-01-05"][0] == {"time": "2027-01-05T08:00:00.000Z"}
    ranges = anyone.data(f"/v2/slots/available?{query}&slotFormat=range")["slots"]
    first = {"startTime": "2027-01-05T08:00:00.000Z", "endTime": "2027-01-05T08:15:00.000Z"}
    assert ranges["2027-01-05"][0] == first
    assert anyone.get(f"/v2/slots/available?{query}&usernameList=a,b").status_code == 400
