"""What a host's program changes of a booking besides its time, on both databases."""

import re
from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.bookings.emails import write_emails
from calapp.bookings.models import Booking
from calapp.event_types.models import EventType
from calapp.mail import Email
from tests.api.conftest import Client
from tests.api.test_bookings import booked, triggers  # noqa: F401 (a fixture)
from tests.bookings.conftest import MONDAY
from tests.conftest import on_both_databases

pytestmark = [on_both_databases, pytest.mark.usefixtures("monday")]

BOB = {"email": "bob@example.com", "name": "Bob", "timeZone": "Europe/Paris"}


def emails(session: Session) -> list[tuple[str, str, str]]:
    write_emails()
    session.rollback()
    found = session.scalars(select(Email).order_by(Email.id))
    return [(one.recipient, one.subject, one.body) for one in found]


def test_attendees_are_listed_and_shown_to_the_host(
    rick_api: Client, bob_api: Client, quick_chat: EventType
) -> None:
    path = f"/v2/bookings/{booked(rick_api, quick_chat, guests=['bob@example.com'])['uid']}/attendees"
    visitor, guest = rick_api.data(path)
    assert (visitor["email"], guest["email"]) == ("ada@example.com", "bob@example.com")
    assert rick_api.data(f"{path}/{guest['id']}") == guest
    assert (rick_api.get(f"{path}/9999").status_code, bob_api.get(path).status_code) == (404, 404)


def test_an_attendee_is_added_with_a_name_and_told(
    rick_api: Client, quick_chat: EventType, session: Session, triggers: Callable[[], list[str]]
) -> None:
    made = booked(rick_api, quick_chat, guests=["carl@example.com"])
    path = f"/v2/bookings/{made['uid']}/attendees"
    answer = rick_api.post(path, BOB)
    assert answer.status_code == 201
    added = answer.get_json()["data"]
    assert {name: added[name] for name in BOB} == BOB
    assert [one["email"] for one in rick_api.data(path)] == [
        "ada@example.com",
        "carl@example.com",
        "bob@example.com",
    ]
    assert "bob@example.com" in [recipient for recipient, _, _ in emails(session)]
    assert triggers() == ["BOOKING_CREATED", "BOOKING_UPDATED"]
    for there in ("bob@example.com", "Ada@example.com", "rick@example.com"):
        assert rick_api.post(path, BOB | {"email": there}).status_code == 409
    assert triggers() == ["BOOKING_CREATED", "BOOKING_UPDATED"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": " "}, "name"),
        ({"email": "bob"}, "email"),
        ({"timeZone": "Mars/Olympus"}, "timeZone"),
        ({"phoneNumber": "+4930901820"}, "phoneNumber"),
        ({"language": "de"}, "language"),
    ],
)
def test_an_attendee_that_cannot_be_added_is_refused_by_field(
    rick_api: Client, quick_chat: EventType, wrong: dict[str, str], field: str
) -> None:
    path = f"/v2/bookings/{booked(rick_api, quick_chat)['uid']}/attendees"
    answer = rick_api.post(path, BOB | wrong)
    assert (answer.status_code, list(answer.get_json()["error"]["details"])) == (400, [field])
    assert len(rick_api.data(path)) == 1


def test_a_booking_has_twenty_guests_at_most(rick_api: Client, quick_chat: EventType) -> None:
    many = [f"guest{number}@example.com" for number in range(20)]
    uid = booked(rick_api, quick_chat, guests=many)["uid"]
    for path, body in (("attendees", BOB), ("guests", {"guests": [BOB]})):
        answer = rick_api.post(f"/v2/bookings/{uid}/{path}", body)
        assert (answer.status_code, "up to 20 guests" in answer.text) == (400, True)


def test_guests_are_added_with_their_names(rick_api: Client, quick_chat: EventType) -> None:
    uid = booked(rick_api, quick_chat)["uid"]
    answer = rick_api.post(f"/v2/bookings/{uid}/guests", {"guests": [BOB, {"email": "eve@example.com"}]})
    people = [(one["name"], one["timeZone"]) for one in answer.get_json()["data"]["attendees"]]
    assert people[1:] == [("Bob", "Europe/Paris"), ("eve@example.com", "Europe/London")]
    refused = rick_api.post(f"/v2/bookings/{uid}/guests", {"guests": [BOB | {"phoneNumber": "+4930901820"}]})
    assert list(refused.get_json()["error"]["details"]) == ["guests.0.phoneNumber"]


def test_a_guest_is_removed_and_the_visitor_stays(
    rick_api: Client, bob_api: Client, quick_chat: EventType, triggers: Callable[[], list[str]]
) -> None:
    path = f"/v2/bookings/{booked(rick_api, quick_chat, guests=['bob@example.com'])['uid']}/attendees"
    visitor, guest = rick_api.data(path)
    assert bob_api.delete(f"{path}/{guest['id']}").status_code == 404
    assert rick_api.delete(f"{path}/{guest['id']}").get_json()["data"] == guest
    assert rick_api.delete(f"{path}/{guest['id']}").status_code == 404
    assert rick_api.delete(f"{path}/{visitor['id']}").status_code == 409
    assert rick_api.data(path) == [visitor]
    assert triggers() == ["BOOKING_CREATED", "BOOKING_UPDATED"]


def test_a_booking_has_links_for_calendars(anyone: Client, quick_chat: EventType) -> None:
    uid = booked(anyone, quick_chat)["uid"]
    links = {one["label"]: one["link"] for one in anyone.data(f"/v2/bookings/{uid}/calendar-links")}
    assert list(links) == ["Google Calendar", "Microsoft Office", "Microsoft Outlook", "ICS"]
    assert links["ICS"] == f"http://127.0.0.1:5000/booking/{uid}.ics"
    assert "startdt=2027-01-05T10%3A00%3A00Z" in links["Microsoft Outlook"]
    assert "+" not in links["Microsoft Outlook"]


def test_a_visitor_is_asked_for_another_time(
    rick_api: Client, rick: User, quick_chat: EventType, session: Session, triggers: Callable[[], list[str]]
) -> None:
    made = booked(rick_api, quick_chat, metadata={"user_id": "123"}, guests=["bob@example.com"])
    answer = rick_api.post(
        f"/v2/bookings/{made['uid']}/request-reschedule", {"rescheduleReason": "I am ill."}
    )
    asked = answer.get_json()["data"]
    assert (asked["status"], asked["cancellationReason"]) == ("cancelled", "I am ill.")
    found = {recipient: body for recipient, subject, body in emails(session) if "another time" in subject}
    link = "/rick/quick-chat?name=Ada+Byron&email=ada%40example.com&metadata%5Buser_id%5D=123\n"
    assert link in found["ada@example.com"]
    assert "I am ill." in found["ada@example.com"]
    assert "quick-chat?" not in found["bob@example.com"]
    assert triggers() == ["BOOKING_CREATED", "BOOKING_CANCELLED"]


def test_verified_metadata_is_proved_again_when_another_time_is_asked_for(
    rick_api: Client, anyone: Client, quick_chat: EventType, session: Session
) -> None:
    signed = rick_api.post("/v2/links", {"eventTypeId": quick_chat.id, "metadata": {"user_id": "12 3"}})
    query = dict(parse_qsl(urlsplit(signed.get_json()["data"]["url"]).query))
    proof = {"metadata": {"user_id": query["metadata[user_id]"]}, "sig": query["sig"]}
    made = booked(anyone, quick_chat, **proof)
    rick_api.post(f"/v2/bookings/{made['uid']}/request-reschedule", {})
    (body,) = (
        body
        for recipient, subject, body in emails(session)
        if recipient == "ada@example.com" and "another time" in subject
    )
    assert "Choose another time within 30 days: " in body
    again = dict(parse_qsl(urlsplit(re.search(r"http\S+quick-chat\?\S+", body)[0]).query))
    assert (again["name"], again["metadata[user_id]"]) == ("Ada Byron", "12 3")
    assert again["exp"] == str(int(MONDAY.timestamp()) + 30 * 24 * 3600)
    proof |= {"sig": again["sig"], "exp": int(again["exp"])}
    booked(anyone, quick_chat, **proof)
    assert session.scalars(select(Booking.metadata_verified)).all() == [True, True]
