"""Experiments in which a process dies, hangs or is asked to stop."""

import random
import re
import signal
import threading
import time
from collections.abc import Callable

from calapp.deliveries.engine import LEASE_MARGIN
from calapp.deliveries.models import Delivery, State
from calapp.processes import LONGEST_PAUSE
from tests.receiver import OK
from tools.faults.report import Finding, experiment, percentile
from tools.faults.world import Posted, World


@experiment(1, "worker-killed", "kill -9 the worker while 20 POSTs hang, start another")
def worker_killed(finding: Finding, short: bool) -> None:
    timeout = 2 if short else 5
    with World(WEBHOOK_TIMEOUT=str(timeout)) as world:
        world.worker.start()
        world.webhook()
        world.book(8)
        world.wait_delivered()  # so that the endpoint's window is open
        world.witness.answers["/hook"] = None
        before = len(world.witness.hits)
        world.book(20, threads=8)
        world.wait(lambda: len(world.witness.hits) >= before + 20, timeout)
        finding.note(f"{len(world.witness.hits) - before} POSTs were hanging when the worker was killed")
        world.worker.kill()
        world.witness.answers["/hook"] = OK
        killed = time.monotonic()
        world.worker.start()
        world.wait_delivered()
        lease = timeout + LEASE_MARGIN
        took = time.monotonic() - killed
        world.judge(finding, doubles=20)
        finding.expect(f"back within the lease of {lease:.0f} s and a sweep: {took:.1f} s", took < lease + 5)


@experiment(2, "valkey-away", "stop Valkey during bookings and start it empty; the same with SIGSTOP")
def valkey_away(finding: Finding, short: bool) -> None:
    count = 60 if short else 500
    with World() as world:
        world.worker.start()
        world.webhook()
        world.book(10)
        here = seconds_of(world.book(count))
        stopped = during(world.valkey.kill, world, count)
        world.valkey.start()
        world.book(10)
        paused = during(lambda: world.valkey.send(signal.SIGSTOP), world, count)
        time.sleep(2 if short else 6)
        world.valkey.send(signal.SIGCONT)
        world.book(10)
        world.wait_delivered()
        finding.note(f"p99 of bookings: {here:.3f} s; stopped {stopped:.3f} s; under SIGSTOP {paused:.3f} s")
        if not short:
            finding.expect("with Valkey stopped at most twice as long", stopped <= 2 * here + 0.02)
        finding.expect("under SIGSTOP at most 0.5 s", paused <= (2 if short else 0.5))
        world.judge(finding)


def during(happen: Callable[[], object], world: World, count: int) -> float:
    """Book while something happens after a third of the bookings; return the p99 of the rest."""
    world.book(count // 3)
    happen()
    return seconds_of(world.book(count - count // 3))


def seconds_of(posted: list[Posted]) -> float:
    """Return the p99 of bookings, all of which succeeded."""
    assert {one.status for one in posted} == {303}, {one.status for one in posted}
    return percentile([one.seconds for one in posted], 0.99)


@experiment(3, "web-killed", "kill -9 the web server at random during bookings")
def web_killed(finding: Finding, short: bool) -> None:
    count, kills = (80, 2) if short else (1000, 12)
    with World() as world:
        world.worker.start()
        world.webhook()
        over = threading.Event()
        deaths = [0]

        def assassinate() -> None:
            while not over.is_set() and deaths[0] < kills:
                over.wait(random.uniform(0.2, 0.6 if short else 2.0))
                world.web.kill()
                deaths[0] += 1
                world.web.start()

        thread = threading.Thread(target=assassinate)
        thread.start()
        posted = world.book(count, threads=6, pause=0.02)
        over.set()
        thread.join()
        world.wait_delivered()
        world.worker.terminate()
        good = sum(one.status == 303 for one in posted)
        finding.note(f"{deaths[0]} kills; {good} of {count} visitors saw their booking confirmed")
        tally = world.judge(finding)
        finding.expect("every booking that a visitor saw confirmed is there", tally.bookings >= good)
        finding.expect("some visitors were interrupted", good < count or short)


@experiment(5, "postgresql-killed", "kill -9 PostgreSQL under load, restart it", long=True)
def postgresql_killed(finding: Finding, short: bool) -> None:
    with World(postgresql=True) as world:
        assert world.postgresql is not None
        world.worker.start()
        world.webhook()
        posted: list[Posted] = []
        load = threading.Thread(target=lambda: posted.extend(world.book(400, threads=6, pause=0.03)))
        load.start()
        for _ in range(2):
            time.sleep(1.0)
            world.postgresql.kill()
            time.sleep(1.0)
            world.postgresql.start()
        load.join()
        after = world.book(10)
        took = world.wait_delivered(90)
        statuses = sorted({one.status for one in posted})
        worst = max(one.seconds for one in posted)
        finding.note(
            f"statuses seen {statuses}, the slowest answer {worst:.1f} s; delivered after {took:.1f} s"
        )
        finding.expect("clean errors: only 303 and 503", set(statuses) <= {303, 503})
        finding.expect("afterwards every booking succeeds", {one.status for one in after} == {303})
        world.judge(finding, doubles=64)


@experiment(17, "sigterm", "SIGTERM to the worker under load")
def sigterm(finding: Finding, short: bool) -> None:
    count = 60 if short else 300
    with World() as world:
        world.webhook()
        world.witness.delay = 0.5
        world.book(count, threads=8)
        world.worker.start()
        world.wait(lambda: len(world.witness.hits) >= 10)
        out = world.count(Delivery.claim.is_not(None))
        asked = time.monotonic()
        code = world.worker.terminate()
        took = time.monotonic() - asked
        arrived = len(world.witness.hits)
        recorded = world.count(Delivery.state == State.DELIVERED)
        world.witness.delay = 0.0
        world.worker.start()
        world.wait_delivered()
        finding.note(f"{out} in flight at SIGTERM; exit code {code} after {took:.1f} s")
        finding.expect(f"what had arrived was recorded: {recorded} of {arrived}", recorded == arrived)
        finding.expect("the exit is clean, within the deadline and two seconds", code == 0 and took < 7)
        world.judge(finding)


def said_pauses(log: str) -> dict[str, list[float]]:
    """Return the seconds between failed starts that a worker's log gives for each of its processes."""
    pauses: dict[str, list[float]] = {}
    for name, seconds in re.findall(r"warning: (.+) could not be started .*; retrying in ([\d.]+) s", log):
        pauses.setdefault(name, []).append(float(seconds))
    return pauses


@experiment("O1", "no-fork", "kill -9 a delivery child while no process can be forked")
def no_fork(finding: Finding, short: bool) -> None:
    with World(staged=True) as world:
        world.worker.start()
        world.webhook()
        world.book(4)
        world.wait_delivered()
        refusal = world.folder / "no-fork"
        refusal.touch()
        for child in world.worker.all()[1:]:
            child.kill()
        world.book(4)
        time.sleep(3 if short else 30)
        pauses = said_pauses((world.folder / "worker.log").read_text())
        waiting = world.count(Delivery.state != State.DELIVERED)
        finding.note(f"pauses between failed starts: {pauses}; {waiting} deliveries were waiting meanwhile")
        slower = [len(of) > 1 and of == sorted(of) for of in pauses.values()]
        finding.expect("failed starts are said, and tried again ever more slowly", slower and all(slower))
        finding.expect("the parent is there", world.worker.process and world.worker.process.poll() is None)
        refusal.unlink()
        took = world.wait_delivered()
        finding.expect(f"deliveries go on within the longest pause: {took:.1f} s", took < LONGEST_PAUSE + 10)
        finding.expect("the end is clean", world.worker.terminate() == 0)
        world.judge(finding, doubles=4)
