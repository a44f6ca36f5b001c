"""The body of every event as receivers may rely on it; the field names are those of Cal.com's webhooks.

https://cal.com/docs/developing/guides/automation/webhooks
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, EmailStr, Field, StringConstraints

from calapp.webhooks.models import OPERATIONAL

Instant = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
Moment = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
Offset = Annotated[int, Field(ge=-14 * 60, le=14 * 60)]  # minutes
Link = Annotated[str, StringConstraints(pattern=r"^https?://")]


class Strict(BaseModel):
    """A model that takes neither other types nor further fields."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Language(Strict):
    locale: str


class Organizer(Strict):
    id: int
    name: str
    email: EmailStr
    username: str
    timeZone: str
    language: Language
    timeFormat: str
    utcOffset: Offset


class Attendee(Strict):
    name: str
    email: EmailStr
    firstName: str
    lastName: str
    phoneNumber: str | None
    timeZone: str
    language: Language
    utcOffset: Offset


class AttendeeOfNoShow(Attendee):
    noShow: bool


class Response(Strict):
    label: str
    value: str | bool | int | float | list[str]
    isHidden: bool


class Payload(Strict):
    """What every event has."""

    type: str
    title: str
    eventTitle: str
    eventDescription: str
    description: str
    additionalNotes: str
    startTime: Instant
    endTime: Instant
    length: int
    uid: str
    bookingId: int
    originalUid: str
    sequence: Annotated[int, Field(ge=1)]
    eventTypeId: int
    status: Literal["ACCEPTED", "PENDING", "CANCELLED", "REJECTED"]
    requiresConfirmation: bool
    organizer: Organizer
    attendees: list[Attendee] | list[AttendeeOfNoShow]
    responses: dict[str, Response]
    userFieldsResponses: dict[str, Response]
    customInputs: dict[str, Any]
    location: str
    meetingUrl: Link | None
    videoCallUrl: Link | None
    iCalUID: str
    iCalSequence: int
    metadata: dict[str, str]
    metadataVerified: bool
    tracking: Annotated[
        dict[Literal["utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"], str], Field()
    ]
    bookerUrl: Link
    cancelUrl: Link
    rescheduleUrl: Link


class Former(Strict):
    """What the events of a booking that was moved say of the one before."""

    rescheduleUid: str
    rescheduleId: int
    rescheduleStartTime: Instant
    rescheduleEndTime: Instant
    rescheduledBy: EmailStr
    reschedulingReason: str


class Cancelled(Payload):
    cancellationReason: str
    cancelledBy: EmailStr


class Rejected(Payload):
    rejectionReason: str


class Change(Strict):
    before: Annotated[str | list[EmailStr], Field(alias="from")]
    after: Annotated[str | list[EmailStr], Field(alias="to")]


class Changes(Strict):
    location: Change | None = None
    guests: Change | None = None
    notes: Change | None = None


class Updated(Payload):
    changes: Changes


class Reminder(Payload):
    minutesBefore: Annotated[int, Field(ge=1)]


class NoShow(Payload):
    message: str
    bookingUid: str
    attendees: list[AttendeeOfNoShow]


class AboutWebhook(Strict):
    """What the events about a webhook have in place of a booking."""

    webhookId: Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{36}$")]
    name: str | None
    subscriberUrl: Link
    failingSince: Instant
    failures: Annotated[int, Field(ge=1)]
    lastStatus: int | None
    reason: str
    logUrl: Link
    metadata: Annotated[dict[str, str], Field(max_length=0)]


class SummaryPart(Strict):
    eventTypeId: int | None
    triggerEvent: str
    count: Annotated[int, Field(ge=1)]
    firstId: str
    lastId: str
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Summary(Strict):
    """What the summary of a day has in place of a booking."""

    date: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\d$")]
    timeZone: str
    from_: Annotated[Moment, Field(alias="from")]
    to: Moment
    after: str
    events: list[SummaryPart]
    metadata: Annotated[dict[str, str], Field(max_length=0)]


class Envelope(Strict):
    """The body itself."""

    triggerEvent: str
    createdAt: Moment
    id: Annotated[str, StringConstraints(pattern=r"^evt_[0-9a-f]{24}$")]
    payload: dict[str, Any]


OWN = {
    "BOOKING_CANCELLED": Cancelled,
    "BOOKING_REJECTED": Rejected,
    "BOOKING_NO_SHOW_UPDATED": NoShow,
    "BOOKING_REMINDER": Reminder,
    "BOOKING_UPDATED": Updated,
}


def check(body: dict[str, Any]) -> Payload | AboutWebhook | Summary:
    """Hold a body against the contract; raise pydantic.ValidationError where it breaks it."""
    envelope = Envelope.model_validate(body)
    if envelope.triggerEvent == "DAILY_SUMMARY":
        return Summary.model_validate(envelope.payload)
    if envelope.triggerEvent in OPERATIONAL:
        return AboutWebhook.model_validate(envelope.payload)
    former = {name: value for name, value in envelope.payload.items() if name in Former.model_fields}
    if former or envelope.triggerEvent == "BOOKING_RESCHEDULED":
        Former.model_validate(former)
    own = {name: value for name, value in envelope.payload.items() if name not in former}
    return OWN.get(envelope.triggerEvent, Payload).model_validate(own)
