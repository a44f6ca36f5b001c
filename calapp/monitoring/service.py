"""Counting new rows into the counters of /metrics, in steps, by the worker's sweep.

The engine writes nothing for it: rows are counted by their ids some seconds after they were written, each
once, before they can be pruned. So reading a counter costs the same whatever stands in the tables.
"""

import queue
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.orm import Session

from calapp import broker
from calapp.bookings.models import Booking
from calapp.db import database_now, is_sqlite
from calapp.deliveries.claims import ready
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
    """Return whether there are rows that are not counted yet."""
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


Given = TypeVar("Given")

PATIENCE = 2.0  # seconds for the database to answer /healthz
LATE = 60.0  # seconds; what could be sent and has waited longer is a problem
# How old what waits is, youngest first; the last takes the rest.
AGES = (
    ("under a minute", timedelta(minutes=1)),
    ("under an hour", timedelta(hours=1)),
    ("under a day", timedelta(days=1)),
    ("a day or more", None),
)
_askers = threading.BoundedSemaphore(4)  # so that a database that hangs holds so many threads at most


@dataclass(frozen=True)
class Health:
    """What /healthz tells; `None` is not known. Without the database there is nothing to serve."""

    database: bool
    broker: bool
    workers: int | None  # processes that deliver
    oldest: float | None  # seconds for which the delivery that could be sent has waited longest

    @property
    def problems(self) -> list[str]:
        """What keeps the app from its work, a sentence each."""
        found = (
            [] if self.database else ["The database does not respond, or has no tables (flask db upgrade)."]
        )
        if not self.broker:
            found.append("Valkey does not respond; workers check the database once a second instead.")
        if self.workers == 0:
            found.append("No worker delivers (flask worker).")
        if (self.oldest or 0.0) > LATE:
            found.append("A delivery that could be sent has waited for over a minute.")
        return found

    @property
    def status(self) -> str:
        """`down` when no page can be served, `degraded` when something else is wrong, else `ok`."""
        if not self.database:
            return "down"
        return "degraded" if self.problems else "ok"


def health(read_waiting: Callable[[], float]) -> Health:
    """Ask every part; `read_waiting` is asked in a thread of its own, since a database may hang."""
    try:
        oldest: float | None = within(PATIENCE, read_waiting)
    except Exception:  # noqa: BLE001 (whatever is wrong with it, it cannot serve)
        oldest = None
    alive = broker.alive()
    workers = broker.workers_alive() if alive else None
    return Health(oldest is not None, alive, workers, oldest)


def within(seconds: float, call: Callable[[], Given]) -> Given:
    """Return what a call gives; raise TimeoutError when it takes longer, and whatever it raises."""
    if not _askers.acquire(blocking=False):
        raise TimeoutError
    answers: queue.SimpleQueue[tuple[Given | None, Exception | None]] = queue.SimpleQueue()
    try:
        threading.Thread(target=_ask, args=(call, answers), name="asker", daemon=True).start()
    except RuntimeError:  # no thread is to be had now
        _askers.release()
        raise
    try:
        given, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return given  # type: ignore[return-value]


def _ask(
    call: Callable[[], Given], answers: "queue.SimpleQueue[tuple[Given | None, Exception | None]]"
) -> None:
    try:
        answers.put((call(), None))
    except Exception as error:  # noqa: BLE001 (raised again by whoever waits for it)
        answers.put((None, error))
    finally:
        _askers.release()


def oldest_waiting(session: Session) -> float:
    """Return for how many seconds the delivery that nothing holds back has waited longest; 0 without any."""
    session.execute(text("SELECT version_num FROM alembic_version"))  # the tables are there
    at = database_now(session)
    waiting = [endpoint.first_due for endpoint in ready(session, at)]
    return (at - min(waiting)).total_seconds() if waiting else 0.0


def waiting_by_age(session: Session) -> dict[tuple[str, str], int]:
    """Count what waits and what is parked, by (state, age), from the partial indexes alone."""
    at = database_now(session)
    limits = [_first_id_since(session, at - age) for _, age in AGES if age is not None]
    counts = {}
    for state in (State.WAITING, State.PARKED):
        younger = 0
        for (name, _), number in zip(AGES, _younger(session, state, limits), strict=True):
            counts[state.value, name] = number - younger
            younger = number
    return counts


def _younger(session: Session, state: State, limits: list[int]) -> list[int]:
    """Count the deliveries of a state from each id on, and all of them, in one walk through its index."""
    columns = [func.count().filter(Delivery.id >= limit) for limit in limits]
    # Written out, not bound: a partial index is chosen for a state that the planner can read.
    query = select(*columns, func.count()).where(text(f"state = '{state.value}'"))
    return list(session.execute(query.select_from(Delivery)).one())


def _first_id_since(session: Session, moment: datetime) -> int:
    """Return the first id of a delivery made since a moment, by halving: ids and times grow together."""
    low, high = 0, (session.scalar(select(func.max(Delivery.id))) or 0) + 1
    while low < high:
        middle = (low + high) // 2
        query = select(Delivery.id, Delivery.created_at).where(Delivery.id >= middle)
        found = session.execute(query.order_by(Delivery.id).limit(1)).one_or_none()
        if found is None or found.created_at >= moment:
            high = middle
        else:
            low = found.id + 1
    return low


def ended(session: Session) -> dict[str, int]:
    """Count the deliveries that failed for good or expired, from their index alone."""
    query = select(Delivery.state, func.count()).where(text("state IN ('failed', 'expired')"))
    found = {str(state): number for state, number in session.execute(query.group_by(Delivery.state))}
    return {state.value: found.get(state, 0) for state in (State.FAILED, State.EXPIRED)}
