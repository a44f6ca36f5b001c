"""The largest envelope that there can be, and all that can be in one: what templates are checked with."""

from typing import Any

# Longer in bytes than in characters, as most scripts of the world are.
LETTER = "語"
INSTANT = "2027-01-05T10:00:00Z"
UID = "a" * 22
ENTRIES = 50  # metadata entries, keys of 40 characters, values of 500
LONG = LETTER * 5000  # a note or a reason
GUESTS = [f"{number:02}{'g' * 240}@example.com" for number in range(20)]
LANGUAGE = {"locale": "en"}

# Links and questions bring names of their own into these.
OPEN = frozenset(("metadata", "responses", "userFieldsResponses", "customInputs"))


def _attendee(name: str, email: str) -> dict[str, Any]:
    return {
        "name": name,
        "email": email,
        "firstName": name,
        "lastName": "",
        "phoneNumber": "+123456789012345",
        "timeZone": "America/Argentina/Buenos_Aires",
        "language": LANGUAGE,
        "utcOffset": -180,
        "noShow": False,
    }


def _response(label: str, value: object) -> dict[str, Any]:
    return {"label": label, "value": value, "isHidden": False}


NAME = LETTER * 200
EMAIL = f"{'v' * 242}@example.com"
LINK = f"https://{'h' * 100}.example.com"

LARGEST: dict[str, Any] = {
    "triggerEvent": "BOOKING_NO_SHOW_UPDATED",
    "createdAt": "2027-01-04T09:30:00.000Z",
    "id": f"evt_{'0' * 24}",
    "payload": {
        "type": "s" * 60,
        "title": LETTER * 300,
        "eventTitle": LETTER * 100,
        "eventDescription": LONG,
        "description": LONG,
        "additionalNotes": LONG,
        "startTime": INSTANT,
        "endTime": INSTANT,
        "length": 1440,
        "uid": UID,
        "bookingId": 2**31 - 1,
        "originalUid": UID,
        "sequence": 100,
        "eventTypeId": 2**31 - 1,
        "status": "ACCEPTED",
        "requiresConfirmation": False,
        "organizer": {
            "id": 2**31 - 1,
            "name": LETTER * 100,
            "email": EMAIL,
            "username": "u" * 40,
            "timeZone": "America/Argentina/Buenos_Aires",
            "language": LANGUAGE,
            "timeFormat": "HH:mm",
            "utcOffset": -180,
        },
        "attendees": [_attendee(NAME, EMAIL), *(_attendee(guest, guest) for guest in GUESTS)],
        "responses": {
            "name": _response("your_name", NAME),
            "email": _response("email_address", EMAIL),
            "notes": _response("additional_notes", LONG),
            "guests": _response("additional_guests", GUESTS),
        },
        "userFieldsResponses": {},
        "customInputs": {},
        "location": LETTER * 500,
        "meetingUrl": LETTER * 500,
        "videoCallUrl": LETTER * 500,
        "iCalUID": f"{UID}@calapp",
        "iCalSequence": 100,
        "metadata": {f"{number:02}{'k' * 38}": LETTER * 500 for number in range(ENTRIES)},
        "metadataVerified": False,
        "tracking": {
            f"utm_{name}": LETTER * 500 for name in ("source", "medium", "campaign", "term", "content")
        },
        "bookerUrl": LINK,
        "cancelUrl": f"{LINK}/booking/{UID}/cancel",
        "rescheduleUrl": f"{LINK}/booking/{UID}/reschedule",
        "rescheduleUid": UID,
        "rescheduleId": 2**31 - 1,
        "rescheduleStartTime": INSTANT,
        "rescheduleEndTime": INSTANT,
        "rescheduledBy": EMAIL,
        "reschedulingReason": LONG,
        "cancellationReason": LONG,
        "cancelledBy": EMAIL,
        "rejectionReason": LONG,
        "message": f"{EMAIL} no longer marked as no-show",
        "bookingUid": UID,
        # Of the events about webhooks, whose URLs and links may be long, too.
        "webhookId": "w" * 36,
        "name": LETTER * 100,
        "subscriberUrl": f"{LINK}/{'u' * 1880}",
        "failingSince": INSTANT,
        "failures": 2**31 - 1,
        "lastStatus": 503,
        "reason": LETTER * 300,
        "logUrl": f"{LINK}/integrations/webhooks/{2**31 - 1}/deliveries",
        "minutesBefore": 30 * 1440,
        "changes": {
            "location": {"from": LETTER * 500, "to": LETTER * 500},
            "guests": {"from": GUESTS, "to": GUESTS},
            "notes": {"from": LONG, "to": LONG},
        },
        # Of the summary of a day.
        "date": "2027-01-04",
        "timeZone": "America/Argentina/Buenos_Aires",
        "from": "2027-01-04T00:00:00.000Z",
        "to": "2027-01-05T00:00:00.000Z",
        "after": "1000000-00000000",
        "events": [],
    },
}
