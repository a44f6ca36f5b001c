"""What a host's program changes of a booking besides its time, on both databases."""

from collections.abc import Callable

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.event_types.models import EventType
from calapp.mail import Email
from tests.api.conftest import Client
from tests.api.test_bookings import booked, triggers  # noqa: F401 (a fixture)
from tests.conftest import on_both_databases

pytestmark = [on_both_databases, pytest.mark.usefixtures("monday")]

BOB = {"email": "bob@example.com", "name": "Bob", "timeZone": "Europe/Paris"}


def emails(session: Session) -> list[tuple[str, str, str]]:
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
    link = "/rick/quick-chat?name=Ada+Byron&email=ada%40example.com&metadata%5Buser_id%5D=123"
    assert link in found["ada@example.com"]
    assert "I am ill." in found["ada@example.com"]
    assert "quick-chat?" not in found["bob@example.com"]
    assert triggers() == ["BOOKING_CREATED", "BOOKING_CANCELLED"]
