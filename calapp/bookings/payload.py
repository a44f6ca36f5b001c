"""The payload of every event: the same full object whatever happened, with Cal.com's field names."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from calapp.bookings.models import Attendee, Booking
from calapp.clock import iso_seconds
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
