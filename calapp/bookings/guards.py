"""Find a booking and check that it is mine."""

from calapp.accounts.guards import current_host
from calapp.bookings import service
from calapp.bookings.models import Booking
from calapp.db import db
from calapp.errors import NotFound


def own_booking(uid: str) -> Booking:
    """Return the signed-in host's booking with this uid; raise NotFound for any other."""
    booking = service.find(db.session(), uid)
    if booking is None or booking.host_id != current_host().id:
        raise NotFound
    return booking
