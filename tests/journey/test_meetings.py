"""Meetings start and end on time, through a running worker."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app import create_app
from calapp import config
from calapp.accounts.service import find_user
from calapp.bookings.models import Attendee, Booking, Status
from calapp.clock import now
from calapp.db import db, transaction
from calapp.event_types.service import find_public
from calapp.webhooks.models import Webhook
from calapp.webhooks.triggers import SUBSCRIBABLE
from tests.receiver import Receiver
from tests.running import Running, wait_until

ON_TIME = 2.0  # seconds


@pytest.fixture
def database(calapp: Running) -> Iterator[None]:
    """An app on the database of the running Calapp."""
    app = create_app(config.load({}, data_dir=Path(calapp.data_dir)))
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
            triggers = [str(trigger) for trigger in SUBSCRIBABLE]
            session.add(Webhook(user_id=host.id, subscriber_url=receiver.url(), triggers=triggers))
        for number in (1, 2):
            wait_until(lambda number=number: len(receiver.requests) >= number)
            arrived.append(_seen(receiver, number - 1))
        time.sleep(2.5)  # two more sweeps
        assert len(receiver.requests) == 2
    (first, began, uid), (second, ended, _) = arrived
    assert (first, second, uid) == ("MEETING_STARTED", "MEETING_ENDED", "soon")
    assert 0 <= began - start.timestamp() <= ON_TIME
    assert 0 <= ended - (start + timedelta(seconds=3)).timestamp() <= ON_TIME


def _seen(receiver: Receiver, number: int) -> tuple[str, float, str]:
    """Return the trigger, the moment and the uid of what has just come in."""
    body = json.loads(receiver.requests[number].body)
    return body["triggerEvent"], datetime.now(UTC).timestamp(), body["payload"]["uid"]
