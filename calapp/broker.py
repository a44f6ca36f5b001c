"""The Valkey or Redis behind the queue: the embedded one (embedded_valkey.py), or the operator's.

The queue is only muscle: the database knows what is due. So whoever asks Valkey for something here goes on
without it when it is away, and nothing that is asked takes long.
"""

import logging
import os
import select
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from redis import AuthenticationError, BusyLoadingError, Redis, RedisError, ResponseError
from redis import ConnectionError as RedisConnectionError
from redis import TimeoutError as RedisTimeoutError
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue
from rq.serializers import JSONSerializer

from calapp.config import settings

Given = TypeVar("Given")

DELIVERIES = "deliveries"
MAINTENANCE = "chores"  # no queue, but the name under which it is woken and counted
JOB = "calapp.deliveries.engine.deliver_due"  # what the one queue runs; the broker is below all packages

WEB_PATIENCE = 0.2  # seconds to connect and to read, while a person waits
LISTENS = 1.0  # seconds after which who waits for wakes asks whether Valkey is there, or connects again
WORKER_PATIENCE = 3.0  # seconds; longer than a worker waits for its job
LEFT_ALONE = 2.0  # seconds for which Valkey is not asked after a failure
BEAT_LASTS = 10  # seconds after its last heartbeat for which a worker counts as alive
MESSAGE = b"message"  # the kind of what is published, as a subscriber receives it
RECEIVED_AT_ONCE = 65536
NOTHING_YET = (BlockingIOError, ssl.SSLWantReadError)
LONGEST_SOCKET = 100  # characters; systems take 104 to 108
# What a server says that is there: out of memory, read-only, its disk full, a wrong password, still loading.
REFUSALS = (ResponseError, AuthenticationError, BusyLoadingError)

_away_until: list[float] = [0.0]

log = logging.getLogger(__name__)


def url() -> str:
    """Return the address of Valkey; raise redis.ConnectionError while the embedded one has none."""
    return settings().redis_url or embedded_url(settings().data_dir / "valkey")


def embedded_url(folder: Path) -> str:
    """Return the address of a folder's embedded server; raise redis.ConnectionError while it has none."""
    path = folder / "valkey.sock"
    if len(str(path)) <= LONGEST_SOCKET:
        return f"unix://{quote(str(path))}"
    try:
        return (folder / "address").read_text()
    except OSError:
        raise RedisConnectionError("The embedded Valkey is not running.") from None


def web_client() -> Redis:
    """Return the client of a process in which a person waits: no retries, 0.2 s to connect and to read."""
    return client_of(url(), WEB_PATIENCE)


def worker_client() -> Redis:
    """Return the client of a worker: no retries, 3 s to connect and to read."""
    return client_of(url(), WORKER_PATIENCE)


@lru_cache(maxsize=8)
def client_of(address: str, patience: float) -> Redis:
    return Redis.from_url(
        address,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=patience,
        socket_timeout=patience,
    )


def queue(name: str = DELIVERIES, client: Redis | None = None) -> Queue:
    """Return a queue, of the web's client unless another is given."""
    return Queue(name, connection=client or web_client(), serializer=JSONSerializer)


_wakes_taken: list[Callable[[str], None]] = []


@contextmanager
def wakes_taken_by(take: Callable[[str], None]) -> Iterator[None]:
    """Have the wakes of this process call this with their name, not ask Valkey: for a simulation."""
    _wakes_taken.append(take)
    try:
        yield
    finally:
        _wakes_taken.pop()


def wake_workers() -> None:
    """Have the jobs that run look for what is due; while none listens, put one into the queue.

    Best effort: never raises, never waits long; the maintenance process finds what this missed.
    """
    if _wakes_taken:
        _wakes_taken[-1](DELIVERIES)
        return

    def wake_or_put_job(client: Redis) -> None:
        if not client.publish(_wake_channel(DELIVERIES), ""):
            put_job(queue(DELIVERIES, client))

    _asked(wake_or_put_job, None)


def put_job(wanted: Queue) -> None:
    """Put the job into its queue, unless one waits there; raise RedisError when Valkey is away."""
    if wanted.connection.llen(wanted.key):
        return  # it will start later than now, and see our rows
    with wanted.connection.pipeline() as pipe:
        wanted.enqueue_call(JOB, timeout=-1, pipeline=pipe)
        pipe.execute()


def wake_maintenance() -> None:
    """Have emails and replays begin now rather than in some seconds; best effort, as `wake_workers`."""
    if _wakes_taken:
        _wakes_taken[-1](MAINTENANCE)
        return
    _asked(lambda client: client.publish(_wake_channel(MAINTENANCE), ""), None)


class Wakes:
    """A subscription to the wakes of a name, for a poll of one's own: readable when something has come.

    What was published after this was made is noticed. Raises RedisError when Valkey is away, here and below.
    """

    def __init__(self, name: str = DELIVERIES) -> None:
        self.subscription = worker_client().pubsub()
        self.subscription.subscribe(_wake_channel(name))
        self.ask_at = 0.0  # in monotonic seconds
        self.unanswered = False
        if self.subscription.get_message(timeout=WORKER_PATIENCE) is None:  # that it is subscribed
            raise RedisTimeoutError("Valkey does not respond.")
        self.socket = self.subscription.connection._get_socket()  # noqa: SLF001 (it has no other name)
        self.socket.settimeout(0)
        self.tail = b""  # the end of what was received, in which the kind of a message may have begun

    def fileno(self) -> int:
        """Return the file descriptor of its socket."""
        return int(self.socket.fileno())

    def woken(self) -> bool:
        """Take what has come; return whether there was a wake.

        Its messages say nothing but their name, so they are not parsed: that costs more than a look for what
        is due.
        """
        try:
            received = self.socket.recv(RECEIVED_AT_ONCE)
        except NOTHING_YET:
            return False
        except OSError as error:
            raise RedisConnectionError(f"Valkey cannot be heard: {error}") from error
        if not received:
            raise RedisConnectionError("Valkey has closed the connection.")
        self.unanswered = False
        received = self.tail + received
        woken = MESSAGE in received
        self.tail = b"" if woken else received[1 - len(MESSAGE) :]
        return woken

    def ask(self) -> None:
        """Ask Valkey for a sign of life, once a second; raise RedisError when it gave none since the last.

        One that hangs keeps its sockets open, and would never wake anybody again.
        """
        moment = time.monotonic()
        if moment < self.ask_at:
            return
        if self.unanswered:
            raise RedisTimeoutError("Valkey does not respond.")
        self.subscription.ping()
        self.ask_at, self.unanswered = moment + LISTENS, True

    def close(self) -> None:
        """Listen no more."""
        self.subscription.close()


def on_wake(call: Callable[[], None], name: str) -> Callable[[], None]:
    """Make a call at each wake of this name, in a thread; return what ends it before the process ends.

    For what is running, and would else see new rows only when it looks again by itself.
    """
    over = threading.Event()
    thread = threading.Thread(target=_listen, args=(call, name, over), name="wakes", daemon=True)
    thread.start()

    def end() -> None:
        over.set()
        thread.join(2 * WORKER_PATIENCE + LISTENS)  # what it waits for has these limits

    return end


def _listen(call: Callable[[], None], name: str, over: threading.Event) -> None:
    while not over.is_set():
        try:
            with closing(Wakes(name)) as wakes:
                call()  # for what was published while it was not subscribed
                while not over.is_set():
                    wakes.ask()
                    if select.select([wakes], [], [], LISTENS)[0] and wakes.woken():
                        call()
        except Exception as error:  # noqa: BLE001 (a thread that ended would never be woken again)
            if not isinstance(error, RedisError):
                log.warning("Listening to Valkey failed, retrying: %s: %s", type(error).__name__, error)
            over.wait(LISTENS)


def _wake_channel(name: str) -> str:
    return f"calapp:wakes:{name}"


def refusal() -> str | None:
    """Return why Valkey takes no writes, in its own words: empty when it does, None without a response."""
    return _asked(_write, None)


def _write(client: Redis) -> str:
    try:
        client.set("calapp:written", 1, ex=BEAT_LASTS)
    except REFUSALS as error:
        return str(error)
    return ""


@cache
def _neighbours() -> str:
    """Return what the processes of this machine, or of this container, have in common; empty if not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _member(worker: str) -> str:
    return f"{_neighbours()}/{os.getpid()}/{worker}"


def beat(client: Redis, name: str, worker: str) -> None:
    """Note that a worker of a queue is alive, in this process; by the server's clock, which all share."""
    client.zadd(_beats(name), {_member(worker): client.time()[0]})


def forget_beat(client: Redis, name: str, worker: str) -> None:
    """Note that a worker of a queue, in this process, has gone."""
    client.zrem(_beats(name), _member(worker))


def workers_alive(name: str = DELIVERIES) -> int:
    """Return how many worker processes of a queue are alive; 0 when Valkey takes no heartbeats."""

    def count(client: Redis) -> int:
        """Count the workers that beat lately; of those on this machine, whose processes are there, too."""
        since = client.time()[0] - BEAT_LASTS
        with client.pipeline() as pipe:
            pipe.zremrangebyscore(_beats(name), 0, since)
            pipe.zrange(_beats(name), 0, -1)
            members = [member.decode() for member in pipe.execute()[1]]
        return sum(not _is_gone(member) for member in members)

    return _asked(count, 0)


def _is_gone(member: str) -> bool:
    neighbours, _, rest = member.partition("/")
    if not neighbours or neighbours != _neighbours():
        return False
    try:
        os.kill(int(rest.partition("/")[0]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it is there, and somebody else's
        return False
    return False


def _beats(name: str) -> str:
    return f"calapp:workers:{name}"


def _asked(call: Callable[[Redis], Given], otherwise: Given) -> Given:
    """Return what a call of the web's client gives; `otherwise` when it refuses, is away, or just was."""
    if time.monotonic() < _away_until[0]:
        return otherwise
    try:
        return call(web_client())
    except REFUSALS:
        return otherwise
    except RedisError:
        _away_until[0] = time.monotonic() + LEFT_ALONE
        return otherwise


def ask_again() -> None:
    """Ask Valkey again although it has just been away: it is there by now."""
    _away_until[0] = 0.0
