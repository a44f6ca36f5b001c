"""The main job, from the booking link to the signed POST; and meetings that start and end on time."""

import html
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import requests
from standardwebhooks import Webhook as Standard

from app import create_app
from calapp import config
from calapp.accounts.service import find_user
from calapp.bookings.models import Attendee, Booking, Status
from calapp.clock import now
from calapp.db import db, transaction
from calapp.event_types.service import find_public
from calapp.webhooks.models import OF_BOOKINGS, Webhook
from tests.receiver import Receiver
from tests.running import TOKEN, Running, wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ON_TIME = 2.0  # seconds
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')


def add_webhook(calapp: Running, url: str) -> None:
    """Add a webhook by the form of the integrations page."""
    host = calapp.signed_in()
    page = host.get(f"{calapp.address}/integrations/webhooks/new").text
    form = {
        "csrf_token": TOKEN.search(page)[1],
        "subscriber_url": url,
        "triggers": ["BOOKING_CREATED", "BOOKING_CANCELLED"],
        "active": "1",
        "secret": SECRET,
    }
    answer = host.post(f"{calapp.address}/integrations/webhooks/new", data=form)
    assert url in answer.text


def press(visitor: requests.Session, calapp: Running, page: str, name: str, rest: str = "") -> str:
    """Press the first button of the booker's form with this name; return the page it leads to."""
    value = re.search(rf'<button[^>]*name="{name}" value="([^"]+)"{rest}', page)[1]
    query = [(name, value), *((field, html.unescape(text)) for field, text in HIDDEN.findall(page))]
    query.append(("tz", "Europe/London"))
    return visitor.get(f"{calapp.address}/rick/quick-chat", params=query).text


def book(calapp: Running, query: str) -> str:
    """Book the first time that the booker offers; return the booking's address."""
    visitor = requests.Session()
    month = visitor.get(f"{calapp.address}/rick/quick-chat?tz=Europe/London&{query}").text
    times = press(visitor, calapp, month, "month", r'[^>]*aria-label="Next month"')
    page = press(visitor, calapp, times, "slot")
    action = re.search(r'method="post" action="([^"]+)"', page)[1]
    form = {name: html.unescape(value) for name, value in HIDDEN.findall(page)}
    time.sleep(2.1)  # people take longer than robots
    form |= {"name": "Ada Byron", "email": "ada@example.com"}
    answer = visitor.post(calapp.address + html.unescape(action), data=form)
    assert "This meeting is scheduled" in answer.text
    return answer.url


def wait_for(receiver: Receiver, count: int) -> None:
    wait_until(lambda: len(receiver.requests) >= count)
    assert len(receiver.requests) == count


def test_a_booking_with_metadata_arrives_signed(calapp: Running) -> None:
    with Receiver() as receiver:
        add_webhook(calapp, receiver.url())
        address = book(calapp, "metadata[user_id]=123")
        wait_for(receiver, 1)
        request = receiver.requests[0]
        Standard(SECRET).verify(request.body, request.headers)
        body = json.loads(request.body)
        assert body["triggerEvent"] == "BOOKING_CREATED"
        assert body["payload"]["metadata"] == {"user_id": "123"}
        requests.post(f"{address}/cancel", data={"reason": "Ill"})
        wait_for(receiver, 2)
        payload = json.loads(receiver.requests[1].body)["payload"]
        assert (payload["cancellationReason"], payload["metadata"]) == ("Ill", {"user_id": "123"})


@pytest.fixture
def database(calapp: Running) -> Iterator[None]:
    """An app on the database of the running Calapp."""
    app = create_app(config.prepare({}, data_dir=calapp.data_dir))
    with app.app_context():
        yield
        db.session.remove()
        db.engine.dispose()


def put(uid: str, start: datetime, status: Status = Status.ACCEPTED) -> None:
    """Write a meeting of three seconds; the pages know only steps of five minutes."""
    with transaction() as session:
        event_type = find_public(session, "rick", "quick-chat")
        booking = Booking(
            uid=uid,
            chain=uid,
            host=event_type.user,
            event_type=event_type,
            status=status,
            title="Soon",
            starts_at=start,
            ends_at=start + timedelta(seconds=3),
            time_zone="UTC",
        )
        person = Attendee(position=0, name="Ada", email="ada@example.com", time_zone="UTC")
        booking.attendees = [person]
        session.add(booking)


def test_start_and_end_come_once_and_on_time(calapp: Running, database: None) -> None:
    start = now().replace(microsecond=0) + timedelta(seconds=3)
    put("soon", start)
    put("gone", start, Status.CANCELLED)
    put("asked", start, Status.PENDING)
    with Receiver() as receiver:
        arrived: list[tuple[str, float, str]] = []
        with transaction() as session:  # made after the bookings
            host = find_user(session, "rick")
            triggers = [str(trigger) for trigger in OF_BOOKINGS]
            session.add(Webhook(user_id=host.id, subscriber_url=receiver.url(), triggers=triggers))
        for number in (1, 2, 3):
            wait_until(lambda number=number: len(receiver.requests) >= number)
            arrived.append(_seen(receiver, number - 1))
        time.sleep(2.5)  # two more sweeps
        assert len(receiver.requests) == 3
    moments = {(trigger, uid): moment for trigger, moment, uid in arrived}
    assert set(moments) == {
        ("MEETING_STARTED", "soon"),
        ("BOOKING_REJECTED", "asked"),  # nobody answered in time
        ("MEETING_ENDED", "soon"),
    }
    began, ended = moments["MEETING_STARTED", "soon"], moments["MEETING_ENDED", "soon"]
    assert 0 <= began - start.timestamp() <= ON_TIME
    assert 0 <= ended - (start + timedelta(seconds=3)).timestamp() <= ON_TIME


def _seen(receiver: Receiver, number: int) -> tuple[str, float, str]:
    """Return the trigger, the moment and the uid of what has just come in."""
    body = json.loads(receiver.requests[number].body)
    return body["triggerEvent"], datetime.now(UTC).timestamp(), body["payload"]["uid"]
