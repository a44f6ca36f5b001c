"""Reminders of a booking: which comes next, and which are due."""

from datetime import datetime, timedelta

from calapp.bookings.models import Booking, Status
from calapp.clock import now


def next_reminder(booking: Booking) -> datetime | None:
    """Return when the next reminder of a confirmed booking is due, or None.

    A reminder whose time has already passed is not caught up on: who books an hour ahead gets none for the
    day before.
    """
    if booking.status != Status.ACCEPTED:
        return None
    moments = (booking.starts_at - timedelta(minutes=before) for before in booking.event_type.reminders)
    return min((moment for moment in moments if moment > now()), default=None)


def take_due(booking: Booking) -> list[int]:
    """Take the reminders that are due, and return them in minutes before the start, the earliest first.

    The caller holds the host's lock and has read the booking since, so each is taken once. Several are due
    after no worker ran for a while; none once the meeting has started, and none that the host has removed.
    """
    due_at, at = booking.reminder_at, now()
    if due_at is None or due_at > at or booking.status != Status.ACCEPTED:
        return []
    booking.reminder_at = next_reminder(booking)
    if booking.starts_at <= at:
        return []
    found = booking.event_type.reminders
    return [before for before in found if due_at <= booking.starts_at - timedelta(minutes=before) <= at]
