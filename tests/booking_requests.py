"""Requests as the services take them, unchecked: tests also store what no form lets in."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from calapp.bookings.schemas import AttendeeRequest, BookingRequest, RescheduleRequest


def booking_request(
    start: datetime,
    *,
    name: str = "Ada Byron",
    email: str = "ada@example.com",
    time_zone: str = "Europe/London",
    notes: str = "",
    guests: Sequence[str] = (),
    answers: Mapping[str, object] | None = None,
    phone: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> BookingRequest:
    return BookingRequest.model_construct(
        start=start,
        attendee=AttendeeRequest.model_construct(
            name=name, email=email, time_zone=time_zone, phone_number=phone
        ),
        guests=list(guests),
        metadata={"user_id": "123"} if metadata is None else dict(metadata),
        booking_fields_responses={"notes": notes, **(answers or {})},
    )


def move_request(start: datetime, reason: str = "") -> RescheduleRequest:
    return RescheduleRequest.model_construct(start=start, reason=reason)
