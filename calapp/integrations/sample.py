"""The sample booking that a ping carries, in the very shape of a real one."""

from datetime import datetime, timedelta
from typing import Any

from calapp.accounts.models import User
from calapp.bookings.models import Attendee, Booking, Status
from calapp.bookings.payload import booking_payload
from calapp.clock import now
from calapp.deliveries import body
from calapp.event_types.models import EventType, LocationKind
from calapp.webhooks.triggers import Trigger

UID = "ping-sample-booking"


def sample_envelope(
    host: User, base_url: str, trigger: str = Trigger.PING, *, at: datetime | None = None
) -> dict[str, Any]:
    """Return the envelope of a ping: a full booking of this host that was never made."""
    at = at or now()
    return body.envelope(body.new_event_id(), trigger, at, booking_payload(_booking(host, at), base_url))


def _booking(host: User, at: datetime) -> Booking:
    starts_at = (at + timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
    return Booking(
        id=0,
        uid=UID,
        chain=UID,
        sequence=1,
        ical_sequence=0,
        status=Status.ACCEPTED,
        title=f"Sample meeting between {host.name} and Ada Lovelace",
        starts_at=starts_at,
        ends_at=starts_at + timedelta(minutes=15),
        time_zone="Europe/London",
        location="https://example.com/meet",
        notes="This is what a ping looks like.",
        answers={},
        link_metadata={"user_id": "123"},
        host=copy_of(host),
        event_type=_event_type(),
        attendees=[
            Attendee(position=0, name="Ada Lovelace", email="ada@example.com", time_zone="Europe/London")
        ],
    )


def copy_of(host: User) -> User:
    """Return a user beside the session, so that the sample cannot be saved with the real one."""
    return User(
        id=host.id, name=host.name, email=host.email, username=host.username, time_zone=host.time_zone
    )


def _event_type() -> EventType:
    return EventType(
        id=0,
        title="Sample meeting",
        slug="sample-meeting",
        description="",
        length=15,
        requires_confirmation=False,
        location_kind=LocationKind.LINK,
    )
