"""A host's hours: schedules with weekly ranges and dates that differ, and time off."""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import Session

from calapp import limits
from calapp.accounts.guards import current_host
from calapp.accounts.models import User
from calapp.accounts.service import lock_user, newcomer_gifts, schedule_choosers
from calapp.availability.models import DateOverride, Schedule, TimeOff, WeeklyHours
from calapp.availability.slots import BusyTime, Hours, Range, whole_days
from calapp.clock import now
from calapp.db import db
from calapp.errors import Conflict, Invalid, NotFound
from calapp.local_time import zone_of
from calapp.statements import Plain, day

if TYPE_CHECKING:  # a worker imports this, and does without schemas
    from calapp.availability.schemas import ScheduleBody, TimeOffInput

DAY = dt.timedelta(days=1)
STEP = 1000  # rows that one step of maintenance changes
FIRST_NAME = "Working hours"  # of the schedule that a newcomer begins with
OFFICE = [[Range(9 * 60, 17 * 60)]] * 5 + [[], []]  # what most people want: Monday to Friday, 9 to 17

# Of a schedule; those that name none are the default one's.
HOURS = Plain("""SELECT weekday, CAST(NULL AS date), start_minute, end_minute FROM weekly_hours
WHERE user_id = :host AND (schedule_id = CAST(:schedule AS integer) OR (schedule_id IS NULL AND :default))
UNION ALL
SELECT NULL, date, start_minute, end_minute FROM date_override
WHERE user_id = :host AND (schedule_id = CAST(:schedule AS integer) OR (schedule_id IS NULL AND :default))
ORDER BY 1, 2, 3""")
AWAY = Plain("""SELECT first_day, last_day, time_zone FROM time_off
JOIN "user" ON "user".id = time_off.user_id
WHERE time_off.user_id = :host AND last_day >= :since AND first_day <= :until ORDER BY first_day""")

# What uses each of a host's schedules, as titles by the schedule's id, and what has to forget one before it
# is deleted: packages above this one know them.
users_of: list[Callable[[Session, int], Mapping[int, Sequence[str]]]] = []
before_delete: list[Callable[[Session, Schedule], None]] = []


def hours_of(session: Session, user: User, schedule_id: int | None = None) -> Hours:
    """Return a schedule's hours as the slot function wants them; by default those of the default one.

    They are the default one's, too, for a schedule that was deleted meanwhile.
    """
    if schedule_id is not None and session.get(Schedule, schedule_id) is None:
        schedule_id = None
    default = schedule_id is None or schedule_id == user.default_schedule_id
    which = {"host": user.id, "schedule": schedule_id or user.default_schedule_id, "default": default}
    weekly: dict[int, list[Range]] = {}
    overrides: dict[dt.date, list[Range]] = {}
    for weekday, date, start, end in HOURS.read(session, **which):
        if weekday is not None:
            weekly.setdefault(weekday, []).append(Range(start, end))
            continue
        ranges = overrides.setdefault(day(date), [])
        if start is not None and end is not None:
            ranges.append(Range(start, end))
    return Hours(zone_name(session, user, schedule_id), weekly, overrides)


def zone_name(session: Session, user: User, schedule_id: int | None) -> str:
    """Return the name of the zone that a schedule's hours are in; the host's for the default one."""
    found = None if schedule_id is None else session.get(Schedule, schedule_id)
    return found.time_zone if found else user.time_zone


def _rows_of(
    table: type[WeeklyHours | DateOverride], user: User, schedule_id: int | None
) -> list[ColumnElement[bool]]:
    """Match the rows of a schedule; those that name none are the default one's."""
    named = table.schedule_id == (schedule_id or user.default_schedule_id)
    default = schedule_id is None or schedule_id == user.default_schedule_id
    rows = or_(table.schedule_id.is_(None), named) if default else named
    return [table.user_id == user.id, rows]


def today_of(user: User, zone: str | None = None) -> dt.date:
    """Return today's date where a host is, or in a zone."""
    return now().astimezone(zone_of(zone or user.time_zone)).date()


def replace_hours(
    session: Session, user: User, week: Sequence[Sequence[Range]], schedule_id: int | None = None
) -> None:
    """Put these hours, those of Monday first, in place of a schedule's current ones."""
    session.execute(delete(WeeklyHours).where(*_rows_of(WeeklyHours, user, schedule_id)))
    for weekday, ranges in enumerate(week):
        for one in ranges:
            row = WeeklyHours(user_id=user.id, schedule_id=schedule_id or user.default_schedule_id)
            row.weekday, row.start_minute, row.end_minute = weekday, one.start_minute, one.end_minute
            session.add(row)


def set_overrides(
    session: Session,
    user: User,
    dates: Collection[dt.date],
    ranges: Sequence[Range],
    schedule_id: int | None = None,
) -> None:
    """Give dates hours of their own, or with no range make them days off.

    Raises LimitReached for one date too many; dates that are over do not count, and are removed.
    """
    lock_user(session, user.id)  # two at once may not both be the last one
    today, mine = today_of(user), _rows_of(DateOverride, user, schedule_id)
    over = DateOverride.date < today - 2 * DAY
    session.execute(delete(DateOverride).where(*mine, or_(over, DateOverride.date.in_(dates))))
    kept = session.scalar(
        select(func.count(DateOverride.date.distinct())).where(*mine, DateOverride.date >= today)
    )
    if (kept or 0) + len(set(dates)) > limits.DATES_PER_HOST:
        most = limits.DATES_PER_HOST
        words = f"You have reached the limit of {most} dates. Please remove one first."
        raise limits.reached("DATES_PER_HOST", host=user.id, words=words, field="date")
    _add_dates(session, user, dict.fromkeys(dates, ranges), schedule_id)


def _add_dates(
    session: Session, user: User, dates: Mapping[dt.date, Sequence[Range]], schedule_id: int | None
) -> None:
    for date, ranges in dates.items():
        rows: list[Range | None] = [*ranges] or [None]
        for one in rows:
            row = DateOverride(user_id=user.id, schedule_id=schedule_id or user.default_schedule_id)
            row.date = date
            row.start_minute = one.start_minute if one else None
            row.end_minute = one.end_minute if one else None
            session.add(row)


def remove_override(session: Session, user: User, date: dt.date, schedule_id: int | None = None) -> None:
    """Give a date its weekday's hours again."""
    mine = _rows_of(DateOverride, user, schedule_id)
    session.execute(delete(DateOverride).where(*mine, DateOverride.date == date))


def schedules_of(session: Session, user: User) -> list[Schedule]:
    """Return a host's schedules, the default one first."""
    found = session.scalars(select(Schedule).where(Schedule.user_id == user.id).order_by(Schedule.id))
    return sorted(found, key=lambda one: not one.is_default)


def own_schedule(schedule_id: int) -> Schedule:
    """Return the schedule with this id of the host who asks; raise NotFound for any other."""
    found = db.session().get(Schedule, schedule_id)
    if found is None or found.user_id != current_host().id:
        raise NotFound
    return found


def default_schedule(session: Session, user: User) -> Schedule:
    """Return a host's default schedule; make it for one whom a version without schedules signed up."""
    user = lock_user(session, user.id)
    found = session.get(Schedule, user.default_schedule_id) if user.default_schedule_id else None
    if found is None:
        found = Schedule(user_id=user.id, name=FIRST_NAME, own_time_zone=user.time_zone)
        session.add(found)
        session.flush()  # gives it its id
        user.default_schedule_id = found.id
    return found


def give_missing_schedules(session: Session) -> int:
    """Give a step of hosts whom a version without schedules signed up their default one."""
    users = session.scalars(select(User).where(User.default_schedule_id.is_(None)).limit(STEP)).all()
    for user in users:
        default_schedule(session, user)
    return len(users)


def create_schedule(session: Session, user: User, wanted: "ScheduleBody") -> Schedule:
    """Make a schedule; raise LimitReached for one too many."""
    default_schedule(session, user)  # so that this is not the only one
    mine = select(func.count(Schedule.id)).where(Schedule.user_id == user.id)
    if (session.scalar(mine) or 0) >= limits.SCHEDULES_PER_HOST:
        most = limits.SCHEDULES_PER_HOST
        words = f"You have reached the limit of {most} schedules. Please delete one first."
        raise limits.reached("SCHEDULES_PER_HOST", host=user.id, words=words, field="name")
    schedule = Schedule(user_id=user.id, name=wanted.name, own_time_zone=wanted.time_zone)
    session.add(schedule)
    session.flush()  # gives it its id, which its hours carry
    update_schedule(session, schedule, wanted)
    return schedule


def update_schedule(session: Session, schedule: Schedule, wanted: "ScheduleBody") -> None:
    """Change a schedule: of a change (SchedulePatch) what was given.

    Raises Conflict when the default one would be none any more.
    """
    from calapp.availability.schemas import SchedulePatch  # noqa: PLC0415 (see above)

    user = lock_user(session, schedule.user_id)
    patch = isinstance(wanted, SchedulePatch)
    given = set(wanted.model_fields_set if patch else type(wanted).model_fields)
    if "is_default" in given and wanted.is_default != schedule.is_default:
        if schedule.is_default:
            raise Conflict("This is your default schedule. Make another one the default instead.")
        make_default(session, schedule)
    for name in given & {"name", "time_zone"}:
        setattr(schedule, name, getattr(wanted, name))
    if "availability" in given:
        replace_hours(session, user, wanted.week, schedule.id)
    if "overrides" in given:
        session.execute(delete(DateOverride).where(*_rows_of(DateOverride, user, schedule.id)))
        _add_dates(session, user, wanted.dates, schedule.id)


def make_default(session: Session, schedule: Schedule) -> None:
    """Let event types that name no schedule have this one; the host gets its zone."""
    user = lock_user(session, schedule.user_id)
    before = default_schedule(session, user)
    if before is schedule:
        return
    before.own_time_zone = user.time_zone
    for table in (WeeklyHours, DateOverride):
        unnamed = update(table).where(table.user_id == user.id, table.schedule_id.is_(None))
        session.execute(unnamed.values(schedule_id=before.id))
    user.default_schedule_id, user.time_zone = schedule.id, schedule.own_time_zone


def delete_schedule(session: Session, schedule: Schedule) -> None:
    """Delete a schedule; what used it has the default one. Raise Conflict for the default one itself."""
    lock_user(session, schedule.user_id)
    if schedule.is_default:
        raise Conflict("The default schedule cannot be deleted. Please make another one the default first.")
    for forget in before_delete:
        forget(session, schedule)
    for table in (WeeklyHours, DateOverride):
        session.execute(delete(table).where(table.schedule_id == schedule.id))
    session.delete(schedule)


def titles_by_schedule(session: Session, user: User) -> dict[int, list[str]]:
    """Return the titles of what uses each schedule by its name, by the schedule's id."""
    found: dict[int, list[str]] = {}
    for find in users_of:
        for schedule_id, titles in find(session, user.id).items():
            found.setdefault(schedule_id, []).extend(titles)
    return found


def time_off_of(session: Session, user: User) -> Sequence[TimeOff]:
    """Return a host's time off that is not over, the earliest first."""
    mine = select(TimeOff).where(TimeOff.user_id == user.id, TimeOff.last_day >= today_of(user))
    return session.scalars(mine.order_by(TimeOff.first_day, TimeOff.id)).all()


def add_time_off(session: Session, user: User, wanted: "TimeOffInput") -> TimeOff:
    """Give a host time off; raise LimitReached for one too many. What is over for a year is removed."""
    lock_user(session, user.id)  # two at once may not both be the last one
    old = TimeOff.last_day < today_of(user) - 365 * DAY
    session.execute(delete(TimeOff).where(TimeOff.user_id == user.id, old))
    if len(time_off_of(session, user)) >= limits.TIME_OFF_PER_HOST:
        most = limits.TIME_OFF_PER_HOST
        words = f"You have reached the limit of {most} times off. Please remove one first."
        raise limits.reached("TIME_OFF_PER_HOST", host=user.id, words=words, field="first_day")
    made = TimeOff(user_id=user.id, first_day=wanted.first_day, last_day=wanted.last_day, note=wanted.note)
    session.add(made)
    return made


def remove_time_off(session: Session, user: User, time_off_id: int) -> None:
    """Remove time off; nothing happens when the host has none with this id."""
    session.execute(delete(TimeOff).where(TimeOff.user_id == user.id, TimeOff.id == time_off_id))


def away_times(session: Session, host_id: int, first: dt.datetime, last: dt.datetime) -> list[BusyTime]:
    """Return a host's time off around a range, as whole days of the host's own zone, in order."""
    since, until = (first - 2 * DAY).date(), (last + 2 * DAY).date()
    found = AWAY.read(session, host=host_id, since=since, until=until)
    return [whole_days(day(start), day(end), zone) for start, end, zone in found]


def give_office_hours(session: Session, user: User) -> None:
    """Give a newcomer a schedule with office hours."""
    default_schedule(session, user)
    replace_hours(session, user, OFFICE)


newcomer_gifts.append(give_office_hours)


def choose_default(session: Session, user: User, schedule_id: int) -> None:
    """Make a schedule of this user the default one; raise Invalid for any other."""
    found = session.get(Schedule, schedule_id)
    if found is None or found.user_id != user.id:
        words = "Please choose one of your schedules."
        raise Invalid(words, default_schedule_id=words)
    make_default(session, found)


schedule_choosers.append(choose_default)
