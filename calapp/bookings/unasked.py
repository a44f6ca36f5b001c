"""What a booking over the API says beyond what its event type asks: refused, unless it changes nothing."""

from calapp.bookings.schemas import BookingRequest
from calapp.errors import NotSupported
from calapp.event_types.models import EventType
from calapp.rest.unsupported import NOTHING


def refuse_unknown_answers(body: BookingRequest, event_type: EventType) -> None:
    """Raise NotSupported for answers to what the event type does not ask, by their names.

    Name, email and guests may be repeated as they are.
    """
    asked = {"notes", "attendeePhoneNumber", *(question["name"] for question in event_type.questions)}
    repeated = {"name": body.attendee.name, "email": body.attendee.email, "guests": body.guests}
    words = "This event type does not ask this."
    problems = {
        f"bookingFieldsResponses.{name[:60]}": words
        for name, value in body.booking_fields_responses.items()
        if name not in asked and value is not None and value not in NOTHING and repeated.get(name) != value
    }
    if problems:
        raise NotSupported(" ".join(f"{name}: {text}" for name, text in problems.items()), **problems)
