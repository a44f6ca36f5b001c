"""Bookings and free times as the API shows them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field
from typing_extensions import TypedDict

from calapp.availability.slots import by_local_date
from calapp.bookings.models import UNANSWERED, Attendee, Booking, SlotReservation, Status
from calapp.bookings.queries import SlotsQuery
from calapp.local_time import known_zone
from calapp.rest.schemas import Instant, PageInfo, ResponseSchema


class BookingsPage(PageInfo):
    """Where in the list a page of bookings is; hasMore and nextCursor are other words for the same."""

    has_more: bool
    next_cursor: str | None


class Host(ResponseSchema):
    """The host of a booking."""

    id: int
    name: str
    email: str
    username: str
    time_zone: str


class Person(ResponseSchema):
    """An attendee."""

    name: str
    email: str
    phone_number: str | None
    time_zone: str
    language: Literal["en"] = "en"
    absent: bool


class AttendeeResponse(Person):
    """An attendee of a booking."""

    id: int
    booking_id: int


class CalendarLink(ResponseSchema):
    """An address that puts a booking into a calendar."""

    label: Annotated[str, Field(examples=["Google Calendar"])]
    link: str


class EventTypeName(ResponseSchema):
    """The event type of a booking."""

    id: int
    slug: str


class BookingResponse(ResponseSchema):
    """A booking."""

    id: int
    uid: Annotated[str, Field(description="Anyone who knows it can view, cancel and reschedule the booking.")]
    title: str
    description: Annotated[str, Field(description="The visitor's notes.")]
    status: Status
    start: Instant
    end: Instant
    duration: Annotated[int, Field(description="Minutes.")]
    event_type_id: int
    event_type: EventTypeName
    hosts: list[Host]
    attendees: Annotated[list[Person], Field(description="The visitor first, then the guests.")]
    guests: list[str]
    location: str | None
    meeting_url: Annotated[str | None, Field(description="The location when it is a link.")]
    video_call_url: Annotated[str | None, Field(description="The same as meetingUrl.")]
    absent_host: Literal[False] = False
    metadata: dict[str, str]
    metadata_verified: Annotated[
        bool, Field(description="Whether it came from a signed link, so that nobody has changed it.")
    ]
    tracking: Annotated[dict[str, str], Field(description="The link's utm_… parameters, by name.")]
    booking_fields_responses: dict[str, Any]
    cancellation_reason: str | None
    cancelled_by_email: str | None
    rejection_reason: str | None
    rescheduling_reason: str | None
    rescheduled_from_uid: str | None
    rescheduled_to_uid: str | None
    rescheduled_by_email: str | None
    ics_uid: str
    created_at: Instant
    updated_at: Instant


class SlotStart(TypedDict):  # thousands of them are made at once
    """An available time in the requested time zone."""

    start: Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Slot(SlotStart):
    """An available time with its end: with format=range."""

    end: Annotated[str, Field(json_schema_extra={"format": "date-time"})]


def shown(booking: Booking) -> BookingResponse:
    """Return a booking as the API shows it."""
    host, previous = booking.host, booking.rescheduled_from
    return BookingResponse(
        id=booking.id,
        uid=booking.uid,
        title=booking.title,
        description=booking.notes,
        status=booking.current_status,
        start=booking.starts_at,
        end=booking.ends_at,
        duration=booking.minutes,
        event_type_id=booking.event_type_id,
        event_type=EventTypeName(id=booking.event_type_id, slug=booking.event_type.slug),
        hosts=[
            Host(
                id=host.id,
                name=host.name,
                email=host.email,
                username=host.username,
                time_zone=known_zone(host.time_zone),
            )
        ],
        attendees=[_attendee(one) for one in booking.attendees],
        guests=[one.email for one in booking.attendees[1:]],
        location=booking.location or None,
        meeting_url=booking.meeting_url,
        video_call_url=booking.meeting_url,
        metadata=booking.link_metadata,
        metadata_verified=booking.metadata_verified,
        tracking=booking.tracking,
        booking_fields_responses=_responses(booking),
        cancellation_reason=booking.cancellation_reason,
        cancelled_by_email=booking.cancelled_by,
        rejection_reason=UNANSWERED if booking.unanswered else booking.rejection_reason,
        rescheduling_reason=previous.rescheduling_reason if previous else None,
        rescheduled_from_uid=previous.uid if previous else None,
        rescheduled_to_uid=booking.rescheduled_to_uid,
        rescheduled_by_email=booking.rescheduled_by,
        ics_uid=f"{booking.chain}@calapp",
        created_at=booking.created_at,
        updated_at=booking.updated_at,
    )


def _attendee(one: Attendee) -> Person:
    zone, phone = known_zone(one.time_zone), one.phone or None
    return Person(name=one.name, email=one.email, phone_number=phone, time_zone=zone, absent=one.no_show)


def attendee_shown(one: Attendee) -> AttendeeResponse:
    """Return an attendee as the API shows it by itself."""
    return AttendeeResponse(id=one.id, booking_id=one.booking_id, **_attendee(one).model_dump())


def _responses(booking: Booking) -> dict[str, Any]:
    own = {name: answer["value"] for name, answer in booking.answers.items()}
    visitor = booking.visitor
    phone = {"attendeePhoneNumber": visitor.phone} if visitor.phone else {}
    return {"name": visitor.name, "email": visitor.email, **phone, "notes": booking.notes} | own


class OldSlot(ResponseSchema):
    """An available time in the shape of Cal.com's version 2024-04-15."""

    time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class OldRange(ResponseSchema):
    """An available time with its end in the shape of Cal.com's version 2024-04-15."""

    start_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    end_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class OldSlots(ResponseSchema):
    """Available times by date in the shape of Cal.com's version 2024-04-15."""

    slots: dict[str, list[OldRange | OldSlot]]


class ReservationResponse(ResponseSchema):
    """A held time."""

    reservation_uid: Annotated[
        str, Field(description="Anyone who knows it can view, change and delete the reservation.")
    ]
    event_type_id: int
    slot_start: Instant
    slot_end: Instant
    slot_duration: Annotated[int, Field(description="Minutes.")]
    reservation_duration: Annotated[int, Field(description="Minutes.")]
    reservation_until: Instant


def reserved(reservation: SlotReservation) -> ReservationResponse:
    """Return a reservation as the API shows it."""
    return ReservationResponse(
        reservation_uid=reservation.uid,
        event_type_id=reservation.event_type_id,
        slot_start=reservation.starts_at,
        slot_end=reservation.ends_at,
        slot_duration=int((reservation.ends_at - reservation.starts_at).total_seconds() // 60),
        reservation_duration=reservation.minutes,
        reservation_until=reservation.expires_at,
    )


MINUTES = [f"{minute // 60:02}:{minute % 60:02}" for minute in range(1440)]  # of a day


def slots_by_date(
    slots: Sequence[datetime], query: SlotsQuery, minutes: int
) -> dict[str, list[Slot | SlotStart]]:
    """Return free times by their date in the zone that was asked for."""
    zone, length = ZoneInfo(query.time_zone), timedelta(minutes=minutes)
    days: dict[str, list[Slot | SlotStart]] = {}
    for day, starts in by_local_date(slots, query.time_zone).items():
        shown = _in_zone(starts, zone)
        found: list[Slot | SlotStart] = [{"start": text} for text in shown]
        if query.format == "range":
            ends = _in_zone([start + length for start in starts], zone)
            found = [Slot(start=start, end=end) for start, end in zip(shown, ends, strict=True)]
        days[day.isoformat()] = found
    return days


def _in_zone(moments: Sequence[datetime], zone: ZoneInfo) -> list[str]:
    """Write instants, which are in UTC and in order, in a zone: 2027-01-05T11:00:00.000+01:00, or with Z.

    Those of one date and offset differ in nothing but the minute: thousands of them are written at once.
    """
    first, last = (one.astimezone(zone) for one in (moments[0], moments[-1]))
    end = "Z" if zone.key == "UTC" else first.isoformat()[19:]
    same = (first.date(), first.utcoffset()) == (last.date(), last.utcoffset())
    if not same or first.second or first.microsecond:
        texts = [moment.astimezone(zone).isoformat(timespec="milliseconds") for moment in moments]
        return [f"{text[:23]}Z" for text in texts] if zone.key == "UTC" else texts
    shift = first.hour * 60 + first.minute - moments[0].hour * 60 - moments[0].minute
    day = f"{first:%Y-%m-%dT}"
    return [f"{day}{MINUTES[(one.hour * 60 + one.minute + shift) % 1440]}:00.000{end}" for one in moments]
