"""The campaign that a booking's link names, on every event."""

import json
import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.bookings import service
from calapp.bookings.models import Booking
from calapp.deliveries.models import Event
from calapp.event_types.models import EventType

UTM = {
    "utm_source": "newsletter",
    "utm_medium": "email",
    "utm_campaign": "Spring & more",
    "utm_term": "<b>",
    "utm_content": "ü",
}
FORM = {"start": "2027-01-05T10:00:00Z", "name": "Ada", "email": "ada@example.com", "time_zone": "UTC"}
LINK = "/rick/quick-chat"


def payloads(session: Session) -> list[dict[str, str]]:
    session.rollback()
    bodies = session.scalars(select(Event.body).order_by(Event.number))
    return [json.loads(body)["payload"]["tracking"] for body in bodies]


def test_every_event_has_it_also_after_a_move(
    client: FlaskClient, rick_client: FlaskClient, quick_chat: EventType, session: Session
) -> None:
    answer = client.post(LINK, query_string=UTM | {"utm_id": "1"}, data=FORM)
    booking = service.booking_at(answer.headers["Location"].rpartition("/")[2])
    path = f"/booking/{booking.uid}/reschedule"
    client.post(path, query_string={"utm_source": "other"}, data={"start": "2027-01-05T11:00:00Z"})
    moved = service.newest(session, booking)
    client.post(f"/booking/{moved.uid}/cancel")
    assert payloads(session) == [UTM] * 3
    page = rick_client.get(f"/bookings/{moved.uid}").text
    assert "<code>utm_term</code> &lt;b&gt;" in page
    assert client.get(f"/v2/bookings/{moved.uid}").json["data"]["tracking"] == UTM


@pytest.mark.usefixtures("quick_chat")
@pytest.mark.parametrize("embed", ["", "/embed"])
def test_it_goes_along_with_every_click(client: FlaskClient, embed: str) -> None:
    days = ({}, {"month": "2027-02", "tz": "Asia/Tokyo"}, {"slot": "2027-01-05T10:00:00Z"})
    pages = [client.get(LINK + embed, query_string=UTM | one) for one in days]
    pages.append(client.post(LINK + embed, query_string=UTM, data=FORM | {"email": "nobody"}))
    for page in pages:
        hidden = re.findall(r'<input type="hidden" name="(utm_[a-z]+)"', page.text)
        assert set(hidden) == set(UTM)


@pytest.mark.usefixtures("quick_chat")
def test_what_is_too_long_or_said_twice_fails_no_booking(client: FlaskClient, session: Session) -> None:
    link = f"{LINK}?utm_source=a&utm_source=b&utm_medium=&utm_term={'x' * 501}"
    assert client.post(link, data=FORM).status_code == 303
    assert payloads(session) == [{"utm_source": "a", "utm_term": "x" * 500}]
    assert session.scalars(select(Booking.metadata_left_out)).one() == []


def test_the_api_takes_it(client: FlaskClient, quick_chat: EventType, session: Session) -> None:
    person = {"name": "Ada", "email": "ada@example.com", "timeZone": "UTC"}
    body = {"start": FORM["start"], "eventTypeId": quick_chat.id, "attendee": person, "tracking": UTM}
    answer = client.post("/v2/bookings", json=body)
    assert (answer.status_code, answer.json["data"]["tracking"]) == (201, UTM)
    wrong = client.post("/v2/bookings", json=body | {"tracking": {"utm_source": "x" * 501}})
    assert "tracking.utm_source" in wrong.json["error"]["details"]


def test_a_booking_without_a_campaign_has_none(book: Callable[..., Booking], session: Session) -> None:
    book()
    assert payloads(session) == [{}]
