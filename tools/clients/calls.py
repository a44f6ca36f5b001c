"""Requests of clients that are in no registry: written down from their source, sent as they send them.

`call` takes method, path, body and headers, and returns the status and what the body says. The host
is all that differs: Activepieces' piece and LiveKit's example have https://api.cal.com written in.
"""

from typing import Any, Protocol
from urllib.parse import urlencode


class Call(Protocol):
    """Sends a request with the host's key."""

    def __call__(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any]: ...  # pragma: no cover


def livekit(call: Call, start: str, end: str) -> dict[str, Any]:
    """Do what LiveKit's front desk does (examples/frontdesk/calendar_api.py); returns the booking.

    It looks for its event type and makes it, twice; takes the first free time, and asks for it again.
    """

    def ask(method: str, path: str, version: str, body: object = None) -> tuple[int, Any]:
        return call(method, f"/v2/{path}", body, **{"cal-api-version": version})

    ids = set()
    for _ in range(2):
        status, answer = ask("GET", "me/", "2024-06-14")
        assert status == 200, answer
        query = urlencode({"username": answer["data"]["username"]})
        status, answer = ask("GET", f"event-types/?{query}", "2024-06-14")
        assert status == 200, answer
        found = [one for one in answer["data"] if one["slug"] == "livekit-front-desk"]
        if not found:
            wanted = {"lengthInMinutes": 30, "title": "LiveKit Front-Desk", "slug": "livekit-front-desk"}
            status, answer = ask("POST", "event-types", "2024-06-14", wanted)
            assert status == 201, answer
            found = [answer["data"]]
        ids.add(found[0]["id"])
    (event_type_id,) = ids

    query = urlencode({"eventTypeId": event_type_id, "start": start, "end": end})
    status, answer = ask("GET", f"slots/?{query}", "2024-09-04")
    assert status == 200, answer
    free = [one["start"] for day in answer["data"].values() for one in day]
    attendee = {"name": "ada@example.com", "email": "ada@example.com", "timeZone": "Europe/Berlin"}
    wish = {
        "start": free[0].replace("Z", "+00:00"),
        "attendee": attendee,
        "eventTypeId": event_type_id,
    }
    status, booked = ask("POST", "bookings", "2024-08-13", wish)
    assert status == 201, booked
    status, answer = ask("POST", "bookings", "2024-08-13", wish)
    assert status >= 400
    words = "User either already has booking at this time or is not available"
    assert words in answer["error"]["message"], answer
    data: dict[str, Any] = booked["data"]
    return data


def activepieces_trigger(call: Call, webhook_url: str) -> dict[str, Any]:
    """Switch the trigger on as Activepieces' piece cal-com does; returns the webhook."""
    version = {"cal-api-version": "2024-06-14"}
    body = {"triggers": ["BOOKING_CREATED"], "subscriberUrl": webhook_url, "active": True}
    status, answer = call("POST", "/v2/webhooks", body, **version)
    assert status in {200, 201}, answer
    data: dict[str, Any] = answer["data"]
    assert (data["triggers"], data["subscriberUrl"]) == (body["triggers"], webhook_url)
    return data


def activepieces_trigger_off(call: Call, webhook: dict[str, Any]) -> None:
    """Switch the trigger off, and once more: a 404 is all that it forgives."""
    version = {"cal-api-version": "2024-06-14"}
    assert call("DELETE", f"/v2/webhooks/{webhook['id']}", **version)[0] == 200
    assert call("DELETE", f"/v2/webhooks/{webhook['id']}", **version)[0] == 404


def check_mcp_server(call: Call, event_type_id: int, start: str, end: str) -> None:
    """Do what the tools of Cal.com's MCP server do (apps/mcp-server of calcom/companion), for one host.

    It names one version for each first part of a path, and sends no body where there is none.
    """
    versions = {"event-types": "2024-06-14", "schedules": "2024-06-11", "slots": "2024-09-04"}

    def ask(method: str, path: str, body: object = None, expected: tuple[int, ...] = (200, 201)) -> Any:
        version = versions.get(path.partition("/")[0].partition("?")[0], "2024-08-13")
        status, answer = call(method, f"/v2/{path}", body, **{"cal-api-version": version})
        assert status in expected, answer
        return answer.get("data")

    assert ask("GET", "me")["username"]
    assert event_type_id in [one["id"] for one in ask("GET", "event-types")]
    assert ask("GET", f"event-types/{event_type_id}")["id"] == event_type_id
    talk = ask("POST", "event-types", {"title": "Talk", "slug": "talk-of-mcp", "lengthInMinutes": 30})
    assert ask("PATCH", f"event-types/{talk['id']}", {"title": "Long talk"})["title"] == "Long talk"
    ask("DELETE", f"event-types/{talk['id']}")
    days = ask("GET", f"slots?{urlencode({'start': start, 'end': end, 'eventTypeId': event_type_id})}")
    free = [one["start"] for day in days.values() for one in day]
    held = ask("POST", "slots/reservations", {"eventTypeId": event_type_id, "slotStart": free[5]})
    ask("GET", f"slots/reservations/{held['reservationUid']}")
    ask("DELETE", f"slots/reservations/{held['reservationUid']}")

    attendee = {"name": "Ada Byron", "email": "ada@example.com", "timeZone": "Europe/London"}
    wish = {
        "eventTypeId": event_type_id,
        "start": free[7],
        "attendee": attendee,
        "metadata": {"user_id": "123"},
    }
    uid = ask("POST", "bookings", wish)["uid"]
    query = f"status=upcoming&attendeeEmail=ada%40example.com&eventTypeId={event_type_id}&take=10&skip=0"
    assert uid in [one["uid"] for one in ask("GET", f"bookings?{query}")]
    guest = {"name": "Bob", "email": "bob@example.com", "timeZone": "Europe/Berlin", "language": "en"}
    added = ask("POST", f"bookings/{uid}/attendees", guest)
    assert ask("GET", f"bookings/{uid}/attendees/{added['id']}")["name"] == "Bob"
    ask("POST", f"bookings/{uid}/guests", {"guests": [{"email": "eve@example.com", "name": "Eve"}]})
    assert len(ask("GET", f"bookings/{uid}/attendees")) == 3
    assert ask("GET", f"bookings/{uid}/calendar-links")
    place = {"location": {"type": "address", "address": "Room 5"}}
    assert ask("PATCH", f"bookings/{uid}/location", place)["location"] == "Room 5"
    moved = ask("POST", f"bookings/{uid}/reschedule", {"start": free[9], "rescheduleReason": "Travel"})
    assert (moved["reschedulingReason"], moved["metadata"]) == ("Travel", {"user_id": "123"})
    ask("POST", f"bookings/{moved['uid']}/cancel", {"cancellationReason": "Ill"})
    assert ask("GET", f"calendars/busy-times?{urlencode({'dateFrom': start, 'dateTo': end})}") is not None
    assert ask("GET", "schedules") is not None


ITEM, LIST, KINDS, SLOTS, SCHEDULES = (
    {"cal-api-version": version}
    for version in ("2026-02-25", "2026-05-01", "2026-06-12", "2024-09-04", "2024-06-11")
)


def check_activepieces_actions(call: Call, event_type_id: int, start: str, end: str) -> None:
    """Do what the actions of Activepieces' piece cal-com do, with the versions that they name."""

    def ask(method: str, path: str, version: dict[str, str], body: object = None) -> Any:
        status, answer = call(method, f"/v2{path}", body, **version)
        assert status in {200, 201}, answer
        assert answer["status"] == "success"
        return answer["data"]

    assert ask("GET", "/me", {})["username"]
    ask("PATCH", "/me", {}, {"timeFormat": 24, "weekStart": "Monday", "locale": "en"})
    assert ask("GET", "/timezones", {})
    schedule = {"name": "Evenings", "timeZone": "Europe/Berlin", "isDefault": False}
    made = ask("POST", "/schedules", SCHEDULES, schedule)
    assert made["id"] in [one["id"] for one in ask("GET", "/schedules", SCHEDULES)]
    assert ask("GET", "/schedules/default", SCHEDULES)["isDefault"]
    ask("PATCH", f"/schedules/{made['id']}", SCHEDULES, {"name": "Late"})
    kind = {"title": "Talk", "slug": "talk-of-pieces", "lengthInMinutes": 30, "scheduleId": made["id"]}
    talk = ask("POST", "/event-types", KINDS, kind)
    ask("PATCH", f"/event-types/{talk['id']}", KINDS, {"hidden": True})
    assert ask("GET", f"/event-types/{talk['id']}", KINDS)["hidden"]
    assert talk["id"] in [one["id"] for one in ask("GET", "/event-types", KINDS)]
    ask("DELETE", f"/event-types/{talk['id']}", KINDS)
    ask("DELETE", f"/schedules/{made['id']}", SCHEDULES)

    query = urlencode({"eventTypeId": event_type_id, "start": start, "end": end})
    days = ask("GET", f"/slots?{query}&timeZone=Europe%2FBerlin", SLOTS)
    free = [one["start"] for day in days.values() for one in day]
    attendee = {"name": "Ada Byron", "timeZone": "Europe/London", "email": "ada@example.com"}
    wish = {"eventTypeId": event_type_id, "start": free[1], "attendee": attendee}
    uid = ask("POST", "/bookings", ITEM, wish)["uid"]
    assert ask("GET", f"/bookings/{uid}", ITEM)["uid"] == uid
    query = f"status=upcoming&attendeeEmail=ada%40example.com&eventTypeId={event_type_id}&limit=1"
    assert len(ask("GET", f"/bookings?{query}", LIST)) == 1
    guest = {"name": "Bob", "email": "bob@example.com", "timeZone": "Europe/Berlin"}
    assert ask("POST", f"/bookings/{uid}/attendees", {"cal-api-version": "2024-08-13"}, guest)["id"]
    later = {"start": free[-1], "reschedulingReason": "Travel"}
    uid = ask("POST", f"/bookings/{uid}/reschedule", ITEM, later)["uid"]
    assert ask("POST", f"/bookings/{uid}/cancel", ITEM, {})["status"] == "cancelled"
