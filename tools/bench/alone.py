"""Events one at a time: how many a second, what one costs all processes, and what they cost at rest."""

import time
from statistics import median

import psutil

from tools.bench.figures import percentile
from tools.bench.ground import Ground
from tools.bench.latency import happen
from tools.bench.receiving import wait
from tools.bench.stage import Stage

EVERY = 0.02  # seconds between two events that are alone


def one_at_a_time(stage: Stage) -> None:
    """At rest, alone, and as quickly as one process records them, each in a transaction of its own."""
    for ground in stage.grounds:
        event_type_id = ground.event_type(f"alone-{time.monotonic_ns()}")
        ground.webhooks(f"/ok/alone-{event_type_id}", event_type_ids=(event_type_id,))
        with ground.here():
            happen(ground, event_type_id, {})  # opens the connections
            wait(ground.drained)
            ground.settle()
            at_rest(stage, ground)
            alone(stage, ground, event_type_id)
            steady_flow(stage, ground, event_type_id)
        stage.receiver.take()


def at_rest(stage: Stage, ground: Ground) -> None:
    """Note what all processes cost while nothing happens."""
    before = cpu(ground)
    time.sleep(stage.size.rest)
    spent = {part: (after - before[part]) / stage.size.rest for part, after in cpu(ground).items()}
    del spent["recording"]
    for part, seconds in spent.items():
        stage.results.note(f"at rest, {part}, {ground.name}", "ms CPU a second", seconds * 1000)
    stage.results.ratio("rest", ground.name, sum(spent.values()))


def alone(stage: Stage, ground: Ground, event_type_id: int) -> None:
    """Note what one event costs each part, and how long it takes from its commit to its first byte."""
    begun: dict[str, int] = {}
    stage.receiver.take()
    before = cpu(ground)
    for _ in range(stage.size.alone):
        next_at = time.monotonic() + EVERY
        happen(ground, event_type_id, begun)
        time.sleep(max(0.0, next_at - time.monotonic()))
    wait(ground.drained)
    for part, after in cpu(ground).items():
        spent = (after - before[part]) / stage.size.alone
        stage.results.note(f"one event alone, {part}, {ground.name}", "ms CPU", spent * 1000)
    hits = {name: at for _, name, at in stage.receiver.take()}
    seconds = [(hits[name] - at) / 1e9 for name, at in begun.items()]
    for what, value in (("p50", median(seconds)), ("p99", percentile(seconds, 0.99))):
        stage.results.note(f"one event alone, commit → first byte, {what}, {ground.name}", "ms", value * 1000)


def steady_flow(stage: Stage, ground: Ground, event_type_id: int) -> None:
    """Note how many events a second one process records and a worker delivers, all rows written."""
    begun: dict[str, int] = {}
    began = time.monotonic()
    while time.monotonic() < began + stage.size.steady:
        happen(ground, event_type_id, begun)
    wait(ground.drained)
    stage.results.note(
        f"a steady flow, {ground.name}", "deliveries/s", len(begun) / (time.monotonic() - began)
    )


def cpu(ground: Ground) -> dict[str, float]:
    """Return the CPU seconds of each part so far; `recording` is this process."""
    spent = {
        "recording": time.process_time(),
        "worker": ground.worker_cpu(),
        "Valkey": seconds_of(ground.valkey.all()),
    }
    if ground.postgresql:
        server = psutil.Process(ground.postgresql.server.get_pid())
        spent["PostgreSQL"] = seconds_of([server, *server.children(recursive=True)])
    return spent


def seconds_of(processes: list[psutil.Process]) -> float:
    """Return the CPU seconds of processes, user and system."""
    times = [process.cpu_times() for process in processes]
    return sum(one.user + one.system for one in times)
