"""Experiments of an operator: a database server that is silent, frozen or full, receivers that are slow.

They are numbered as the rows that they came from.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import requests

from tools.faults.report import Finding, experiment
from tools.faults.silence import Network
from tools.faults.states import pile_up
from tools.faults.world import Posted, World


@dataclass(frozen=True)
class Checked:
    """What /healthz answered: its code, 0 without an answer, the word of its state, and the seconds."""

    code: int
    status: str
    seconds: float
    at: float = field(default_factory=time.monotonic)  # when it came


def check(world: World) -> Checked:
    """Ask /healthz."""
    began = time.monotonic()
    try:
        answer = requests.get(f"{world.address}/healthz", headers=world.headers, timeout=60)
    except requests.RequestException:
        return Checked(0, "", time.monotonic() - began)
    return Checked(answer.status_code, answer.json()["status"], time.monotonic() - began)


class Watch:
    """Visitors who book and somebody who asks /healthz, until it is over; gives what they saw."""

    def __init__(self, world: World, visitors: int) -> None:
        self.world = world
        self.over = threading.Event()
        self.posted: list[Posted] = []
        self.checked: list[Checked] = []
        self.threads = [
            threading.Thread(target=self._repeat, args=(self._book, 0.2)) for _ in range(visitors)
        ]
        self.threads.append(
            threading.Thread(target=self._repeat, args=(lambda: self.checked.append(check(world)), 1.0))
        )

    def _repeat(self, act: Callable[[], None], pause: float) -> None:
        while not self.over.is_set():
            act()
            self.over.wait(pause)

    def _book(self) -> None:
        self.posted.append(self.world.post(timeout=120))

    def __enter__(self) -> Self:
        for one in self.threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for one in self.threads:
            one.join()


@experiment("O2", "silent-database", "PostgreSQL's packets are dropped; its processes are frozen")
def silent_database(finding: Finding, short: bool) -> None:
    limits = {
        "DATABASE_CONNECT_TIMEOUT": "2",
        "DATABASE_NETWORK_TIMEOUT": "3",
        "DATABASE_STATEMENT_TIMEOUT": "1",
        "DATABASE_WORKER_STATEMENT_TIMEOUT": "2",
    }
    with World(postgresql=True, **(limits if short else {})) as world:
        assert world.postgresql is not None
        with Network(world.postgresql.url) as network:
            world.web.stop()
            for part in (world.web, world.worker):
                part.environment = world.environment | {"DATABASE_URL": network.url}
                part.start()
            world.webhook()
            world.book(10)
            world.wait_delivered()
            finding.note("every packet is dropped:")
            bear(
                finding, world, network.silence, network.let_through, longest=5 if short else 15, short=short
            )
            if not short:
                finding.note("all processes are frozen, while their system goes on:")
                bear(finding, world, world.postgresql.freeze, world.postgresql.thaw, longest=30, short=short)
            world.judge(finding, doubles=64)


def bear(
    finding: Finding,
    world: World,
    away: Callable[[], None],
    back: Callable[[], None],
    *,
    longest: float,
    short: bool,
) -> None:
    """Watch a Calapp whose database goes away, and see it come back; `longest` is what a page may take."""
    with Watch(world, visitors=4 if short else 20) as watch:
        time.sleep(1)
        away()
        left = time.monotonic()
        time.sleep(longest + 3 if short else 2 * longest + 15)
    during = [one for one in watch.posted if one.at > left + 1]
    statuses = sorted({one.status for one in watch.posted if one.at > left}, reverse=True)
    worst = max(one.seconds for one in during)
    finding.note(f"{len(during)} visitors after that saw {statuses}, the slowest after {worst:.1f} s")
    finding.expect(
        f"each gets an error within {longest} s and a few", worst < longest + 4 and 0 not in statuses
    )
    checked = [one for one in watch.checked if one.at > left + 3]
    codes = sorted({(one.code, one.status) for one in checked})
    slowest = max(one.seconds for one in checked)
    finding.expect(
        f"/healthz said {codes} {len(checked)} times, the slowest after {slowest:.1f} s",
        codes == [(503, "down")] and slowest < 10,
    )
    back()
    began = time.monotonic()
    world.wait(lambda: world.post().status == 303, 60)
    booked = time.monotonic() - began
    world.wait(lambda: check(world).code == 200, 60)
    healthy = time.monotonic() - began
    world.book(5)
    world.wait_delivered(90)
    took = time.monotonic() - began
    finding.note(f"back: a booking after {booked:.1f} s, healthy after {healthy:.1f} s")
    finding.expect(f"all delivered {took:.1f} s after it came back", took < 30)


@experiment("O7", "full-disk", "the disk of PostgreSQL is full, and then is not", long=True)
def full_disk(finding: Finding, short: bool) -> None:
    with World(postgresql=True, megabytes=160) as world:
        assert world.postgresql is not None
        assert world.postgresql.disk is not None
        world.worker.start()
        world.webhook()
        world.book(10)
        world.wait_delivered()
        filler = world.postgresql.disk / "filler"
        fill(filler)
        filled = time.monotonic()
        with Watch(world, visitors=4) as watch:
            world.wait(lambda: any(one.status != 303 for one in watch.posted), 60)
            refused = time.monotonic()
            world.wait(lambda: any(one.code == 503 for one in watch.checked), 60)
            noticed = time.monotonic() - refused
            time.sleep(20)
        statuses = sorted({one.status for one in watch.posted if one.at > filled})
        finding.note(f"{len(watch.posted)} visitors saw {statuses}")
        finding.expect("bookings succeed or get 503", set(statuses) <= {303, 503} and 503 in statuses)
        finding.expect(f"/healthz says so {noticed:.1f} s after the first", noticed < 15)
        codes = sorted({(one.code, one.status) for one in watch.checked if one.at > refused + 15})
        finding.expect(f"and goes on to: {codes}", codes == [(503, "down")])
        filler.unlink()
        began = time.monotonic()
        world.wait(lambda: world.post().status == 303, 60)
        world.wait(lambda: check(world).code == 200, 60)
        world.book(5)
        world.wait_delivered(90)
        took = time.monotonic() - began
        finding.expect(f"everything is back {took:.1f} s after there is room", took < 40)
        world.judge(finding, doubles=64)


def fill(file: Path) -> None:
    """Write a file until the disk is full."""
    with file.open("wb") as full, suppress(OSError):
        while True:
            full.write(bytes(65536))
            full.flush()


PER_SECOND, A_MINUTE = 12, 60.0


@experiment(
    "O5", "slow-receivers", "receivers that answer 200 after 1.1, 5 and 14 s, 12 events a second", long=True
)
def slow_receivers(finding: Finding, short: bool) -> None:
    for seconds in (1.1, 5.0, 14.0):
        with World(WEBHOOK_TIMEOUT="20") as world:
            world.worker.start()
            world.witness.delays["/slow"] = seconds
            slow, quick = world.webhook("/slow"), world.webhook("/hook")
            began, written = time.monotonic(), 0
            while (passed := time.monotonic() - began) < A_MINUTE:
                if (due := int(PER_SECOND * passed) - written) > 0:
                    for webhook_id in (slow, quick):
                        pile_up(world, webhook_id, due)
                    written += due
                time.sleep(0.05)
            begun = [hit.at - began for hit in world.witness.of("/slow")]
            last = sum(at > A_MINUTE / 2 for at in begun) / (A_MINUTE / 2)
            # Whatever there is to send, no more than the limit of one endpoint may be in flight.
            most = min(PER_SECOND, 64 / seconds)
            finding.note(
                f"{seconds} s: {written} events, {len(begun)} of them sent, {last:.1f} a second at the end"
            )
            finding.expect(f"that is nine tenths of the {most:.1f} there can be", last >= 0.9 * most)
            beside = len(world.witness.of("/hook"))
            finding.expect(f"a quick receiver got {beside} of its own", beside >= written - 2 * PER_SECOND)
