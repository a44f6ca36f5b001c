"""What somebody else puts into the queue is dropped, never run: Valkey says that there is work, not what."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from rq import Callback, Queue
from rq.command import send_shutdown_command, send_stop_job_command
from rq.exceptions import InvalidJobOperation
from rq.job import Job, JobStatus
from rq.registry import StartedJobRegistry
from rq.serializers import DefaultSerializer, JSONSerializer
from rq.suspension import suspend
from rq.worker import BaseWorker

from calapp import broker
from tests.receiver import OK
from tests.running import wait_until
from tools.faults.world import World

KNOWN = broker.JOB


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World() as world:
        world.worker.start()
        world.webhook()
        world.witness.answers["/hook"] = OK
        yield world


@pytest.fixture
def client(world: World) -> Redis:
    return Redis.from_url(world.valkey.url)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file that there is once somebody's code was run."""
    return tmp_path / "run"


def taken(client: Redis) -> bool:
    return client.llen(f"rq:queue:{broker.DELIVERIES}") == 0


def assert_nothing_ran(world: World, client: Redis, mark: Path) -> None:
    """Wait until the queues are empty; nothing was run, and a booking is delivered as ever."""
    wait_until(lambda: taken(client))
    world.book(1)
    world.wait_delivered()
    time.sleep(0.2)
    assert not mark.exists()
    assert world.all_delivered()
    wait_until(lambda: not list(client.scan_iter("rq:job:*")))


@pytest.mark.parametrize("serializer", [JSONSerializer, DefaultSerializer])
def test_k4_a_foreign_job_is_dropped_and_not_run(
    world: World, client: Redis, mark: Path, serializer: type
) -> None:
    name = broker.DELIVERIES
    Queue(name, connection=client, serializer=serializer).enqueue("os.system", f"touch {mark}")
    assert_nothing_ran(world, client, mark)
    assert f"Dropped an unknown job from the queue {name}" in (world.folder / "worker.log").read_text()


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (KNOWN, (1,)),
        ("calapp.deliveries.engine.free_left_behind", ()),
        ("calapp.maintenance.clean_up", ()),
        ("", ()),
    ],
)
def test_k4_the_known_function_is_run_without_arguments_or_not_at_all(
    world: World, client: Redis, mark: Path, function: str, arguments: tuple[int, ...]
) -> None:
    broker_queue = Queue(broker.DELIVERIES, connection=client, serializer=JSONSerializer)
    before = (world.folder / "worker.log").read_text().count("Dropped an unknown job")
    broker_queue.enqueue_call(function or "x", args=arguments)
    assert_nothing_ran(world, client, mark)
    assert (world.folder / "worker.log").read_text().count("Dropped an unknown job") == before + 1


def test_k4_what_hangs_on_a_known_job_is_not_done(world: World, client: Redis, mark: Path) -> None:
    queue = Queue(broker.DELIVERIES, connection=client, serializer=JSONSerializer)
    first = Job.create(
        KNOWN,
        connection=client,
        serializer=JSONSerializer,
        on_success=Callback("os.system"),
        on_failure=Callback("os.system"),
        on_stopped=Callback("os.system"),
    )
    first.retries_left, first.repeats_left, first.repeat_intervals = 3, 3, [0]
    queue.enqueue("os.system", f"touch {mark}", depends_on=first)
    client.hset(first.key, "webhooks", f'[{{"url": "{world.witness.url("/rq")}", "job_status": "finished"}}]')
    queue.enqueue_job(first)
    wait_until(lambda: taken(client))
    world.book(1)
    world.wait_delivered()
    time.sleep(0.2)
    assert not mark.exists()
    assert world.witness.of("/rq") == []
    for key in client.scan_iter("rq:job:*"):
        client.delete(key)


def test_k4_an_abandoned_job_with_callbacks_or_pickles_is_not_looked_at(
    world: World, client: Redis, mark: Path
) -> None:
    queue = Queue(broker.DELIVERIES, connection=client, serializer=JSONSerializer)
    job = Job.create(
        "os.system", args=(f"touch {mark}",), connection=client, on_failure=Callback("os.system")
    )
    job.set_status(JobStatus.STARTED)
    job.save()
    client.zadd(StartedJobRegistry(queue=queue).key, {f"{job.id}:execution": 1})
    client.rpush(f"{queue.key}:intermediate", job.id)
    world.worker.terminate()
    world.worker.start()  # which does RQ's upkeep first
    client.delete(job.key)
    assert_nothing_ran(world, client, mark)


def test_k4_commands_of_rq_stop_no_worker(world: World, client: Redis, mark: Path) -> None:
    before = {process.pid for process in world.worker.all()}
    suspend(client)
    job = Job.create(KNOWN, connection=client)
    job.save()
    for name in {worker.name for worker in BaseWorker.all(connection=client)}:
        send_shutdown_command(client, name)
        with pytest.raises(InvalidJobOperation):  # no job is ever at work for RQ
            send_stop_job_command(client, job.id)
    client.delete(job.key)
    assert_nothing_ran(world, client, mark)
    assert {process.pid for process in world.worker.all()} == before
    client.delete("rq:suspended")


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[" * 5000, b"x\x9c" + b"\0" * 50])
def test_k4_a_job_that_cannot_be_read_is_dropped(
    world: World, client: Redis, mark: Path, data: bytes
) -> None:
    client.hset("rq:job:odd", "data", data)
    client.rpush(f"rq:queue:{broker.DELIVERIES}", "odd", b"\xff\x00", "missing")
    assert_nothing_ran(world, client, mark)


def test_k4_a_job_of_another_type_is_dropped(world: World, client: Redis, mark: Path) -> None:
    client.set("rq:job:odd", "text")
    client.rpush(f"rq:queue:{broker.DELIVERIES}", "odd")
    wait_until(lambda: taken(client))
    client.delete("rq:job:odd")
    assert_nothing_ran(world, client, mark)
