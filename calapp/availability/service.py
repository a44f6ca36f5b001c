"""A host's hours: weekly ranges and dates that differ."""

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from calapp import limits
from calapp.accounts.models import User
from calapp.accounts.service import lock_user, newcomer_gifts
from calapp.availability.models import DateOverride, WeeklyHours
from calapp.availability.slots import Hours, Range
from calapp.clock import now
from calapp.local_time import zone_of


def hours_of(session: Session, user: User) -> Hours:
    """Return a host's hours as the slot function wants them."""
    weekly: dict[int, list[Range]] = {}
    rows = session.scalars(
        select(WeeklyHours)
        .where(WeeklyHours.user_id == user.id)
        .order_by(WeeklyHours.weekday, WeeklyHours.start_minute)
    )
    for row in rows:
        weekly.setdefault(row.weekday, []).append(Range(row.start_minute, row.end_minute))
    return Hours(user.time_zone, weekly, overrides_of(session, user))


def overrides_of(session: Session, user: User) -> dict[dt.date, list[Range]]:
    """Return the dates with hours of their own, in order; an empty list is a day off."""
    found: dict[dt.date, list[Range]] = {}
    rows = session.scalars(
        select(DateOverride)
        .where(DateOverride.user_id == user.id)
        .order_by(DateOverride.date, DateOverride.start_minute)
    )
    for row in rows:
        ranges = found.setdefault(row.date, [])
        if row.start_minute is not None and row.end_minute is not None:
            ranges.append(Range(row.start_minute, row.end_minute))
    return found


def today_of(user: User) -> dt.date:
    """Return today's date where a host is."""
    return now().astimezone(zone_of(user.time_zone)).date()


def replace_hours(session: Session, user: User, week: Sequence[Sequence[Range]]) -> None:
    """Put these hours, those of Monday first, in place of the host's current ones."""
    session.execute(delete(WeeklyHours).where(WeeklyHours.user_id == user.id))
    for weekday, ranges in enumerate(week):
        for one in ranges:
            minutes = {"start_minute": one.start_minute, "end_minute": one.end_minute}
            session.add(WeeklyHours(user_id=user.id, weekday=weekday, **minutes))


def set_override(session: Session, user: User, date: dt.date, ranges: Sequence[Range]) -> None:
    """Give a date hours of its own, or with no range make it a day off.

    Raises LimitReached for one date too many; dates that are over do not count, and are removed.
    """
    lock_user(session, user.id)  # two at once may not both be the last one
    over = today_of(user) - dt.timedelta(days=2)
    session.execute(delete(DateOverride).where(DateOverride.user_id == user.id, DateOverride.date < over))
    remove_override(session, user, date)
    mine = select(func.count(DateOverride.date.distinct())).where(
        DateOverride.user_id == user.id, DateOverride.date >= today_of(user)
    )
    if (session.scalar(mine) or 0) >= limits.DATES_PER_HOST:
        most = limits.DATES_PER_HOST
        words = f"You have reached the limit of {most} dates. Please remove one first."
        raise limits.reached("DATES_PER_HOST", host=user.id, words=words, field="date")
    for one in ranges:
        session.add(
            DateOverride(user_id=user.id, date=date, start_minute=one.start_minute, end_minute=one.end_minute)
        )
    if not ranges:
        session.add(DateOverride(user_id=user.id, date=date))


def remove_override(session: Session, user: User, date: dt.date) -> None:
    """Give a date its weekday's hours again."""
    session.execute(delete(DateOverride).where(DateOverride.user_id == user.id, DateOverride.date == date))


def give_office_hours(session: Session, user: User) -> None:
    """Give a newcomer what most people want: Monday to Friday, 9 to 17."""
    replace_hours(session, user, [[Range(9 * 60, 17 * 60)]] * 5)


newcomer_gifts.append(give_office_hours)
