"""The sample booking that a ping carries, in the very shape of a real one."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.bookings.models import Attendee, Booking, Status
from calapp.bookings.payload import booking_payload, cancelled, no_show, rejected, reminder, updated
from calapp.clock import iso_milliseconds, now
from calapp.deliveries import outbox
from calapp.deliveries.formatting import pretty
from calapp.deliveries.health import about_webhook
from calapp.deliveries.models import Event
from calapp.errors import Conflict, Invalid
from calapp.event_types.models import EventType, LocationKind
from calapp.webhooks import template
from calapp.webhooks.models import OF_BOOKINGS, Trigger, Webhook

UID = "ping-sample-booking"


def sample_envelope(
    host: User, base_url: str, trigger: str = Trigger.PING, *, at: datetime | None = None
) -> dict[str, Any]:
    """Return the envelope of a ping: a full booking of this host that was never made."""
    at = at or now()
    return outbox.envelope(outbox.new_event_id(), trigger, at, booking_payload(_booking(host, at), base_url))


class Sample(StrEnum):
    """Which booking a ping carries."""

    INVENTED = "invented"
    LAST_BOOKING = "last_booking"  # what was told last of the host's bookings


def last_booking(session: Session, user_id: int) -> dict[str, Any] | None:
    """Return the envelope of the last event of a host's bookings, or None where none is stored."""
    query = select(Event.body).where(
        Event.user_id == user_id,
        Event.trigger.in_([str(one) for one in OF_BOOKINGS]),
        Event.body.is_not(None),
    )
    body = session.scalar(query.order_by(Event.number.desc()).limit(1))
    try:
        made = json.loads(body or "null")
    except ValueError:
        return None
    return made if isinstance(made, dict) and isinstance(made.get("payload"), dict) else None


def ping_envelope(session: Session, host: User, base_url: str, sample: Sample) -> dict[str, Any]:
    """Return the envelope of a ping; raise Conflict when there is no last booking."""
    if sample is Sample.INVENTED:
        return sample_envelope(host, base_url)
    found = last_booking(session, host.id)
    if found is None:
        raise Conflict("You have no booking yet whose event is stored.")
    return outbox.envelope(outbox.new_event_id(), Trigger.PING, now(), found["payload"])


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
        metadata_verified=False,
        tracking={},
        host=copy_of(host),
        event_type=_event_type(0, "Sample meeting", "sample-meeting", 15, location_kind=LocationKind.LINK),
        attendees=[
            Attendee(position=0, name="Ada Lovelace", email="ada@example.com", time_zone="Europe/London")
        ],
    )


def copy_of(host: User) -> User:
    """Return a user beside the session, so that the sample cannot be saved with the real one."""
    return User(
        id=host.id, name=host.name, email=host.email, username=host.username, time_zone=host.time_zone
    )


MINUTE = timedelta(minutes=1)
VISITOR = "ada@example.com"

# When an event is sent, in a first sentence, and what it adds.
WHEN = {
    Trigger.BOOKING_CREATED: "A visitor has booked, or you have confirmed a request.",
    Trigger.BOOKING_RESCHEDULED: """A booking was rescheduled. It continues under a new `uid`: `rescheduleUid`
and the other `reschedule…` fields identify the previous booking, and `originalUid` never changes. If you
have to confirm the new time, `BOOKING_REQUESTED` is sent first. Later events of the same booking keep these
fields.""",
    Trigger.BOOKING_CANCELLED: """The visitor or the host has cancelled. `cancelledBy` is their email
address, and `cancellationReason` may be empty.""",
    Trigger.BOOKING_REQUESTED: """A visitor has asked for a time of an event type that needs confirmation.
It is followed by `BOOKING_CREATED` (or `BOOKING_RESCHEDULED`, when it was a move), by `BOOKING_REJECTED`, or
by `BOOKING_CANCELLED`.""",
    Trigger.BOOKING_REJECTED: """You have declined a request, or its start time has passed without your
response: `rejectionReason` is then `Not answered in time.` Otherwise it is what you wrote, or empty.""",
    Trigger.BOOKING_NO_SHOW_UPDATED: """You have marked an attendee as a no-show, or undone it. `noShow` on
each attendee is the current state, and `message` describes the change.""",
    Trigger.BOOKING_UPDATED: """You have changed where a booking takes place, its guests or its notes.
`changes` has each of `location`, `guests` and `notes` that changed, `from` what and `to` what.""",
    Trigger.BOOKING_REMINDER: """A confirmed booking starts soon. `minutesBefore` is which of the event type's
reminders it is, in minutes before the start. It is not sent for a cancelled booking, and not after the start;
a rescheduled booking has reminders of its own.""",
    Trigger.MEETING_STARTED: "A confirmed booking has started.",
    Trigger.MEETING_ENDED: "A confirmed booking has ended.",
    Trigger.WEBHOOK_FAILING: """Another of your webhooks keeps failing: attempts of five different events have
failed, or the first failure was ten minutes ago, and nothing was received since. `failures` counts the failed
attempts since `failingSince`; `lastStatus` (`null` without a response) and `reason` are of the last one.""",
    Trigger.WEBHOOK_RECOVERED: """That webhook responds with 2xx again, and what waited is being sent.
`failures` counts the attempts that failed meanwhile.""",
    Trigger.WEBHOOK_DISABLED: """Calapp has switched off another of your webhooks: its receiver responded with
410, or every attempt has failed for five days. Its events are parked until you switch it on again.""",
    Trigger.DAILY_SUMMARY: """A day is over, at 00:05 in your time zone, also when nothing has happened. It
counts the day's events for each event type and trigger, except those about webhooks and summaries, so that a
receiver can check that it got them all. `sha256` is the hash of their IDs in the order of the feed, joined by
line feeds.""",
    Trigger.PING: "You have clicked *Ping test*. There is no booking.",
}


@dataclass(frozen=True)
class SampleEvent:
    """An event of the sample life."""

    trigger: Trigger
    envelope: dict[str, Any]

    @property
    def when(self) -> str:
        """When such an event is sent, and what it adds."""
        return " ".join(WHEN[self.trigger].split())

    @property
    def in_short(self) -> str:
        """When such an event is sent."""
        return self.when.partition(". ")[0].rstrip(".")

    @property
    def json(self) -> str:
        """The body as people read it."""
        return compact(self.envelope)


class Life:
    """Bookings of a host that were never made, and the events of them."""

    def __init__(self, host: User, base_url: str, at: datetime) -> None:
        self.host = copy_of(host)
        self.base_url = base_url
        self.at = at
        self.events: list[SampleEvent] = []
        self.quick = _event_type(1, "Quick chat", "quick-chat", 15)
        self.longer = _event_type(2, "30 minutes", "30min", 30)
        self.longer.requires_confirmation = True

    def booking(self, number: int, event_type: EventType, days: int, **more: Any) -> Booking:
        """Make a booking of an event type, some days from now at ten."""
        start = (self.at + timedelta(days=days)).replace(hour=10, minute=0, second=0, microsecond=0)
        values = {
            "id": number,
            "uid": _random(f"booking {number}", 22),
            "sequence": 0,
            "ical_sequence": 0,
            "status": Status.ACCEPTED,
            "title": f"{event_type.title} between {self.host.name} and Ada Byron",
            "starts_at": start,
            "ends_at": start + event_type.length * MINUTE,
            "time_zone": "Europe/London",
            "location": "",
            "notes": "I have two questions about my account.",
            "answers": {},
            "link_metadata": {"user_id": "123"},
            "metadata_verified": False,
            "tracking": {"utm_source": "newsletter"},
            "host": self.host,
            "event_type": event_type,
            "attendees": [
                Attendee(
                    position=0, name="Ada Byron", email=VISITOR, time_zone="Europe/London", no_show=False
                )
            ],
        } | more
        values.setdefault("chain", values["uid"])
        return Booking(**values)

    def tell(self, booking: Booking, trigger: Trigger, at: datetime, **added: Any) -> None:
        """Write an event of a booking: the next of its chain."""
        booking.sequence += 1
        payload = booking_payload(booking, self.base_url) | added
        event_id = f"evt_{hashlib.sha256(f'{booking.uid} {booking.sequence}'.encode()).hexdigest()[:24]}"
        self.events.append(SampleEvent(trigger, outbox.envelope(event_id, trigger, at, payload)))


def sample_life(host: User, base_url: str, at: datetime) -> list[SampleEvent]:
    """Return every event that a receiver can get, each with a body in the very shape of a real one."""
    life = Life(host, base_url, at)
    first = life.booking(101, life.quick, 1)
    life.tell(first, Trigger.BOOKING_CREATED, at)

    first.status = Status.CANCELLED
    first.rescheduled_by, first.rescheduling_reason = VISITOR, "My train is late"
    moved = life.booking(102, life.quick, 2, chain=first.uid, sequence=1, rescheduled_from=first)
    moved.ical_sequence = 1
    life.tell(moved, Trigger.BOOKING_RESCHEDULED, at + 90 * MINUTE)

    other = life.booking(103, life.quick, 3, status=Status.CANCELLED, ical_sequence=1, sequence=1)
    other.cancellation_reason, other.cancelled_by = "I am ill", VISITOR
    life.tell(other, Trigger.BOOKING_CANCELLED, at + 120 * MINUTE, **cancelled(other))

    request = life.booking(104, life.longer, 4, status=Status.PENDING)
    life.tell(request, Trigger.BOOKING_REQUESTED, at + 180 * MINUTE)
    request.status, request.rejection_reason, request.ical_sequence = Status.REJECTED, "I am on holiday", 1
    life.tell(request, Trigger.BOOKING_REJECTED, at + 190 * MINUTE, **rejected(request))

    moved.location = "https://meet.example.com/rick"
    moving = updated({"location": ("", moved.location)})
    life.tell(moved, Trigger.BOOKING_UPDATED, at + 200 * MINUTE, **moving)
    life.tell(moved, Trigger.BOOKING_REMINDER, moved.starts_at - 60 * MINUTE, **reminder(60))
    life.tell(moved, Trigger.MEETING_STARTED, moved.starts_at)
    life.tell(moved, Trigger.MEETING_ENDED, moved.ends_at)
    moved.visitor.no_show = True
    absent = no_show(moved, moved.visitor)
    life.tell(moved, Trigger.BOOKING_NO_SHOW_UPDATED, moved.ends_at + 5 * MINUTE, **absent)

    life.events += _about_a_webhook(base_url, at)
    life.events.append(_summary(life.events[:1], at))
    ping = sample_envelope(host, base_url, at=at)
    ping["id"] = f"evt_{_random('ping', 24)}"
    life.events.append(SampleEvent(Trigger.PING, ping))
    return life.events


def _about_a_webhook(base_url: str, at: datetime) -> list[SampleEvent]:
    """Return the events about a webhook that fails, recovers, and is gone later."""
    webhook = Webhook(
        id=7, uid=str(UUID(int=7)), name="CRM", subscriber_url="https://crm.example.com/hooks/cal"
    )
    refused = "503 Service Unavailable. The server is down or overloaded. It is attempted again."
    gone = "It responded with 410 Gone, which means that it wants no more events, so it was switched off."
    told: list[SampleEvent] = []
    for trigger, minutes, failures, status, reason in (
        (Trigger.WEBHOOK_FAILING, 10, 6, 503, refused),
        (Trigger.WEBHOOK_RECOVERED, 45, 14, 503, refused),
        (Trigger.WEBHOOK_DISABLED, 90, 1, 410, gone),
    ):
        since = at + (90 if trigger is Trigger.WEBHOOK_DISABLED else 0) * MINUTE
        payload = about_webhook(
            webhook,
            failing_since=since,
            failures=failures,
            last_status=status,
            reason=reason,
            base_url=base_url,
        )
        event_id = f"evt_{_random(trigger, 24)}"
        told.append(SampleEvent(trigger, outbox.envelope(event_id, trigger, at + minutes * MINUTE, payload)))
    return told


def _summary(events: Sequence[SampleEvent], at: datetime) -> SampleEvent:
    """Return the summary of a day in UTC with these events."""
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    payload = {
        "date": f"{day:%Y-%m-%d}",
        "timeZone": "UTC",
        "from": iso_milliseconds(day),
        "to": iso_milliseconds(day + timedelta(days=1)),
        "after": "0",
        "events": [
            {
                "eventTypeId": one.envelope["payload"]["eventTypeId"],
                "triggerEvent": one.trigger,
                "count": 1,
                "firstId": one.envelope["id"],
                "lastId": one.envelope["id"],
                "sha256": hashlib.sha256(one.envelope["id"].encode()).hexdigest(),
            }
            for one in events
        ],
        "metadata": {},
    }
    trigger, sent_at = Trigger.DAILY_SUMMARY, day + timedelta(days=1, minutes=5)
    event_id = f"evt_{_random(trigger, 24)}"
    return SampleEvent(trigger, outbox.envelope(event_id, trigger, sent_at, payload))


def _event_type(number: int, title: str, slug: str, length: int, **more: Any) -> EventType:
    values = {"description": "", "requires_confirmation": False, **more}
    return EventType(id=number, title=title, slug=slug, length=length, **values)


def _random(seed: str, length: int) -> str:
    """Return letters that look random and are the same every time, so that the documents stay as they are."""
    return hashlib.sha256(seed.encode()).hexdigest()[:length]


def compact(value: Any, indent: int = 0, width: int = 108) -> str:
    """Write JSON with line breaks only where a value does not fit on a line."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + indent <= width or not isinstance(value, dict | list) or not value:
        return flat
    deeper = indent + 2
    if isinstance(value, dict):
        inner = [
            f"{json.dumps(key, ensure_ascii=False)}: {compact(item, deeper, width)}"
            for key, item in value.items()
        ]
    else:
        inner = [compact(item, deeper, width) for item in value]
    ends = "{}" if isinstance(value, dict) else "[]"
    lines = f",\n{' ' * deeper}".join(inner)
    return f"{ends[0]}\n{' ' * deeper}{lines}\n{' ' * indent}{ends[1]}"


UNPICKABLE = ("responses", "userFieldsResponses", "customInputs")  # long, and said better by other paths


@dataclass(frozen=True)
class Preview:
    """The body and its type, or what is wrong with the template; and the paths that lead nowhere."""

    body: str = ""
    content_type: str = ""
    problem: str = ""
    unknown: list[str] = field(default_factory=list)


def preview_of(text: str, envelope: Mapping[str, Any]) -> Preview:
    """Render a template with a sample event."""
    try:
        template.check(text)
        body, content_type = template.render(text, envelope)
    except Invalid as error:
        return Preview(problem=error.message)
    shown = pretty(body) if content_type == template.JSON_TYPE else body
    return Preview(shown, content_type, "", template.unknown_paths(text))


def variables_of(envelope: Mapping[str, Any]) -> list[str]:
    """Return the paths that a person would pick from."""
    return [path for path in template.variables(envelope) if path.partition(".")[0] not in UNPICKABLE]
