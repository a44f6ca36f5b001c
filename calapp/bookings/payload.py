"""The payload of every event: the same full object whatever happened, with Cal.com's field names.

`Facts` reads it back: an email says what was so at its event, whatever has become of the booking since.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from calapp.bookings.models import Attendee, Booking, Status
from calapp.clock import iso_seconds
from calapp.deliveries.models import Event
from calapp.event_types.models import BY_PHONE, EventType
from calapp.local_time import known_zone, zone_of

LANGUAGE = {"locale": "en"}


def booking_payload(booking: Booking, base_url: str) -> dict[str, Any]:
    """Return the payload of a booking; what only some events have comes last."""
    event_type, host = booking.event_type, booking.host
    payload = {
        "type": event_type.slug,
        "title": booking.title,
        "eventTitle": event_type.title,
        "eventDescription": event_type.description,
        "description": booking.notes,
        "additionalNotes": booking.notes,
        "startTime": iso_seconds(booking.starts_at),
        "endTime": iso_seconds(booking.ends_at),
        "length": booking.minutes,
        "uid": booking.uid,
        "bookingId": booking.id,
        "originalUid": booking.chain,
        "sequence": booking.sequence,
        "eventTypeId": event_type.id,
        "status": booking.status.upper(),
        "requiresConfirmation": event_type.requires_confirmation,
        "organizer": {
            "id": host.id,
            "name": host.name,
            "email": host.email,
            "username": host.username,
            "timeZone": known_zone(host.time_zone),
            "language": LANGUAGE,
            "timeFormat": "HH:mm",
            "utcOffset": utc_offset(host.time_zone, booking.starts_at),
        },
        "attendees": [_attendee(person, booking.starts_at) for person in booking.attendees],
        **_responses(booking),
        "customInputs": {},
        "location": booking.location,
        "meetingUrl": booking.meeting_url,
        "videoCallUrl": booking.meeting_url,
        "iCalUID": f"{booking.chain}@calapp",
        "iCalSequence": booking.ical_sequence,
        "metadata": dict(booking.link_metadata),
        "metadataVerified": booking.metadata_verified,
        "tracking": dict(booking.tracking),
        "bookerUrl": base_url,
        "cancelUrl": f"{base_url}/booking/{booking.uid}/cancel",
        "rescheduleUrl": f"{base_url}/booking/{booking.uid}/reschedule",
    }
    previous = booking.rescheduled_from
    return payload if previous is None else payload | _rescheduled(previous)


def _responses(booking: Booking) -> dict[str, Any]:
    """Return the answers to all questions, and those to the host's, as they were asked when it was booked."""
    visitor = booking.visitor
    own = {name: _response(answer["label"], answer["value"]) for name, answer in booking.answers.items()}
    responses = {
        "name": _response("your_name", visitor.name),
        "email": _response("email_address", visitor.email),
        "notes": _response("additional_notes", booking.notes),
        "guests": _response("additional_guests", [person.email for person in booking.attendees[1:]]),
    }
    if visitor.phone:
        responses["attendeePhoneNumber"] = _response("phone_number", visitor.phone)
    return {"responses": responses | own, "userFieldsResponses": own}


def _rescheduled(previous: Booking) -> dict[str, Any]:
    """Return what a booking that was moved adds about the one before."""
    return {
        "rescheduleUid": previous.uid,
        "rescheduleId": previous.id,
        "rescheduleStartTime": iso_seconds(previous.starts_at),
        "rescheduleEndTime": iso_seconds(previous.ends_at),
        "rescheduledBy": previous.rescheduled_by,
        "reschedulingReason": previous.rescheduling_reason or "",
    }


def cancelled(booking: Booking) -> dict[str, Any]:
    """Return what BOOKING_CANCELLED adds."""
    return {"cancellationReason": booking.cancellation_reason or "", "cancelledBy": booking.cancelled_by}


def rejected(booking: Booking) -> dict[str, Any]:
    """Return what BOOKING_REJECTED adds."""
    return {"rejectionReason": booking.rejection_reason or ""}


def updated(changes: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    """Return what BOOKING_UPDATED adds: each field that changed, from what and to what."""
    return {"changes": {name: {"from": old, "to": new} for name, (old, new) in changes.items()}}


def reminder(before: int) -> dict[str, Any]:
    """Return what BOOKING_REMINDER adds: which of the reminders it is, in minutes before the start."""
    return {"minutesBefore": before}


def no_show(booking: Booking, attendee: Attendee) -> dict[str, Any]:
    """Return what BOOKING_NO_SHOW_UPDATED adds, `noShow` on each attendee included."""
    mark = "marked as no-show" if attendee.no_show else "no longer marked as no-show"
    attendees = [
        _attendee(person, booking.starts_at) | {"noShow": person.no_show} for person in booking.attendees
    ]
    return {"message": f"{attendee.email} {mark}", "bookingUid": booking.uid, "attendees": attendees}


def _attendee(person: Attendee, start: datetime) -> dict[str, Any]:
    first, _, last = person.name.partition(" ")
    return {
        "name": person.name,
        "email": person.email,
        "firstName": first,
        "lastName": last,
        "phoneNumber": person.phone or None,
        "timeZone": known_zone(person.time_zone),
        "language": LANGUAGE,
        "utcOffset": utc_offset(person.time_zone, start),
    }


def utc_offset(zone: str, moment: datetime) -> int:
    """Return a zone's offset from UTC at a moment, in minutes."""
    offset = moment.astimezone(zone_of(zone)).utcoffset()
    return int(offset.total_seconds() // 60) if offset is not None else 0


def _response(label: str, value: object) -> Mapping[str, Any]:
    return {"label": label, "value": value, "isHidden": False}


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
