"""How many deliveries a second, and what each costs."""

import json
import subprocess
import sys
import time
from datetime import timedelta
from statistics import median

from sqlalchemy import text

from calapp.db import database_now, db, transaction
from calapp.deliveries.claims import claim, ready
from tools.bench.ground import BODY, Ground
from tools.bench.plain import ROOT
from tools.bench.receiving import wait
from tools.bench.stage import ENDPOINTS, Stage

CLAIMED = 100
WARM = 2.0  # seconds: the sweep wakes a second process after at most one


def against_plain_and_bare(stage: Stage) -> None:
    """One worker against the plain design and against a bare loop."""
    results, size = stage.results, stage.size
    plain, plain_cpu = stage.plain.run(BODY, size.plain)
    bare, bare_cpu = bare_loop(stage)
    results.note("the plain design", "deliveries/s", plain)
    results.note("the plain design, CPU per delivery", "ms", plain_cpu * 1000)
    results.note("a bare libcurl loop", "deliveries/s", bare)
    results.note("a bare libcurl loop, CPU per delivery", "µs", bare_cpu * 1e6)
    for ground in stage.grounds:
        made = ground.drain(ground.rates[1], 1, size.deliveries)
        cpu = made.cpu / made.count
        results.note(f"one worker, {ground.name}", "deliveries/s", made.rate)
        results.note(f"one worker, {ground.name}, CPU per delivery", "µs", cpu * 1e6)
        results.ratio("plain", ground.name, made.rate / plain)
        results.ratio("bare", ground.name, made.rate / bare)
        results.ratio("cpu", ground.name, cpu / plain_cpu)


def bare_loop(stage: Stage) -> tuple[float, float]:
    """Run the bare loop in a process of its own; return deliveries a second and CPU seconds for each."""
    count = 2 * stage.size.deliveries
    command = [sys.executable, "-m", "tools.bench.bare", stage.receiver.url("/ok/bare"), str(count)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    stage.receiver.take()
    made = json.loads(printed)
    return count / made["seconds"], made["cpu"] / count


def to_many_endpoints(stage: Stage) -> None:
    """The same number of deliveries to 1, 100 and 400 endpoints."""
    for ground in stage.grounds:
        rates = []
        for count in ENDPOINTS:
            made = ground.drain(ground.rates[count], count, stage.size.deliveries)
            rates.append(made.rate)
            stage.results.note(f"to {count} endpoints, {ground.name}", "deliveries/s", made.rate)
        stage.results.ratio("endpoints", ground.name, max(rates) / min(rates))
        stage.receiver.take()


def claims(stage: Stage) -> None:
    """A claim with little and with much waiting, in turn."""
    for ground, large in zip(stage.grounds, stage.large, strict=True):
        ground.worker.stop()
        ground.fill(ground.rates[1], 1, 1000)
        for one in (ground, large):
            with one.here():
                one.hold(one.rates[1], 1, None)
        pairs = [(one_claim(ground), one_claim(large)) for _ in range(stage.size.claims)]
        few, many = (median(times) for times in zip(*pairs, strict=True))
        stage.results.note(f"a claim with 1,000 waiting, {ground.name}", "ms", few * 1000)
        stage.results.note(f"a claim with {stage.size.backlog:,} waiting, {ground.name}", "ms", many * 1000)
        stage.results.ratio("claim", ground.name, many / few)
        ground.forget_waiting()
        ground.restart_worker()


def one_claim(ground: Ground) -> float:
    """Claim with a lease that ends at once, so that as much waits as before; return the seconds."""
    with ground.here():
        began = time.perf_counter()
        session = db.session()
        at = database_now(session)
        assert ready(session, at)
        session.rollback()
        with transaction() as session:
            taken = claim(session, {ground.rates[1]: CLAIMED}, timedelta(0), at)
        elapsed = time.perf_counter() - began
    assert len(taken.rows) == CLAIMED
    return elapsed


def workers(stage: Stage) -> None:
    """One process and two, and on PostgreSQL four, to a receiver that takes 100 ms; nothing is sent twice."""
    for ground in stage.grounds:
        webhook = ground.webhooks(f"/slow/100/{time.monotonic_ns()}")
        rates = {}
        for processes in (1, 2) if ground.settings.sqlite else (1, 2, 4):
            stage.receiver.take()
            rates[processes] = steady(stage, ground, webhook, processes)
            what = f"{processes} × 64 in flight, 100 ms each, {ground.name}"
            stage.results.note(what, "deliveries/s", rates[processes])
            names = [name for _, name, _ in stage.receiver.take()]
            assert len(names) == len(set(names)), f"{what}: {len(names) - len(set(names))} were sent twice."
        stage.results.ratio("workers", ground.name, rates[2] / rates[1])
        if 4 in rates:
            stage.results.ratio("four workers", ground.name, rates[4] / rates[1])
        ground.restart_worker()


def steady(stage: Stage, ground: Ground, webhook: int, processes: int) -> float:
    """Return deliveries a second once so many processes are at work."""
    seconds = stage.size.steady
    ground.restart_worker(processes)
    ground.fill(webhook, 1, int(processes * 700 * (seconds + WARM)) + 500)
    ground.release(webhook, 1)
    time.sleep(WARM)
    rate = hits_a_second(stage, seconds)
    ground.worker.kill()
    ground.forget_waiting()
    return rate


def hits_a_second(stage: Stage, seconds: float) -> float:
    """Count the receiver's hits for a while."""
    before, began = stage.receiver.count(), time.monotonic()
    time.sleep(seconds)
    after, ended = stage.receiver.count(), time.monotonic()
    return (after - before) / (ended - began)


def with_backlogs(stage: Stage) -> None:
    """Deliveries a second with more and more waiting: a picture."""
    for ground, large in zip(stage.grounds, stage.large, strict=True):
        for count in stage.size.backlogs:
            rate = ground.drain(ground.rates[1], 1, count).rate
            stage.results.point("backlog", ground.name, count, rate)
        stage.receiver.take()
        with large.here():
            large.hold(large.rates[1], 1, None)
        large.restart_worker()
        ready = time.monotonic()
        wait(stage.receiver.count)
        waited = f"a ready worker's first delivery with {stage.size.backlog:,} waiting, {ground.name}"
        stage.results.note(waited, "s", time.monotonic() - ready)
        time.sleep(WARM)
        rate = hits_a_second(stage, stage.size.steady)
        large.worker.stop()
        with large.here(), transaction() as session:  # what was in flight comes due again
            session.execute(text("UPDATE delivery SET due_at = created_at WHERE claim IS NOT NULL"))
        stage.results.point("backlog", ground.name, stage.size.backlog, rate)
        stage.receiver.take()
