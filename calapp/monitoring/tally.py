"""Counting new rows into the counters of /metrics, in steps, by the worker's sweep.

The engine writes nothing for it: rows are counted by their ids some seconds after they were written, each
once, before they can be pruned. So reading a counter costs the same whatever stands in the tables.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.orm import Session

from calapp.bookings.models import Booking
from calapp.db import is_sqlite
from calapp.deliveries.models import Attempt, Delivery, Event, State
from calapp.monitoring.models import Tally, TallyCursor

STEP = 2000  # rows that one transaction counts
# Seconds; the first are those of a receiver nearby, the last that of the longest time-out.
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 600.0)

Key = tuple[str, str, str]
Counts = Counter[Key]
Source = Callable[[Session, int, int], tuple[int, int, Counts]]

EVENTS = "events"
BOOKINGS = "bookings"
TRIES = "tries"
FINISHED = "finished"
SECONDS = "seconds"  # a try's time, summed up
BUCKET = "bucket"  # tries that took so many seconds or less, and longer than the bucket before


def count_new(session: Session) -> int:
    """Count a step of new rows of each kind; return how many were counted at most of one kind."""
    return max(_count(session, name, model, source) for name, (model, source) in SOURCES.items())


def anything_new(session: Session) -> bool:
    """Say whether there are rows that are not counted yet."""
    counted = {row.source: row.counted for row in session.scalars(select(TallyCursor))}
    return any(_last(session, model) != counted.get(name, 0) for name, (model, _) in SOURCES.items())


def _last(session: Session, model: Any) -> int:
    return session.scalar(select(func.max(model.id))) or 0


def _count(session: Session, name: str, model: Any, source: Source) -> int:
    cursor = _cursor(session, name)
    if cursor is None:
        return 0
    newest = _last(session, model)
    if newest < cursor.counted:  # the newest rows were removed, and SQLite gives their ids again
        cursor.counted = cursor.seen = newest
    rows, last, counts = source(session, cursor.counted, cursor.seen)
    _add(session, counts)
    whole = rows == STEP
    cursor.counted = last if whole else cursor.seen
    if not whole:
        cursor.seen = newest
    return rows


def _cursor(session: Session, name: str) -> TallyCursor | None:
    """Return the cursor of a source, locked; None while another worker counts."""
    insert = _insert(session)
    session.execute(insert(TallyCursor).values(source=name, counted=0, seen=0).on_conflict_do_nothing())
    query = select(TallyCursor).where(TallyCursor.source == name).with_for_update(skip_locked=True)
    return session.scalar(query, execution_options={"populate_existing": True})


def _insert(session: Session) -> Any:
    return insert_sqlite if is_sqlite(session) else insert_postgresql


def _add(session: Session, counts: Counts) -> None:
    for (metric, event, outcome), value in sorted(counts.items()):
        row = _insert(session)(Tally).values(metric=metric, event=event, outcome=outcome, value=value)
        session.execute(
            row.on_conflict_do_update(
                index_elements=[Tally.metric, Tally.event, Tally.outcome],
                set_={"value": Tally.value + row.excluded.value},
            )
        )


def _events(session: Session, after: int, upto: int) -> tuple[int, int, Counts]:
    query = select(Event.id, Event.trigger).where(Event.id > after, Event.id <= upto)
    rows = session.execute(query.order_by(Event.id).limit(STEP)).all()
    return len(rows), _last_of(rows), Counter((EVENTS, row.trigger, "") for row in rows)


def _bookings(session: Session, after: int, upto: int) -> tuple[int, int, Counts]:
    """Count bookings; one that was moved is not another."""
    query = select(Booking.id, Booking.rescheduled_from_id).where(Booking.id > after, Booking.id <= upto)
    rows = session.execute(query.order_by(Booking.id).limit(STEP)).all()
    new = sum(row.rescheduled_from_id is None for row in rows)
    return len(rows), _last_of(rows), Counter({(BOOKINGS, "", ""): new} if new else {})


def _tries(session: Session, after: int, upto: int) -> tuple[int, int, Counts]:
    query = (
        select(
            Attempt.id,
            Attempt.status,
            Attempt.failure_code,
            Attempt.total_ms,
            Event.trigger,
            Delivery.state,
            (Attempt.number == Delivery.attempts).label("last"),
        )
        .join(Delivery, Delivery.id == Attempt.delivery_id)
        .join(Event, Event.id == Delivery.event_id)
        .where(Attempt.id > after, Attempt.id <= upto)
    )
    rows = session.execute(query.order_by(Attempt.id).limit(STEP)).all()
    counts: Counts = Counter()
    for row in rows:
        _note(counts, row)
    return len(rows), _last_of(rows), counts


def _note(counts: Counts, row: Any) -> None:
    counts[TRIES, row.trigger, outcome(row.failure_code, row.status)] += 1
    if row.failure_code is None:
        counts[FINISHED, row.trigger, State.DELIVERED.value] += 1
    elif row.last and row.state == State.FAILED:
        counts[FINISHED, row.trigger, State.FAILED.value] += 1
    seconds = (row.total_ms or 0.0) / 1000
    bucket = next((most for most in BUCKETS if seconds <= most), BUCKETS[-1])
    counts[BUCKET, "", str(bucket)] += 1
    counts[SECONDS, "", ""] += seconds  # type: ignore[assignment]


def outcome(failure_code: str | None, status: int | None) -> str:
    """Return a try's outcome in one word: delivered, http_5xx, or the failure's own code."""
    if failure_code is None:
        return "delivered"
    return f"http_{status // 100}xx" if failure_code == "status" and status else failure_code


def _last_of(rows: Any) -> int:
    return rows[-1].id if rows else 0


SOURCES: dict[str, tuple[Any, Source]] = {
    "event": (Event, _events),
    "booking": (Booking, _bookings),
    "attempt": (Attempt, _tries),
}
