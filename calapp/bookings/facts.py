"""A booking as its event tells it: what an email says, whatever has become of the booking since."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from calapp.bookings.models import Attendee, Booking, Status
from calapp.deliveries.models import Event
from calapp.event_types.models import BY_PHONE, EventType


@dataclass(frozen=True)
class Participant:
    """Somebody at a booking; position 0 is the visitor, and the host has none."""

    name: str
    email: str
    time_zone: str
    phone: str = ""
    position: int = -1
    twelve_hours: bool | None = None  # the clock; None: the usual one where the zone is


@dataclass(frozen=True)
class Previous:
    """The booking that was moved."""

    starts_at: datetime
    ends_at: datetime
    rescheduled_by: str | None
    rescheduling_reason: str


@dataclass(frozen=True)
class Facts:
    """What emails and their calendar files say of a booking, under the names that it has itself."""

    uid: str
    chain: str
    ical_sequence: int
    title: str
    public_title: str
    current_status: Status
    starts_at: datetime
    ends_at: datetime
    location: str
    notes: str
    answers: Mapping[str, Any]
    link_metadata: Mapping[str, str]
    metadata_verified: bool
    host: Participant
    attendees: tuple[Participant, ...]
    rescheduled_from: Previous | None
    cancellation_reason: str | None
    cancelled_by: str | None
    rejection_reason: str | None
    unanswered: bool
    event_type: EventType  # as it is by now
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, event: Event, booking: Booking, *, unanswered: bool) -> Self:
        """Read the facts from an event's body, which must be kept; raise LookupError or ValueError.

        Zones and clocks are the booking's own: a body names UTC for a zone that is no longer known.
        """
        told = json.loads(event.body or "{}")["payload"]
        organizer, known = told["organizer"], {one.email: one for one in booking.attendees}
        previous = None
        if "rescheduleUid" in told:
            start, end = (
                datetime.fromisoformat(told[f"reschedule{which}Time"]) for which in ("Start", "End")
            )
            previous = Previous(start, end, told["rescheduledBy"], told["reschedulingReason"])
        return cls(
            uid=told["uid"],
            chain=told["originalUid"],
            ical_sequence=told["iCalSequence"],
            title=told["title"],
            public_title=f"{told['eventTitle']} with {organizer['name']}",
            current_status=Status(told["status"].lower()),
            starts_at=datetime.fromisoformat(told["startTime"]),
            ends_at=datetime.fromisoformat(told["endTime"]),
            location=told["location"],
            notes=told["additionalNotes"],
            answers=told["userFieldsResponses"],
            link_metadata=told["metadata"],
            metadata_verified=told["metadataVerified"],
            host=Participant(organizer["name"], organizer["email"], booking.host.time_zone),
            attendees=tuple(
                _person(one, position, known.get(one["email"]))
                for position, one in enumerate(told["attendees"])
            ),
            rescheduled_from=previous,
            cancellation_reason=told.get("cancellationReason"),
            cancelled_by=told.get("cancelledBy"),
            rejection_reason=told.get("rejectionReason"),
            unanswered=unanswered,
            event_type=booking.event_type,
            created_at=booking.created_at,
            updated_at=event.created_at,
        )

    @property
    def visitor(self) -> Participant:
        """The attendee who booked; the others are guests."""
        return self.attendees[0]

    @property
    def public_location(self) -> str:
        """Where it takes place, without the visitor's phone number."""
        return BY_PHONE if self.location and self.location == self.visitor.phone else self.location


def _person(told: Mapping[str, Any], position: int, known: Attendee | None) -> Participant:
    zone = known.time_zone if known else told["timeZone"]
    clock = known.twelve_hours if known else None
    return Participant(told["name"], told["email"], zone, told["phoneNumber"] or "", position, clock)
