"""`python -m tools.calcom_routes`: the routes and fields of Cal.com's API v2 that its clients use, and ours.

The table is of the clients of docs/clients.md: n8n, agno, LiveKit, Activepieces, @calcom/cal-mcp and
Cal.com's MCP server, without routes of platforms, organizations and teams. Our column is read from the
declared routes and their schemas: *done*, *refused* (400 with the field's name), or *not ours* (404).
"""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic.alias_generators import to_camel

from calapp.rest.document import PART
from calapp.rest.routes import Operation

EVENT_TYPE = """title slug lengthInMinutes lengthInMinutesOptions description hidden bookingFields
disableGuests slotInterval minimumBookingNotice beforeEventBuffer afterEventBuffer
scheduleId bookingLimitsCount onlyShowFirstAvailableSlot bookingLimitsDuration
bookingWindow offsetStart bookerLayouts confirmationPolicy recurrence
requiresBookerEmailVerification hideCalendarNotes lockTimeZoneToggleOnBookingPage color
seats customName destinationCalendar useDestinationCalendarEmail hideCalendarEventDetails
successRedirectUrl locations"""
WEBHOOK = "subscriberUrl triggers active secret payloadTemplate version"
SCHEDULE = "name timeZone isDefault availability overrides"
RESERVATION = "eventTypeId slotStart slotDuration reservationDuration"
ME = "name email timeZone defaultScheduleId weekStart timeFormat locale bio avatarUrl"
ROUTES = {
    "GET /v2/bookings": """status attendeeEmail attendeeName eventTypeId eventTypeIds teamId teamsIds
        afterStart beforeEnd afterUpdatedAt beforeUpdatedAt sortStart sortEnd sortCreated sortUpdatedAt take
        skip limit cursor""",
    "POST /v2/bookings": """start lengthInMinutes eventTypeId username eventTypeSlug attendee guests
        meetingUrl location metadata bookingFieldsResponses instant recurrenceCount""",
    "GET /v2/bookings/{bookingUid}": "",
    "POST /v2/bookings/{bookingUid}/reschedule": """start reschedulingReason rescheduleReason rescheduledBy
        seatUid""",
    "POST /v2/bookings/{bookingUid}/cancel": "cancellationReason cancelSubsequentBookings seatUid",
    "POST /v2/bookings/{bookingUid}/confirm": "",
    "POST /v2/bookings/{bookingUid}/decline": "reason",
    "POST /v2/bookings/{bookingUid}/mark-absent": "host attendees",
    "PATCH /v2/bookings/{bookingUid}/location": "location",
    "GET /v2/bookings/{bookingUid}/attendees": "",
    "POST /v2/bookings/{bookingUid}/attendees": "name email timeZone phoneNumber language",
    "GET /v2/bookings/{bookingUid}/attendees/{attendeeId}": "",
    "POST /v2/bookings/{bookingUid}/guests": "guests",
    "GET /v2/bookings/{bookingUid}/calendar-links": "",
    "POST /v2/bookings/{bookingUid}/request-reschedule": "rescheduleReason",
    "GET /v2/bookings/{bookingUid}/references": "type",
    "GET /v2/bookings/{bookingUid}/recordings": "",
    "GET /v2/bookings/{bookingUid}/transcripts": "",
    "GET /v2/bookings/{bookingUid}/conferencing-sessions": "",
    "GET /v2/bookings/by-seat/{seatUid}": "",
    "POST /v2/bookings/{bookingUid}/reassign": "",
    "POST /v2/bookings/{bookingUid}/reassign/{userId}": "reason",
    "GET /v2/event-types": "username eventSlug usernames orgSlug orgId sortCreatedAt",
    "POST /v2/event-types": EVENT_TYPE,
    "GET /v2/event-types/{eventTypeId}": "",
    "PATCH /v2/event-types/{eventTypeId}": EVENT_TYPE,
    "DELETE /v2/event-types/{eventTypeId}": "",
    "GET /v2/event-types/{eventTypeId}/webhooks": "take skip",
    "POST /v2/event-types/{eventTypeId}/webhooks": WEBHOOK,
    "DELETE /v2/event-types/{eventTypeId}/webhooks": "",
    "GET /v2/event-types/{eventTypeId}/webhooks/{webhookId}": "",
    "PATCH /v2/event-types/{eventTypeId}/webhooks/{webhookId}": WEBHOOK,
    "DELETE /v2/event-types/{eventTypeId}/webhooks/{webhookId}": "",
    "GET /v2/event-types/{eventTypeId}/private-links": "",
    "POST /v2/event-types/{eventTypeId}/private-links": "expiresAt maxUsageCount",
    "GET /v2/webhooks": "take skip",
    "POST /v2/webhooks": WEBHOOK,
    "GET /v2/webhooks/{webhookId}": "",
    "PATCH /v2/webhooks/{webhookId}": WEBHOOK,
    "DELETE /v2/webhooks/{webhookId}": "",
    "GET /v2/slots": """start end eventTypeId eventTypeSlug username usernames teamSlug organizationSlug
        duration format timeZone bookingUidToReschedule""",
    "GET /v2/slots/available": "startTime endTime eventTypeId",
    "POST /v2/slots/reservations": RESERVATION,
    "GET /v2/slots/reservations/{uid}": "",
    "PATCH /v2/slots/reservations/{uid}": RESERVATION,
    "DELETE /v2/slots/reservations/{uid}": "",
    "GET /v2/schedules": "",
    "POST /v2/schedules": SCHEDULE,
    "GET /v2/schedules/default": "",
    "GET /v2/schedules/{scheduleId}": "",
    "PATCH /v2/schedules/{scheduleId}": SCHEDULE,
    "DELETE /v2/schedules/{scheduleId}": "",
    "GET /v2/me": "",
    "PATCH /v2/me": ME,
    "GET /v2/me/ooo": "",
    "GET /v2/timezones": "",
    "GET /v2/calendars": "",
    "GET /v2/calendars/busy-times": "dateFrom dateTo",
    "POST /v2/calendars/ics-feed/save": "urls readOnly",
    "GET /v2/calendars/ics-feed/check": "",
    "GET /v2/calendars/connections": "",
    "GET /v2/conferencing": "",
    "GET /v2/conferencing/default": "",
    "PUT /v2/destination-calendars": "",
    "GET /v2/teams": "",
}
DONE, REFUSED, IGNORED, NOT_OURS = "done", "refused", "ignored", "not ours"


@dataclass(frozen=True)
class Line:
    """A route of Cal.com's, what ours is, and the same for each field that clients send."""

    method: str
    path: str
    ours: str
    fields: dict[str, str]


def template(path: str) -> str:
    """Return a path without the names of its parameters."""
    return re.sub(r"\{\w+\}", "{}", PART.sub("{}", path))


def lines(operations: Iterable[Operation]) -> Iterator[Line]:
    """Compare the table with declared routes."""
    found = {(one.method, template(one.path)): one for one in operations}
    for route, fields in ROUTES.items():
        method, path = route.split()
        ours = found.get((method, template(path)))
        states = {name: state(ours, name) for name in fields.split()}
        yield Line(method, path, DONE if ours else NOT_OURS, states)


def state(operation: Operation | None, name: str) -> str:
    """Return what a route does with a field of its body or query."""
    if operation is None:
        return NOT_OURS
    model = operation.body or operation.query
    if model is None:
        return IGNORED
    if name in {field.alias or to_camel(key) for key, field in model.model_fields.items()}:
        return DONE
    refused = {path.partition(".")[0].removesuffix("[]") for path in model.unsupported}
    return REFUSED if name in refused else IGNORED


def main() -> int:
    """Print the table."""
    from app import create_app
    from calapp import config
    from calapp.rest.reference import operations

    with create_app(config.prepare({})).app_context():
        found = list(lines(operations()))
    for line in found:
        print(f"{line.ours:9} {line.method:6} {line.path}")
        for kind in (DONE, REFUSED, IGNORED):
            names = [name for name, ours in line.fields.items() if ours == kind]
            if names:
                print(f"{'':17}{kind}: {', '.join(names)}")
    count = sum(line.ours == DONE for line in found)
    print(f"{count} of {len(found)} routes are done here; the others respond with 404.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
