"""Summaries of a day: what happened, in numbers and hashes, so that a receiver notices what it missed."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import case, select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.accounts.service import lock_user
from calapp.clock import iso_milliseconds
from calapp.config import settings
from calapp.db import database_now, db, transaction
from calapp.deliveries import feed, outbox
from calapp.deliveries.models import Event
from calapp.errors import Invalid
from calapp.local_time import zone_of
from calapp.webhooks.triggers import OPERATIONAL, Trigger

NO_WEBHOOK = 0  # what it is about, so that it goes to every webhook of the host, whatever its event type
AFTER_MIDNIGHT = timedelta(minutes=5)
# A clock that was set back puts events out of the order of their numbers; by more than this it never was.
SLACK = timedelta(days=1)


def bounds(day: date, zone: str) -> tuple[datetime, datetime]:
    """Return the instants at which a day begins and ends in a zone: 23 to 25 hours apart."""
    start, end = (
        datetime(at.year, at.month, at.day, tzinfo=zone_of(zone)) for at in (day, day + timedelta(days=1))
    )
    return start.astimezone(UTC), end.astimezone(UTC)


def summary_of(session: Session, user: User, day: date) -> dict[str, Any]:
    """Return what happened on a day in the host's zone, by event type and trigger, as the wire has it.

    `after` is the cursor from which the feed gives the day's events. Raises Invalid for a day that is not
    over.
    """
    start, end = bounds(day, user.time_zone)
    if end > database_now(session):
        raise Invalid(summary=f"This day is not over yet in {user.time_zone}.")
    found: dict[tuple[int, str], list[str]] = {}
    first = 0
    for row in _events(session, user.id, start, end):
        first = first or row.number
        # One that a version before the column wrote has it in its body, until that is erased.
        old = json.loads(row.old_body)["payload"].get("eventTypeId") if row.old_body else None
        event_type_id = row.event_type_id or (old if isinstance(old, int) else 0)
        found.setdefault((event_type_id, row.trigger), []).append(row.uid)
    before = first - 1 if first else feed.first_since(session, user.id, end) - 1
    return {
        "date": day.isoformat(),
        "timeZone": user.time_zone,
        "from": iso_milliseconds(start),
        "to": iso_milliseconds(end),
        "after": feed.cursor_at(session, user.id, before),
        "events": [
            {
                "eventTypeId": event_type_id or None,
                "triggerEvent": trigger,
                "count": len(ids),
                "firstId": ids[0],
                "lastId": ids[-1],
                "sha256": hashlib.sha256("\n".join(ids).encode()).hexdigest(),
            }
            for (event_type_id, trigger), ids in sorted(found.items())
        ],
    }


def _events(session: Session, user_id: int, start: datetime, end: datetime) -> Sequence[Any]:
    """Return the events of a time in the order of their numbers, without those about webhooks."""
    first = feed.first_since(session, user_id, start - SLACK)
    last = feed.first_since(session, user_id, end + SLACK)
    return session.execute(
        select(
            Event.number,
            Event.uid,
            Event.trigger,
            Event.event_type_id,
            case((Event.event_type_id.is_(None), Event.body)).label("old_body"),
        )
        .where(Event.user_id == user_id, Event.number >= first, Event.number < last)
        .where(Event.created_at >= start, Event.created_at < end, Event.trigger.not_in(OPERATIONAL))
        .order_by(Event.number)
    ).all()


def write_summaries() -> None:
    """Write DAILY_SUMMARY of each host whose day has been over for five minutes, and of days missed since."""
    session = db.session()
    at = database_now(session)
    hosts = session.execute(select(User.id, User.time_zone, User.summarized_on)).all()
    session.rollback()  # ends the read
    for user_id, zone, summarized_on in hosts:
        last = _last_day(at, zone)
        if summarized_on is None or summarized_on < last:
            with transaction() as writing:
                write_summary(writing, lock_user(writing, user_id), at)


def _last_day(at: datetime, zone: str) -> date:
    return (at - AFTER_MIDNIGHT).astimezone(zone_of(zone)).date() - timedelta(days=1)


def write_summary(session: Session, user: User, at: datetime) -> None:
    """Write the summaries that a locked host has not got yet; a new host's first day is the one to come.

    Days whose events are no longer kept are left out, and so is everything while no webhook subscribes.
    """
    last, written = _last_day(at, user.time_zone), user.summarized_on
    if written is not None and written >= last:
        return
    user.summarized_on = last
    trigger = Trigger.DAILY_SUMMARY
    if written is None:
        return
    told, _ = outbox.subscribers(session, user.id, None, trigger, "", about=NO_WEBHOOK)
    if not told:
        return
    day = max(written, last - timedelta(days=settings().retention_days))
    while day < last:
        day += timedelta(days=1)
        about = f"summary {user.id} {day}"
        payload = summary_of(session, user, day) | {"metadata": {}}
        outbox.record(
            session,
            user=user,
            trigger=trigger,
            payload=payload,
            chain=about,
            sequence=1,
            subject=about,
            about=NO_WEBHOOK,
        )
