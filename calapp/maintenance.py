"""The maintenance process: what a worker does besides delivering, as a table of tasks and periods.

Its tasks run in lanes, a thread each: what waits for a mail server, or a long step of the database, keeps no
meeting, replay or delivery waiting: they are looked for once a second, whatever became of wakes, with one
statement for all lanes.
"""

import logging
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from flask import Flask
from redis import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from calapp import broker, clock, mail
from calapp.accounts import links, service
from calapp.availability.service import give_missing_schedules
from calapp.bookings import copies, emails, times, visitors
from calapp.bookings.maintenance import MEETINGS_DUE, record_meetings
from calapp.calendars.maintenance import CALENDARS_DUE, CalendarReaders
from calapp.config import settings
from calapp.db import db, one_at_a_time, prepare_to_look, transaction
from calapp.deliveries import health, maintenance, replays, resend, store
from calapp.deliveries.engine import continue_releases, continue_replays, free_left_behind
from calapp.deliveries.feed import write_summaries
from calapp.direct import Direct
from calapp.errors import Busy
from calapp.monitoring.service import counting
from calapp.privacy import removal
from calapp.privacy import service as privacy
from calapp.processes import RecurringError, follow_forker
from calapp.shutdown import request_stop, rest, stop_on, stop_requested
from calapp.statements import Plain, which_find

STOP_WITHIN = 2.0  # seconds for steps that run when the process is asked to stop; each is done again later
SET_BACK = 5.0  # seconds; less is a clock that is being kept right
BEAT_EVERY = 3.0  # seconds
LONGEST_WAIT = 60.0  # seconds of a lane in which nothing is due
HANGS_AFTER = 1800.0  # seconds without a step; 20 emails to a server that barely responds take up to 1500

log = logging.getLogger(__name__)

Step = Callable[[Session], int]

# Each changes at most a step of rows and returns how many; one that did a whole step is asked again.
UPKEEP: tuple[Step, ...] = (
    maintenance.park_waiting,
    maintenance.tell_gone,
    maintenance.watch_failing,
    maintenance.discard_of_deleted,
    give_missing_schedules,
)
CLEANUP: tuple[Step, ...] = (
    maintenance.expire_parked,
    maintenance.remove_deleted,
    mail.prune_emails,
    maintenance.prune,
    maintenance.remove_finished,
    service.remove_expired_sessions,
    service.remove_expired_forms,
    links.remove_expired,
    visitors.forget_addresses,
    times.forget_expired_reservations,
)


def repeat(step: Step, whole: int = maintenance.STEP) -> int:
    """Do a step until nothing is left of it or this process is asked to stop; return how many rows it was."""
    done = 0
    while not stop_requested():
        with transaction() as session:
            one_at_a_time(session, step.__name__)
            count = step(session)
        note_step()
        done += count
        if count < whole:
            break
    return done


def continue_parked() -> None:
    """Send or discard the next steps of what is parked, of each webhook as much as may wait at once."""
    webhook_ids = resend.decided_webhooks(db.session())
    db.session().rollback()  # ends the read
    for webhook_id in webhook_ids:
        for _ in range(resend.MOST_DUE // resend.STEP):
            if not resend.release_room(db.session(), webhook_id) or stop_requested():
                break
            with transaction() as session:
                resend.continue_decision(session, webhook_id)


def answer_link_requests() -> None:
    """Send links to who has forgotten a password; the emails go out in the next task."""
    repeat(links.answer_requests, links.STEP)


def send_emails() -> None:
    """Write the emails about bookings, and send those that are due, a batch at a time.

    No transaction is open while the server is awaited. Over for this time when the mail server fails.
    """
    emails.write_emails()
    while not stop_requested():
        with transaction() as session:
            claimed = mail.claim(session)
        outcomes = mail.send(claimed)
        with transaction() as session:
            mail.record(session, claimed, outcomes)
        note_step()
        if len(claimed) < mail.BATCH or any(outcome.error for outcome in outcomes):
            break


def send_copies() -> None:
    """Write to hosts' calendars what is due there, a batch at a time; no transaction is open meanwhile."""
    while not stop_requested():
        with transaction() as session:
            claimed = copies.claim(session)
        results = copies.send(claimed)
        with transaction() as session:
            copies.record(session, results)
        note_step()
        if not claimed:
            break


def watch_webhooks() -> None:
    """Tell of webhooks that have begun to fail, or have recovered."""
    found = health.anything_to_tell(db.session())
    db.session().rollback()  # ends the read
    if found:
        repeat(health.tell, health.STEP)


def look_after_webhooks() -> None:
    """Park and discard what is not to be sent, tell of what was switched off, give new hosts their hours."""
    for step in UPKEEP:
        repeat(step)


def clean_up() -> None:
    """Expire, remove and forget what its time has come for."""
    for step in CLEANUP:
        repeat(step)
    repeat(privacy.forget_old, privacy.STEP)
    repeat(removal.remove_accounts, removal.STEP)


def wake_for_deliveries() -> None:
    """Have what is due delivered: new events, retries, and what a killed worker left."""
    if maintenance.anything_due(db.session()):
        broker.wake_workers()


class ClockWatch:
    """Whether this machine's clock was set back since the last look."""

    def __init__(self) -> None:
        self.began: float | None = None

    def look(self) -> None:
        """When the clock was set back, bring forward by as much what was to be attempted by the earlier one.

        On PostgreSQL it is the server's clock that counts, and its operator's to mind.
        """
        began = clock.now().timestamp() - clock.monotonic()
        back = self.began - began if self.began is not None else 0.0
        if back > SET_BACK and settings().sqlite:
            log.warning(
                "The clock was set back by %.0f s; waiting deliveries are moved forward by as much", back
            )
            with transaction() as session:
                maintenance.bring_forward(session, timedelta(seconds=back))
        self.began = began


@dataclass(frozen=True)
class Task:
    """A row of the table: how often it runs, in seconds, and the lane in which it waits for its turn.

    What seldom has anything to do has a statement for `when` that is. Once the look finds a row, its turn
    comes so many seconds after the last, or at once after a wake.
    """

    name: str
    run: Callable[[], None]
    every: float
    lane: str
    when: Plain | None = None  # gives a row while there may be something to do; `:now` in it


# Lanes with something that a person may wait for.
LOOK = "look"
WOKEN = (LOOK, "emails", "calendar copies")


def tasks() -> list[Task]:
    """Return the table, in the order in which the tasks of a lane take turns."""
    return [
        Task("clock", ClockWatch().look, 1.0, LOOK),
        Task("meetings", record_meetings, 1.0, "due", MEETINGS_DUE),
        Task("deliveries", wake_for_deliveries, 1.0, "due", maintenance.DELIVERIES_DUE),
        Task("replays", continue_replays, 1.0, "sending again", replays.REPLAYS_RUN),
        Task("parked", continue_parked, 1.0, "sending again", resend.PARKED_DECIDED),
        Task("releases", continue_releases, 1.0, "sending again", store.RELEASES_RUN),
        Task("left behind", free_left_behind, 3.0, "sending again", maintenance.BEHIND),
        Task("calendars", CalendarReaders().read_due, 1.0, "calendars", CALENDARS_DUE),
        Task("failing webhooks", watch_webhooks, 3.0, "failing webhooks", health.MAY_BE_TOLD),
        Task("summaries", write_summaries, 10.0, "cleanup"),
        Task("webhooks", look_after_webhooks, 10.0, "cleanup"),
        Task("cleanup", clean_up, 60.0, "cleanup"),
        Task("links", answer_link_requests, 10.0, "emails"),
        Task("emails", send_emails, 10.0, "emails"),
        Task("calendar copies", send_copies, 10.0, "calendar copies"),
    ]


class Lane(threading.Thread):
    """The tasks that take turns in one thread."""

    def __init__(self, app: Flask, name: str, tasks: list[Task]) -> None:
        super().__init__(name=name, daemon=True)
        self.app = app
        self.wake = threading.Event()
        self.due_at = {task: math.inf if task.when else 0.0 for task in tasks}
        self.began_at = dict.fromkeys(tasks, -math.inf)
        self.errors = {task: RecurringError(f"The maintenance of {task.name}") for task in tasks}
        self.moved_at = time.monotonic()
        self.doing = ""

    def run(self) -> None:
        """Run what is due until this process is asked to stop."""
        while not stop_requested():
            self.wake.clear()
            for task, due_at in self.due_at.items():
                self.moved_at = time.monotonic()
                if due_at <= self.moved_at and not stop_requested():
                    self.began_at[task] = self.moved_at
                    self.due_at[task] = math.inf if task.when else self.moved_at + task.every
                    self.run_task(task)
            next_at = min(self.moved_at + LONGEST_WAIT, *self.due_at.values())
            self.wake.wait(max(0.0, next_at - time.monotonic()))

    def make_due(self, task: Task, *, at_once: bool) -> None:
        """Have a task run that was found to have something to do."""
        self.due_at[task] = 0.0 if at_once else self.began_at[task] + task.every
        self.wake.set()

    def hurry(self) -> None:
        """Have what has its turns by the clock run now."""
        for task in self.due_at:
            if task.when is None:
                self.due_at[task] = 0.0
        self.wake.set()

    def run_task(self, task: Task) -> None:
        """Run a task; when it fails, the others still run, and it has its next turn as ever."""
        self.doing, self.moved_at = task.name, time.monotonic()
        error_log = self.errors[task]
        try:
            with self.app.app_context():
                task.run()
        except (DBAPIError, Busy) as error:
            error_log.note(error)
        except Exception as error:
            if error_log.note(error):
                log.exception("The maintenance of %s failed", task.name)
            if isinstance(error, MemoryError):
                log.critical("The maintenance process is out of memory and ends")
                request_stop()  # its parent starts another
        else:
            error_log.over()

    def hangs(self) -> bool:
        """Return whether this lane has ended, or does not get on."""
        return not self.is_alive() or time.monotonic() - self.moved_at > HANGS_AFTER


class LanesLook:
    """What finds, by one statement a second, which tasks of all lanes may have something to do."""

    def __init__(self, table: Sequence[Task], lanes: Mapping[str, Lane]) -> None:
        self.tasks = [task for task in table if task.when is not None]
        self.lanes = lanes
        self.statement = which_find([task.when for task in self.tasks if task.when is not None])
        # Connections of its own: a rollback, which others' work ends with, has psycopg prepare all again.
        own = Engine(db.engine.pool.recreate(), db.engine.dialect, db.engine.url)
        prepare_to_look(own)
        self.database = Direct(own)
        self.woken = False

    def look(self) -> None:
        """Make due what is found; everything when this fails, so that each says for itself what is wrong."""
        woken, self.woken = self.woken, False
        found: Sequence[object] = [True] * len(self.tasks)
        try:
            [found] = self.statement.run(self.database, now=clock.now())
        finally:
            for task, may_be in zip(self.tasks, found, strict=True):
                if may_be:
                    self.lanes[task.lane].make_due(task, at_once=woken)


def note_step() -> None:
    """Note that the task of this thread's lane gets on, however long all of its steps take."""
    lane = threading.current_thread()
    if isinstance(lane, Lane):
        lane.moved_at = time.monotonic()


def maintain(app: Flask) -> None:
    """Run every lane until asked to stop: the maintenance process of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it and stops its children in order
    grace = settings().webhook_timeout + STOP_WITHIN
    follow_forker(grace)
    table, lanes = tasks(), dict[str, Lane]()
    with app.app_context():
        look = LanesLook(table, lanes)
    table.append(Task("look", look.look, 1.0, LOOK))
    for name in dict.fromkeys(task.lane for task in table):
        lanes[name] = Lane(app, name, [task for task in table if task.lane == name])

    def wake() -> None:
        look.woken = True
        for lane in lanes.values():
            if lane.name in WOKEN or stop_requested():
                lane.hurry()

    stop_on(signal.SIGTERM)
    for lane in lanes.values():
        lane.start()
    broker.on_wake(wake, broker.MAINTENANCE)
    with counting(app):
        _beat_until_stopped(lanes.values())
        wake()
        until = time.monotonic() + grace
        for lane in lanes.values():
            lane.join(max(0.0, until - time.monotonic()))


def _beat_until_stopped(lanes: Collection[Lane]) -> None:
    """Have /metrics know that this process is alive; end it when one of its lanes is not."""
    name = f"{socket.gethostname()}.{os.getpid()}"
    while not stop_requested():
        for lane in lanes:
            if lane.hangs():
                log.critical("The maintenance of %s hangs, and this process ends", lane.doing or lane.name)
                request_stop()  # its parent starts another
        try:
            broker.beat(broker.worker_client(), broker.MAINTENANCE, name)
        except RedisError as error:
            log.debug("No heartbeat: %s", error)
        rest(BEAT_EVERY)
    try:
        broker.forget_beat(broker.web_client(), broker.MAINTENANCE, name)
    except RedisError:
        return
