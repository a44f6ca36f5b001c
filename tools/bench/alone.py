"""Events one at a time: how many a second, what one costs all processes, and what they cost at rest.

`python -m tools.bench.alone OTHER` measures this checkout and another one in turn, on both databases, and
writes the table into RESULTS.md: its ratios are of one run.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from tools.bench.checkout import ROOT, Checkout
from tools.bench.figures import percentile
from tools.bench.receiving import Receiving, wait
from tools.bench.sizes import FULL, QUICK, Size
from tools.bench.stage import Stage

MEGABYTE = 1_000_000
BACKLOG = 10_000

# What is measured, its unit, and what it should be: by ratio to the other checkout's, or by itself.
AT_REST, CPU, STEADY = (
    "at rest, CPU of all processes",
    "one event alone, CPU of all processes",
    "a steady flow",
)
P50, P99 = (f"one event alone, commit → first byte, {share}" for share in ("p50", "p99"))
MEMORY, DRAINED = "memory of the worker, parent and children (PSS)", "a backlog of 10,000"
UNITS = {AT_REST: "ms a second", CPU: "ms", P50: "ms", P99: "ms", MEMORY: "MB", STEADY: "a second"}
UNITS[DRAINED] = "a second"
AIMS = {
    "SQLite": {AT_REST: "≤ 10", CPU: "≤ 0.25 ×", P50: "≤ 1.5", P99: "≤ 6", MEMORY: "≤ 120", STEADY: "≥ 3 ×"},
    "PostgreSQL": {
        AT_REST: "≤ 10",
        CPU: "≤ 0.25 ×",
        P50: "≤ 2.5",
        P99: "≤ 6",
        MEMORY: "≤ 120",
        STEADY: "≥ 6 ×",
    },
}
for aims in AIMS.values():
    aims[DRAINED] = "≥ 1 ×"


def one_at_a_time(stage: Stage) -> None:
    """Measure this checkout: at rest, one event alone, and a steady flow."""
    for ground in stage.grounds:
        for what, value in measured(
            ROOT, stage.receiver, stage.size, postgresql=bool(ground.postgresql)
        ).items():
            stage.results.note(f"{what}, {ground.name}", UNITS.get(what, "ms"), value)
            if what == AT_REST:
                stage.results.ratio("rest", ground.name, value / 1000)


def measured(
    root: Path, receiver: Receiving, size: Size, *, postgresql: bool, backlog: int = 0
) -> dict[str, float]:
    """Return every figure of a checkout, by what it is."""
    with Checkout(root, receiver, postgresql=postgresql) as checkout:
        checkout.ask("alone", 5)  # opens the connections
        wait(lambda: checkout.ask("drained"))
        found = alone(checkout, size.alone)
        found[STEADY] = steady_flow(checkout, size.steady)
        if backlog:
            found[DRAINED] = drained(checkout, backlog)
        time.sleep(0.5 if size.rest < 1 else 3.0)
        found |= at_rest(
            checkout, size.rest
        )  # last, since what a process does first is not what it does at rest
        found[MEMORY] = checkout.memory() / MEGABYTE
        receiver.take()
        return found


def at_rest(checkout: Checkout, seconds: float) -> dict[str, float]:
    """Return what all processes cost while nothing happens."""
    before = checkout.cpu()
    time.sleep(seconds)
    spent = {part: (after - before[part]) / seconds * 1000 for part, after in checkout.cpu().items()}
    return {AT_REST: sum(spent.values())} | {f"at rest, CPU of {part}": one for part, one in spent.items()}


def alone(checkout: Checkout, count: int) -> dict[str, float]:
    """Return what one event costs each part, and how long it takes from its commit to its first byte."""
    checkout.receiver.take()
    before = checkout.cpu()
    begun, recording = checkout.ask("alone", count)
    time.sleep(0.2)  # the last response is stored
    spent = {part: (after - before[part]) / count * 1000 for part, after in checkout.cpu().items()}
    spent["recording"] = recording / count * 1000
    wait(lambda: checkout.ask("drained"))
    hits = {name: at for _, name, at in reversed(checkout.receiver.take())}  # the first hit of each
    seconds = [(hits[name] - at) / 1e6 for name, at in begun.items()]
    found = {CPU: sum(spent.values()), P50: median(seconds), P99: percentile(seconds, 0.99)}
    return found | {f"one event alone, CPU of {part}": one for part, one in spent.items()}


def steady_flow(checkout: Checkout, seconds: float) -> float:
    """Return how many events a second one process records and a worker delivers, all rows written."""
    began = time.monotonic()
    begun, _ = checkout.ask("steadily", seconds)
    wait(lambda: checkout.ask("drained"))
    return len(begun) / (time.monotonic() - began)


def drained(checkout: Checkout, count: int) -> float:
    """Return how many a second of a backlog are delivered, all rows written."""
    checkout.ask("fill", count)
    time.sleep(0.5)
    began = time.monotonic()
    checkout.ask("release")
    wait(lambda: checkout.ask("drained"))
    return count / (time.monotonic() - began)


Rounds = Mapping[str, Sequence[float]]


def main() -> None:
    """Measure both checkouts in turn, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.alone")
    parser.add_argument("other", type=Path, help="the root of another checkout")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a few seconds of each, rough")
    parser.add_argument("--only", choices=("SQLite", "PostgreSQL"))
    parser.add_argument("--into", type=Path, help="a file to write its section of, such as RESULTS.md")
    given = parser.parse_args()
    size = QUICK if given.quick else FULL
    tables = []
    with Receiving() as receiver:
        for postgresql in (False, True):
            name = "PostgreSQL" if postgresql else "SQLite"
            if given.only not in (None, name):
                continue
            rounds: list[dict[str, list[float]]] = [defaultdict(list), defaultdict(list)]
            for turn in range(given.rounds):
                for root, columns in zip((given.other, ROOT), rounds, strict=True):
                    found = measured(root, receiver, size, postgresql=postgresql, backlog=BACKLOG)
                    for what, value in found.items():
                        columns[what].append(value)
                print(f"  {name}: round {turn + 1} of {given.rounds}", flush=True)
            tables.append(table(name, *rounds))
            print(tables[-1], flush=True)
    if given.into:
        write(given.into, given.other.resolve().name, given.rounds, tables)


def table(name: str, theirs: Rounds, ours: Rounds) -> str:
    """Return the figures of one database: this checkout's, the other's, and the ratio of each round."""
    rows = [
        f"| {name} | unit | this | other | to reach | ratio | least – most |",
        "|---|---|---|---|---|---|---|",
    ]
    for what, values in ours.items():
        ratios = sorted(one / two for one, two in zip(values, theirs[what], strict=True) if two)
        middle = median(ratios) if ratios else 0.0
        aim = AIMS[name].get(what, "–")
        reached = aim == "–" or is_reached(aim, median(values), middle)
        shown = f"{middle:.2f}" if reached else f"**{middle:.2f}**"
        this, other = median(values), median(theirs[what])
        spread = f"{ratios[0]:.2f} – {ratios[-1]:.2f}" if ratios else "–"
        rows.append(
            f"| {what} | {UNITS.get(what, 'ms')} | {this:,.1f} | {other:,.1f} | {aim} | {shown} | {spread} |"
        )
    return "\n".join(rows) + "\n"


def is_reached(aim: str, value: float, ratio: float) -> bool:
    """Return whether a value, or its ratio, is what it should be."""
    sign, number, *of_other = aim.split()
    found = ratio if of_other else value
    return found <= float(number) if sign == "≤" else found >= float(number)


def write(path: Path, other: str, rounds: int, tables: Sequence[str]) -> None:
    """Write the section of a file, in the place of the one that is there."""
    head = "\n### One event, beside another checkout\n"
    how = f"""
{datetime.now(UTC):%d %B %Y}, {rounds} rounds. `python -m tools.bench.alone OTHER` measured this checkout
and {other} in turn, each with a worker of one process, a Valkey and a database of its own. *Alone* is
an event every 20 ms, *a steady flow* as many as one process records, each in a transaction of its own.
Given are medians, and the median, least and most of the rounds' ratios; bold is what is not reached.

"""
    text = path.read_text()
    before, found, after = text.partition(head)
    end = after.find("\n##")
    rest = after[end:] if found and end >= 0 else ""
    path.write_text(before.rstrip("\n") + "\n" + head + how + "\n".join(tables) + rest)


if __name__ == "__main__":
    main()
