"""A worker: a process that keeps others, which work the queue, with Valkey or without, and maintain.

`flask worker` checks the start and becomes `python -m calapp.worker`, which `make run` starts. It has loaded
what delivering and maintaining need, once for all its processes, and neither pages nor commands.
"""

import gc
import logging
import os
import signal
import sys
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress

from flask import Flask
from redis import RedisError, ResponseError
from rq.exceptions import StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker import SimpleWorker
from rq.worker_registration import clean_worker_registry
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import configure_mappers

from app import create_app
from calapp import broker, logs
from calapp.config import BadSetting, Settings, prepare, settings
from calapp.db import db, prepare_to_deliver
from calapp.deliveries import engine
from calapp.deliveries.client import raise_file_limit
from calapp.errors import Busy
from calapp.maintenance import maintain
from calapp.monitoring.service import counting
from calapp.processes import Forked, RecurringError, first_line, follow_forker, follow_starter, stop
from calapp.shutdown import request_stop, rest, stop_on, stop_requested

BEAT_EVERY = 3.0  # seconds
CHECK_EVERY = 1.0  # seconds after which children are looked at that have not said that they ended
LOOK_AGAIN = 1.0  # seconds after which Valkey is looked for again
GARBAGE = 10_000  # new objects after which a worker looks for what is unreachable; Python's own number is 700
GRACE = 2.0  # seconds beyond the deadline of a request in which to record what came

log = logging.getLogger("calapp.worker")


def work(app: Flask) -> None:
    """Run the queue's job until asked to stop; while Valkey is away, look once a second without it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it and stops its children in order
    follow_forker(settings().webhook_timeout + GRACE)
    stop_on(signal.SIGTERM, wake=QueueWorker.wake)
    raise_file_limit(settings().webhook_concurrency)
    with app.app_context():
        prepare_to_deliver(db.engine)
    gc.set_threshold(GARBAGE)
    valkey, database = RecurringError("Valkey"), RecurringError("The database")
    with counting(app):
        while not stop_requested():
            try:
                broker.web_client().ping()  # a Valkey that hangs is known sooner by this client
                worker = QueueWorker(app, database)
                valkey.over()
                worker.work_until_stopped()
            except RedisError as error:
                valkey.note(error)
                perform(app, engine.process_engine().deliver, database)
                rest(LOOK_AGAIN)


def perform(app: Flask, run: Callable[[], None], database: RecurringError) -> bool:
    """Run a function in an app context of its own; return whether it came to its end. Raises RedisError."""
    try:
        with app.app_context():
            run()
    except RedisError:
        raise
    except (DBAPIError, Busy) as error:
        database.note(error)
    except Exception as error:
        log.exception("The deliveries failed")
        # Without memory or a thread it ends: its parent starts another, slower and slower.
        if isinstance(error, MemoryError) or "start new thread" in str(error):
            log.critical("This process cannot continue and ends: %s", first_line(error) or "MemoryError")
            request_stop()
    else:
        database.over()
        return True
    return False


class QueueWorker(SimpleWorker):
    """An RQ worker of the one queue that runs its one job in its own process, in a fresh app context.

    The job lasts as long as its worker, so each worker puts one into the queue for itself. What Valkey holds
    may say that there is something to do, never what: whoever can write to it could else run code here. RQ's
    own way from the queue to the end of a job would import the functions, callbacks and instances that the
    job names, requeue, repeat and follow its dependents, and call its webhooks; its upkeep reads jobs with
    pickle. So none of it is used: a job is compared with the one that there may be, removed, and the known
    function called. RQ's commands (shutdown, stop-job) are not listened to.
    """

    connection_timeout = broker.WORKER_PATIENCE  # type: ignore[assignment]  # a property of whole seconds there
    dequeue_timeout = 1  # seconds
    waiting = False  # of the one worker of this process

    def __init__(self, app: Flask, database: RecurringError) -> None:
        client = broker.worker_client()
        super().__init__(
            [broker.queue(broker.DELIVERIES, client)], connection=client, serializer=JSONSerializer
        )
        self.app = app
        self.database = database
        self.over = threading.Event()
        self.at_work = False

    def work_until_stopped(self) -> None:
        """Work until this process is asked to stop; raise RedisError when Valkey goes away."""
        self.register_birth()  # type: ignore[no-untyped-call]
        threading.Thread(target=self._beat, name="heart", daemon=True).start()
        try:
            while not stop_requested():
                self._work_once()
        except StopRequested:
            log.debug("Stopped while waiting")
        finally:
            self.over.set()
            with suppress(RedisError):  # Valkey is away: this worker's entry expires
                self.connection = broker.web_client()
                broker.forget_beat(self.connection, self.queues[0].name, self.name)
                self.register_death()  # type: ignore[no-untyped-call]

    def _work_once(self) -> None:
        """Put the job into the queue, unless one waits there; take one from it and do it."""
        queue = self.queues[0]
        broker.put_job(queue)
        QueueWorker.waiting = True
        try:
            found = self.connection.blpop([queue.key], self.dequeue_timeout)
        finally:
            QueueWorker.waiting = False
        # None: another worker took it.
        if found is None or not self._is_the_known_job(found[1]):  # type: ignore[arg-type]  # not decoded
            return
        self.at_work = True
        try:
            if not perform(self.app, engine.deliver_due, self.database):
                rest(LOOK_AGAIN)
        finally:
            self.at_work = False

    def _is_the_known_job(self, job_id: bytes) -> bool:
        """Remove a job; return whether it is, byte for byte, what `put_job` puts into this queue."""
        key = Job.redis_job_namespace_prefix.encode() + job_id
        try:
            data: bytes | None = self.connection.hget(key, "data")  # type: ignore[assignment]  # not decoded
        except ResponseError:  # not a job at all
            data = None
        self.connection.delete(key)
        known: bytes = JSONSerializer.dumps((broker.JOB, None, (), {}))
        unpacked = zlib.decompressobj()
        try:
            if data is not None and unpacked.decompress(data, len(known) + 1) == known:
                return True
        except zlib.error:
            if data == known:
                return True
        log.warning("Dropped an unknown job from the queue %s: %r", self.queues[0].name, job_id[:80])
        return False

    def run_maintenance_tasks(self) -> None:
        """Take workers that are gone off RQ's books, and nothing else of what RQ does now and then."""
        for queue in self.queues:
            if queue.acquire_maintenance_lock():
                clean_worker_registry(queue)
                queue.release_maintenance_lock()
        self.last_cleaned_at = now()  # type: ignore[assignment]  # RQ sets a time there, too

    @classmethod
    def wake(cls) -> None:
        """End the wait for a job, or the rest of the one that runs."""
        engine.wake()
        if cls.waiting:
            raise StopRequested

    def _beat(self) -> None:
        """Beat this process's heart, also while the database keeps its job waiting."""
        while not self.over.is_set():
            try:
                self._beat_once()
            except RedisError as error:
                log.debug("No heartbeat: %s", error)  # the job notices, too, and says so
            except Exception:  # a heart that stopped would have this process counted as dead
                log.exception("No heartbeat; retrying")
            self.over.wait(BEAT_EVERY)

    def _beat_once(self) -> None:
        """Note that this worker is alive, and do RQ's upkeep; a job that comes while one runs wakes that."""
        broker.beat(self.connection, self.queues[0].name, self.name)
        self.heartbeat()
        if self.should_run_maintenance_tasks:
            self.run_maintenance_tasks()
        while self.at_work and (job_id := self.connection.lpop(self.queues[0].key)) is not None:
            if self._is_the_known_job(job_id):  # type: ignore[arg-type]  # not decoded
                engine.wake()


def main() -> None:
    """Be a worker."""
    os.umask(0o077)  # what it writes is for its user alone
    try:
        chosen = prepare()
    except BadSetting as error:
        sys.exit(error.message)
    logs.configure(chosen, "worker")
    logging.getLogger("rq.worker").setLevel(logging.WARNING)
    supervise(chosen)


def supervise(chosen: Settings) -> None:
    """Keep the processes of a worker alive until asked to stop; then stop them in order.

    Raises what this process cannot go on after, once its children are stopped: it then ends with status 1,
    and whoever started it (systemd, the launcher) starts another.
    """
    app = create_app(chosen, worker=True)
    configure_mappers()  # else each child would, for itself
    # What is loaded by now stays: looking through it took a tenth of the engine's time, and each child would
    # have a copy of the memory that it shares with this process.
    gc.collect()
    gc.freeze()
    patience = chosen.webhook_timeout + GRACE
    children: list[Forked] = []
    stop_on(signal.SIGINT, signal.SIGTERM, force=lambda: _kill(children))
    signal.signal(signal.SIGQUIT, lambda *_: _kill(children))
    try:
        # SQLite has one writer, so more than one that delivers gain nothing there.
        count = chosen.worker_processes or (1 if chosen.sqlite else os.cpu_count() or 1)
        children.extend(Forked("A delivery process", work, app) for _ in range(count))
        children.append(Forked("The maintenance process", maintain, app))
        follow_starter(patience + GRACE)
        while not stop_requested():
            for child in children:
                child.keep_alive()
            living = [child.ended for child in children if child.alive()]
            rest(CHECK_EVERY if len(living) == len(children) else 0.1, *living)
    except Exception as error:
        log.critical("The worker cannot continue and ends (%s: %s)", type(error).__name__, error)
        raise
    finally:
        stop(children, patience)


def _kill(children: list[Forked]) -> None:
    for child in children:
        child.send(signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
