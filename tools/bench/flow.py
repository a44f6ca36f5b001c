"""`python -m tools.bench --flow`: many events a second for minutes, and the worst day that a host may have.

The worst day is 134,000 events of one host for 100 endpoints that respond while 300 others hang.
"""

import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from tools.bench import machine
from tools.bench.checkout import ROOT, Checkout
from tools.bench.figures import percentile
from tools.bench.ground import Ground
from tools.bench.handwritten import put_section
from tools.bench.latency import BEFORE, EACH, EVERY, HANGING, HEALTHY, short_event
from tools.bench.receiving import Hit, Receiving, wait
from tools.bench.stage import paths

RATE = 500.0  # events a second, each in a transaction of its own
PIECE = 10.0  # seconds whose events the recorder tells of at once
WORST_DAY = 134_000
AFTERWARDS = 8.0  # seconds of events once the day is drained, while the others go on to hang


def flow(receiver: Receiving, minutes: float, *, postgresql: bool) -> tuple[float, list[float]]:
    """Record events at a rate; return the one that was reached, and the seconds from commit to first byte."""
    begun: dict[str, int] = {}
    hits: list[Hit] = []
    with Checkout(ROOT, receiver, postgresql=postgresql) as checkout:
        checkout.ask("alone", 5)
        wait(lambda: checkout.ask("drained"))
        receiver.take()
        began = time.monotonic()
        for _ in range(round(minutes * 60 / PIECE)):
            begun |= checkout.ask("paced", RATE, PIECE)[0]
            hits += receiver.take()
        seconds = time.monotonic() - began
        wait(lambda: checkout.ask("drained"))
        hits += receiver.take()
    first = {name: at for _, name, at in reversed(hits)}
    return len(begun) / seconds, [(first[name] - at) / 1e9 for name, at in begun.items()]


def worst_day(receiver: Receiving, *, postgresql: bool) -> tuple[float, int, list[float]]:
    """Return the seconds until the day was drained, how many were sent twice, and how long events take then.

    That is from commit to first byte, at the endpoints that respond, while the others hang.
    """
    with Ground(receiver, postgresql=postgresql) as ground:
        first = ground.webhooks(*paths("ok", HEALTHY), *paths("hang", HANGING))
        ground.worker.start()
        ground.drain(first, HEALTHY, HEALTHY)  # the worker has seen them respond
        ground.fill(first + HEALTHY, HANGING, HANGING * EACH)
        ground.release(first + HEALTHY, HANGING)
        time.sleep(BEFORE)
        receiver.take()
        seconds = ground.drain(first, HEALTHY, WORST_DAY).seconds
        counts = Counter(hit[:2] for hit in receiver.take() if hit[0].startswith("/ok/"))
        begun: dict[str, int] = {}
        with ground.here():
            until, number = time.monotonic() + AFTERWARDS, 0
            while time.monotonic() < until:
                number += 1
                short_event(ground, first + number % HEALTHY, begun)
                time.sleep(EVERY)
            wait(lambda: ground.drained(first, first + HEALTHY))
        hits = {name: at for _, name, at in receiver.take()}
    return (
        seconds,
        sum(counts.values()) - len(counts),
        [(hits[name] - at) / 1e9 for name, at in begun.items()],
    )


def measure(minutes: float, into: Path) -> None:
    """Measure both on both databases, and write the table into RESULTS.md."""
    began, load = datetime.now(UTC), machine.load()
    how = (
        f"{began:%d %B %Y}, `make bench ARGS=--flow`. *The flow* is {RATE:.0f} events a second for "
        f"{minutes:g} minutes, each in a transaction of its own, of one process, for one worker. "
        f"*The worst day* is {WORST_DAY:,} events that wait for {HEALTHY} endpoints that respond, while "
        f"{HANGING} others hang, each with {EACH} deliveries waiting; one worker, and then an event every "
        f"{EVERY * 1000:.0f} ms for those that respond. Load average before the start {load}."
    )
    lines = [
        "### Many events a second, and the worst day",
        "",
        how,
        "",
        "| | to reach | SQLite | PostgreSQL |",
        "|---|---|---|---|",
    ]
    columns: list[list[str]] = []
    with Receiving() as receiver:
        for postgresql in (False, True):
            rate, waits = flow(receiver, minutes, postgresql=postgresql)
            seconds, doubles, after = worst_day(receiver, postgresql=postgresql)
            columns.append(
                [
                    f"{rate:,.0f}",
                    f"{percentile(waits, 0.5) * 1000:.1f}",
                    f"{percentile(waits, 0.99) * 1000:.1f}",
                    f"{seconds:.1f}",
                    f"{doubles}",
                    f"{percentile(after, 0.99) * 1000:.1f}",
                ]
            )
            print(f"  {'PostgreSQL' if postgresql else 'SQLite'}: {columns[-1]}", flush=True)
    rows = [
        ("the flow, events recorded a second", f"{RATE:.0f}"),
        ("the flow, commit → first byte, p50, ms", "–"),
        ("the flow, commit → first byte, p99, ms", "≤ 50"),
        ("the worst day, seconds until it is drained", "≤ 60"),
        ("the worst day, deliveries sent twice", "0"),
        ("after it, commit → first byte beside those that hang, p99, ms", "≤ 100"),
    ]
    for (name, aim), *values in zip(rows, *columns, strict=True):
        lines.append(f"| {name} | {aim} | {' | '.join(values)} |")
    put_section(into / "RESULTS.md", "flow", "\n".join(lines))
