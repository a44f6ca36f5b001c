"""A child of the worker: one process that works one queue, with Valkey or without."""

import gc
import logging
import signal
import threading
import zlib
from collections.abc import Callable

from flask import Flask
from redis import RedisError, ResponseError
from rq.exceptions import StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.utils import import_attribute, now
from rq.worker import SimpleWorker
from rq.worker_registration import clean_worker_registry
from sqlalchemy.exc import DBAPIError

from calapp import broker
from calapp.config import settings
from calapp.db import db, prepare_to_deliver
from calapp.errors import Busy
from calapp.processes import follow_forker
from calapp.stopping import request_stop, rest, stop_on, stop_requested

BEAT_EVERY = 3.0  # seconds
LOOK_AGAIN = 1.0  # seconds after which Valkey is looked for again
GARBAGE = 10_000  # new objects after which a worker looks for what is unreachable; Python's own number is 700
GRACE = 2.0  # seconds beyond the deadline of a request in which to record what came

log = logging.getLogger(__name__)


class Trouble:
    """Something that comes and goes: a line in the log when it comes, one when it has gone."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.said = ""

    def note(self, error: BaseException) -> bool:
        """Log an error, unless it is the one that was logged last; return whether it was logged."""
        text = f"{type(error).__name__}: {first_line(error)}"
        if text == self.said:
            return False
        self.said = text
        log.warning("%s fails, trying again: %s", self.what, text)
        return True

    def over(self) -> None:
        """Log that it works again, if it did not."""
        if self.said:
            log.warning("%s works again", self.what)
        self.said = ""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says."""
    return str(error).strip().partition("\n")[0]


def work(make_app: Callable[..., Flask], queue: str) -> None:
    """Work one queue until asked to stop; while Valkey is away, do its job once a second without it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it and stops its children in order
    follow_forker(settings().webhook_timeout + GRACE)
    stop_on(signal.SIGTERM, wake=QueueWorker.wake)
    app = make_app(settings(), worker=True)
    if queue == broker.DELIVERIES:
        with app.app_context():
            prepare_to_deliver(db.engine)
    gc.freeze()  # what is loaded by now stays: looking through it took a tenth of the engine's time
    gc.set_threshold(GARBAGE)
    trouble = Trouble("Valkey")
    while not stop_requested():
        try:
            broker.web_client().ping()  # a Valkey that hangs is known sooner by this client
            worker = QueueWorker(app, queue)
            trouble.over()
            worker.work_until_stopped()
        except RedisError as error:
            trouble.note(error)
            perform(app, broker.JOBS[queue])
            rest(LOOK_AGAIN)


def perform(app: Flask, job: str) -> None:
    """Run a job in an app context of its own; the database knows what is due, with Valkey or without."""
    try:
        with app.app_context():
            import_attribute(job)()
    except (DBAPIError, Busy) as error:
        log.warning("The database is away: %s", first_line(error))
    except Exception as error:
        log.exception("The job %s failed", job)
        end_if_starved(error)


def end_if_starved(error: BaseException | None) -> None:
    """End this process when it got no memory or no thread: its parent starts another, slower and slower."""
    if isinstance(error, MemoryError) or "start new thread" in str(error):
        log.critical("This process cannot go on and ends: %s", first_line(error) or type(error).__name__)
        request_stop()


class QueueWorker(SimpleWorker):
    """An RQ worker of one queue that runs the queue's one job in its own process, in a fresh app context.

    What Valkey holds may say that there is something to do, never what: whoever can write to it could else
    run code here. RQ's own way from the queue to the end of a job would import the functions, callbacks and
    instances that the job names, requeue, repeat and follow its dependents, and call its webhooks; its
    upkeep reads jobs with pickle. So none of it is used: a job is compared with the one that there may be,
    removed, and the known function called. RQ's commands (shutdown, stop-job) are not listened to.
    """

    connection_timeout = broker.WORKER_PATIENCE
    dequeue_timeout = 1  # seconds
    waiting = False  # of the one worker of this process

    def __init__(self, app: Flask, queue: str) -> None:
        client = broker.worker_client()
        super().__init__([broker.queue(queue, client)], connection=client, serializer=JSONSerializer)
        self.app = app
        self.over = threading.Event()

    def work_until_stopped(self) -> None:
        """Work until this process is asked to stop; raise RedisError when Valkey goes away."""
        self.register_birth()
        threading.Thread(target=self._beat, name="heart", daemon=True).start()
        try:
            while not stop_requested():
                self._work_once()
        except StopRequested:
            log.debug("Stopped while waiting")
        finally:
            self.over.set()
            self._say_goodbye()

    def _work_once(self) -> None:
        if self.should_run_maintenance_tasks:
            self.run_maintenance_tasks()
        name = self.queues[0].name
        job_id = self._next_job_id()
        if job_id is None:
            return
        if self._is_the_known_job(job_id):
            perform(self.app, broker.JOBS[name])
        else:
            log.warning("Dropped an unknown job from the queue %s: %r", name, job_id[:80])

    def _next_job_id(self) -> bytes | None:
        """Wait for a job; take it from the queue and return its id."""
        QueueWorker.waiting = True
        try:
            found = self.connection.blpop([self.queues[0].key], self.dequeue_timeout)
        finally:
            QueueWorker.waiting = False
        return found[1] if found else None

    def _is_the_known_job(self, job_id: bytes) -> bool:
        """Remove a job; return whether it is, byte for byte, what `broker.nudge` puts into this queue."""
        key = Job.redis_job_namespace_prefix.encode() + job_id
        try:
            data = self.connection.hget(key, "data")
        except ResponseError:  # not a job at all
            data = None
        self.connection.delete(key)
        known = JSONSerializer.dumps((broker.JOBS[self.queues[0].name], None, (), {}))
        unpacked = zlib.decompressobj()
        try:
            return data is not None and unpacked.decompress(data, len(known) + 1) == known
        except zlib.error:
            return data == known

    def run_maintenance_tasks(self) -> None:
        """Take workers that are gone off RQ's books, and nothing else of what RQ does now and then."""
        for queue in self.queues:
            if queue.acquire_maintenance_lock():
                clean_worker_registry(queue)
                queue.release_maintenance_lock()
        self.last_cleaned_at = now()

    @classmethod
    def wake(cls) -> None:
        """End the wait for a job, never a job; of one that was just taken the rows are still due."""
        if cls.waiting:
            raise StopRequested

    def _beat(self) -> None:
        """Beat this process's heart, also while a job runs for hours."""
        while not self.over.is_set():
            try:
                self._beat_once()
            except RedisError as error:
                log.debug("No heartbeat: %s", error)  # the work loop notices, too, and says so
            except Exception:  # a heart that stopped would have this process counted as dead
                log.exception("No heartbeat; trying again")
            self.over.wait(BEAT_EVERY)

    def _beat_once(self) -> None:
        broker.beat(self.connection, self.queues[0].name, self.name)
        self.heartbeat()

    def _say_goodbye(self) -> None:
        """Take this worker off the books; when Valkey is away, its entry expires."""
        try:
            self.connection = broker.web_client()
            broker.forget_beat(self.connection, self.queues[0].name, self.name)
            self.register_death()
        except RedisError:
            return
