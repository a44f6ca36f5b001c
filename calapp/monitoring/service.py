"""How the app is doing, for /healthz and /metrics, and the counters that all processes share."""

import heapq
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from flask import Flask
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from calapp import broker, counters, mail
from calapp.accounts.models import User
from calapp.calendars.models import ExternalCalendar
from calapp.db import database_now, is_sqlite, transaction
from calapp.deliveries.claims import ready
from calapp.deliveries.models import WAITING_WITH_TIME, Delivery, State
from calapp.errors import Busy
from calapp.monitoring.models import Tally
from calapp.processes import RecurringError
from calapp.webhooks.models import Webhook

Given = TypeVar("Given")

PATIENCE = 2.0  # seconds for the database to answer /healthz
WRITES_EVERY = 10.0  # seconds
UNKNOWN = 4  # attempts in a row that were not told whether they could write, before nobody can be thought to
LATE = 60.0  # seconds; what could be sent and has waited longer is a problem
# How old what waits is, youngest first; the last takes the rest.
AGES = (
    ("under a minute", timedelta(minutes=1)),
    ("under an hour", timedelta(hours=1)),
    ("under a day", timedelta(days=1)),
    ("a day or more", None),
)
# A row often finds room in its page on a disk that is full. So PostgreSQL is made to write 144 KB to a file,
# as it does with what exceeds a statement's memory; the file is gone with the statement.
ROOM = text(
    "SELECT count(*) FROM generate_series(1, 10000), (SELECT set_config('work_mem', '64kB', true)) AS little"
)
ASKER = "asker"  # the name of a thread that asks the database
_askers = threading.BoundedSemaphore(4)  # so that a database that hangs holds so many threads at most
ADDED_EVERY = 5.0  # seconds; a process that is killed takes up to so many seconds of its counts with it
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Health:
    """What /healthz shows; `None` is not known. Without the database there is nothing to serve."""

    database: bool
    writable: bool | None
    refusal: str | None  # why Valkey takes no writes, in its own words; None when it does not respond
    workers: int | None  # processes that deliver
    maintenance: int | None  # processes that maintain
    oldest: float | None  # seconds for which the delivery that could be sent has waited longest
    emails_fail: bool = False

    @property
    def problems(self) -> list[str]:
        """What keeps the app from its work, a sentence each."""
        found = (
            []
            if self.database
            else ["The database does not respond, or has no tables (run flask db upgrade)."]
        )
        if self.writable is False:
            found.append("The database cannot be written to: nothing can be booked or saved.")
        if self.refusal is None:
            found.append("Valkey does not respond; workers check the database once a second instead.")
        if self.refusal:
            found.append(f"Valkey accepts no writes: {self.refusal}")
        if self.workers == 0:
            found.append("No worker is running (flask worker).")
        elif self.maintenance == 0:
            found.append("No maintenance process is running: emails, reminders and meetings wait.")
        if (self.oldest or 0.0) > LATE:
            found.append("A delivery that is ready to be sent has waited for over a minute.")
        if self.emails_fail:
            found.append("No email could be sent lately (try flask send-test-email).")
        return found

    @property
    def status(self) -> str:
        """`down` when no page can be served or nothing saved, `degraded` for anything else, else `ok`."""
        if not self.database or self.writable is False:
            return "down"
        return "degraded" if self.problems else "ok"


def health(read: Callable[[], tuple[float, bool]], write: Callable[[], bool | None]) -> Health:
    """Ask every part; `read` (`read_database`) and `write` run in threads, since a database may hang."""
    refusal = broker.refusal()
    workers = maintenance = None
    if refusal == "":  # else no heartbeat can be written
        workers, maintenance = broker.workers_alive(), broker.workers_alive(broker.MAINTENANCE)
    oldest, emails_fail, database = None, False, True
    try:
        oldest, emails_fail = within(PATIENCE, read)
    except Exception:  # noqa: BLE001 (whatever is wrong with it, it cannot serve)
        database = False
    return Health(
        database=database,
        writable=last_write.renewed(write) if database else None,
        refusal=refusal,
        workers=workers,
        maintenance=maintenance,
        oldest=oldest,
        emails_fail=emails_fail,
    )


def read_database(session: Session) -> tuple[float, bool]:
    """Return the seconds that the oldest ready delivery has waited, and whether no email can be sent."""
    return oldest_waiting(session), mail.is_failing(session)


class LastWrite:
    """Whether this process could last write to the database, tried every ten seconds at most.

    An attempt that was not told, as while another process writes for long, says nothing; several in a row say
    that nobody can write: the writer is held by what hangs, or commits wait for a replica that is away.
    """

    def __init__(self) -> None:
        self.worked: bool | None = None  # None: not known
        self.unknown = 0  # attempts in a row
        self.due = 0.0  # in monotonic seconds

    def renewed(self, write: Callable[[], bool | None]) -> bool | None:
        """Return whether it can be written to, by a new attempt if one is due."""
        if time.monotonic() >= self.due:
            self.due = time.monotonic() + WRITES_EVERY
            try:
                self.worked = within(PATIENCE, write)
            except TimeoutError:
                self.worked = None
            self.unknown = self.unknown + 1 if self.worked is None else 0
        return False if self.unknown >= UNKNOWN else self.worked


last_write = LastWrite()


def write_a_row() -> bool | None:
    """Return whether the database can be written to; None while another process holds the writer."""
    try:
        with transaction() as session:
            add_counts(session, {("healthz", "", ""): 1})
            if not is_sqlite(session):
                session.execute(ROOM)
    except Busy:
        return None
    except DBAPIError:
        return False
    return True


def within(seconds: float, call: Callable[[], Given]) -> Given:
    """Return what a call gives; raise TimeoutError when it takes longer, and whatever it raises."""
    if not _askers.acquire(blocking=False):
        raise TimeoutError
    results: queue.SimpleQueue[tuple[Given | None, Exception | None]] = queue.SimpleQueue()
    try:
        threading.Thread(target=_ask, args=(call, results), name=ASKER, daemon=True).start()
    except RuntimeError:  # no thread is to be had now
        _askers.release()
        raise
    try:
        given, error = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return given  # type: ignore[return-value]


def _ask(
    call: Callable[[], Given], results: "queue.SimpleQueue[tuple[Given | None, Exception | None]]"
) -> None:
    try:
        results.put((call(), None))
    except Exception as error:  # noqa: BLE001 (raised again by whoever waits for it)
        results.put((None, error))
    finally:
        _askers.release()


def oldest_waiting(session: Session) -> float:
    """Return for how many seconds the delivery that nothing holds back has waited longest; 0 without any."""
    session.execute(text("SELECT version_num FROM alembic_version"))  # the tables are there
    at = database_now(session)
    waiting = [endpoint.first_due for endpoint in ready(session, at)]
    return (at - min(waiting)).total_seconds() if waiting else 0.0


def calendar_copies(session: Session) -> tuple[float, dict[str, int]]:
    """Return the age in seconds of the oldest copy of a calendar, and how many fail by reason."""
    oldest = session.scalar(select(func.min(ExternalCalendar.last_read_at)).where(ExternalCalendar.blocks))
    failing = session.execute(
        select(ExternalCalendar.error_code, func.count())
        .where(ExternalCalendar.blocks, ExternalCalendar.error_code.is_not(None))
        .group_by(ExternalCalendar.error_code)
    )
    age = (database_now(session) - oldest).total_seconds() if oldest else 0.0
    return age, {str(reason): count for reason, count in failing}


def waiting_by_age(session: Session) -> dict[tuple[str, str], int]:
    """Count what waits and what is parked, by (state, age), from the partial indexes alone."""
    at = database_now(session)
    limits = [_first_id_since(session, at - age) for _, age in AGES if age is not None]
    from_each_on = [func.count().filter(Delivery.id >= limit) for limit in limits]
    counts = {}
    for state in (State.WAITING, State.PARKED):
        # Written out, not bound: a partial index is chosen for a state that the planner can read.
        query = select(*from_each_on, func.count()).where(text(f"state = '{state.value}'"))
        younger = 0
        for (name, _), number in zip(AGES, session.execute(query.select_from(Delivery)).one(), strict=True):
            counts[state.value, name] = number - younger
            younger = number
    return counts


def waiting_by_time(session: Session) -> dict[str, int]:
    """Count what waits and is due (`now`), held back or not, and the retries and others to come (`later`)."""
    due = Delivery.due_at <= database_now(session)
    query = select(func.count().filter(due), func.count().filter(~due)).where(WAITING_WITH_TIME)
    return dict(zip(("now", "later"), session.execute(query.select_from(Delivery)).one(), strict=True))


def longest_waiting_hosts(session: Session, most: int = 10) -> dict[str, float]:
    """Return the seconds that what is ready to be sent has waited, for the hosts that wait longest."""
    at = database_now(session)
    first_due = {endpoint.webhook_id: endpoint.first_due for endpoint in ready(session, at)}
    query = select(Webhook.id, User.username).join(User, User.id == Webhook.user_id)
    waits: dict[str, float] = {}
    for webhook_id, username in session.execute(query.where(Webhook.id.in_(first_due))):
        seconds = (at - first_due[webhook_id]).total_seconds()
        waits[username] = max(seconds, waits.get(username, 0.0))
    return dict(heapq.nlargest(most, waits.items(), key=lambda item: item[1]))


def hosts_with_most_waiting(session: Session, most: int = 10) -> dict[str, int]:
    """Count what waits, due or not, for the hosts with the most of it, from the partial index alone."""
    waiting = (
        select(Delivery.webhook_id, func.count().label("number"))
        .where(WAITING_WITH_TIME)
        .group_by(Delivery.webhook_id)
        .subquery()
    )
    number = func.sum(waiting.c.number)
    query = (
        select(User.username, number)
        .join(Webhook, Webhook.user_id == User.id)
        .join(waiting, waiting.c.webhook_id == Webhook.id)
        .group_by(User.username)
        .order_by(number.desc(), User.username)
        .limit(most)
    )
    return {username: int(count) for username, count in session.execute(query)}


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


def add_counts(session: Session, counts: Mapping[counters.Key, float]) -> None:
    """Add counts to those of all processes, in one order, so that two never wait for each other."""
    insert = insert_sqlite if is_sqlite(session) else insert_postgresql
    for (metric, event, outcome), value in sorted(counts.items()):
        row = insert(Tally).values(metric=metric, event=event, outcome=outcome, value=value)
        session.execute(
            row.on_conflict_do_update(
                index_elements=[Tally.metric, Tally.event, Tally.outcome],
                set_={"value": Tally.value + row.excluded.value},
            )
        )


def save_counts() -> None:
    """Add what this process has counted to the table; what cannot be added is kept for the next time."""
    counts = counters.take()
    if not counts:
        return
    try:
        with transaction() as session:
            add_counts(session, counts)
    except BaseException:
        counters.add(counts)
        raise


@contextmanager
def counting(app: Flask) -> Iterator[None]:
    """Save what this process counts every few seconds, and once more at the end."""
    over = threading.Event()
    errors = RecurringError("Saving the counters")

    def save_until_over() -> None:
        ended = False
        while not ended:
            ended = over.wait(ADDED_EVERY)
            try:
                with app.app_context():
                    save_counts()
            except (DBAPIError, Busy) as error:
                errors.note(error)
            except Exception as error:
                if errors.note(error):
                    log.exception("The counters could not be saved")
            else:
                errors.over()

    thread = threading.Thread(target=save_until_over, name="counters", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
