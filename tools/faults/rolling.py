"""A restart of every process in turn while visitors book, on PostgreSQL and a Valkey with a password."""

import itertools
import threading
import time

import requests
from redis import Redis, RedisError

from tools.faults.parts import Part, Valkey, Web, Worker, free_port
from tools.faults.report import Finding, experiment, percentile
from tools.faults.world import Posted, World

PASSWORD = "a-password-of-the-queue"
PUBLIC = {
    "BASE_URL": "https://cal.example.com",
    "SECRET_KEY": "a-key-that-every-process-shares",
    "TRUSTED_PROXIES": "1",
    "LOG_FORMAT": "json",
    "WEB_CONCURRENCY": "2",
}


class PublicWorld(World):
    """A Calapp that others reach, so that the demo host's password would be refused."""

    password = "another password"
    headers = {"Host": "cal.example.com"}  # as the proxy passes it on

    def __init__(self, port: int, **settings: str) -> None:
        redis = f"redis://:{PASSWORD}@127.0.0.1:{port}"
        super().__init__(postgresql=True, **({"REDIS_URL": redis} | PUBLIC | settings))
        self.valkey = OutsideValkey(self.folder, self.environment)
        self.web = First(self.folder, self.environment)


class OutsideValkey(Valkey):
    """A Valkey of its own on a port, with a password."""

    @property
    def url(self) -> str:
        return self.environment["REDIS_URL"]

    @property
    def command(self) -> list[str]:
        port = self.url.rpartition(":")[2]
        return [
            super().command[0],
            "--port",
            port,
            "--bind",
            "127.0.0.1",
            "--requirepass",
            PASSWORD,
            "--save",
            "",
        ]

    def ready(self) -> bool:
        try:
            return bool(Redis.from_url(self.url, socket_timeout=1).ping())
        except RedisError:
            return False


class First(Web):
    """A web server that is waited for until it answers, as whoever restarts one after the other does."""

    def ready(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.environment['PORT']}/healthz", timeout=5).ok
        except requests.RequestException:
            return False


class Second(First):
    """The other web server."""


class Other(Worker):
    """The other worker."""


class Crowd:
    """Visitors who book through both web servers as a proxy does: one that is not there is passed over."""

    def __init__(self, world: World, addresses: list[str]) -> None:
        self.world = world
        self.turns = itertools.cycle((addresses, addresses[::-1]))
        self.over = threading.Event()
        self.posted: list[Posted] = []
        self.passed_over = 0

    def visitor(self) -> None:
        while not self.over.is_set():
            self.posted.append(self._book())
            time.sleep(0.05)

    def _book(self) -> Posted:
        start = self.world.next_start()
        for address in next(self.turns):
            posted = self.world.post(start, address=address)
            if posted.status:
                break
            self.passed_over += 1
        return posted


@experiment(18, "rolling-restart", "restart every web server and worker in turn while visitors book")
def rolling_restart(finding: Finding, short: bool) -> None:
    with PublicWorld(free_port()) as world:
        other = {"PORT": str(free_port())}
        second = Second(world.folder, world.environment | other)
        more = Other(world.folder, world.environment)
        parts: list[Part] = [world.web, second, world.worker, more]
        world.stack.callback(second.stop)
        world.stack.callback(more.stop)
        for part in parts[1:]:
            part.start()
        world.webhook()
        crowd = Crowd(world, [world.address, f"http://127.0.0.1:{other['PORT']}"])
        _restart_all(crowd, parts, rounds=1 if short else 3)
        took = world.wait_delivered(60)
        _judge(finding, crowd, took)
        logs = "".join(path.read_text() for path in world.folder.glob("*.log"))
        finding.expect("no log has a traceback", "Traceback" not in logs)
        secrets = [
            word for word in ("ada@example.com", "whsec_", PASSWORD, PUBLIC["SECRET_KEY"]) if word in logs
        ]
        finding.expect(f"no log has a secret or an answer {secrets or ''}", not secrets)


def _restart_all(crowd: Crowd, parts: list[Part], *, rounds: int) -> None:
    visitors = [threading.Thread(target=crowd.visitor) for _ in range(4)]
    for one in visitors:
        one.start()
    for _ in range(rounds):
        for part in parts:
            time.sleep(2)
            part.terminate()
            part.start()
    time.sleep(1)
    crowd.over.set()
    for one in visitors:
        one.join()


def _judge(finding: Finding, crowd: Crowd, took: float) -> None:
    booked = [one for one in crowd.posted if one.status == 303]
    refused = sorted({one.status for one in crowd.posted} - {303})
    p99 = percentile([one.seconds for one in crowd.posted], 0.99)
    finding.note(
        f"{len(crowd.posted)} visitors, {len(booked)} booked, p99 {p99:.3f} s; the rest took {took:.1f} s"
    )
    finding.note(f"{crowd.passed_over} requests met a server that was restarting and went to the other")
    finding.expect(f"every visitor booked (others: {refused})", len(booked) == len(crowd.posted))
    tally = crowd.world.judge(finding)
    finding.expect(f"as many bookings as were answered: {tally.bookings}", tally.bookings == len(booked))
