"""The rules of a host's calendars: what they block, and how one is added, changed, read and removed."""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.availability.slots import BusyTime
from calapp.calendars.models import ExternalBusy, ExternalCalendar, WhenStale

DAY = timedelta(days=1)


def of_host(session: Session, user_id: int) -> list[ExternalCalendar]:
    """Return a host's calendars, the oldest first."""
    query = select(ExternalCalendar).where(ExternalCalendar.user_id == user_id)
    return list(session.scalars(query.order_by(ExternalCalendar.id)))


def blocked_times(session: Session, host_id: int, first: datetime, last: datetime) -> list[BusyTime]:
    """Return what a host's calendars block around a range, from the copies that are at hand, in order.

    A calendar that is closed when it is stale blocks all of it.
    """
    calendars = [one for one in of_host(session, host_id) if one.blocks]
    first, last = first - DAY, last + 2 * DAY
    if any(one.when_stale == WhenStale.CLOSE and one.stale for one in calendars):
        return [BusyTime(first, last)]
    if not calendars:
        return []
    rows = session.execute(
        select(ExternalBusy.starts_at, ExternalBusy.ends_at)
        .where(ExternalBusy.calendar_id.in_([one.id for one in calendars]))
        .where(
            ExternalBusy.starts_at > first - DAY, ExternalBusy.starts_at < last
        )  # none is longer than a day
        .order_by(ExternalBusy.starts_at)
    )
    return [BusyTime(start, end) for start, end in rows]
