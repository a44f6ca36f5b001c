"""`python -m tools.bench [--quick] [figures]`; writes RESULTS.md and throughput.svg beside itself."""

import argparse
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from tools.bench import alone, bookings, doors, flow, latency, machine, throughput, year
from tools.bench.ground import BODY
from tools.bench.handwritten import kept
from tools.bench.picture import picture
from tools.bench.report import report, table
from tools.bench.sizes import FULL, QUICK, Size
from tools.bench.stage import Stage
from tools.bench.visitors import Visitors

HERE = Path(__file__).parent


def main() -> None:
    """Measure everything and write it down."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))  # so that everything is stopped in order
    parser = argparse.ArgumentParser(prog="python -m tools.bench")
    parser.add_argument("which", nargs="*", help=f"none: all; of {', '.join(STEPS)}")
    parser.add_argument("--quick", action="store_true", help="under two minutes, rough")
    parser.add_argument("--into", type=Path, default=HERE, help="the folder to write into")
    parser.add_argument("--year", action="store_true", help="what things cost with a year behind it, alone")
    parser.add_argument("--doors", action="store_true", help="bookings a second by the page, alone")
    parser.add_argument("--flow", action="store_true", help="500 events a second, and the worst day, alone")
    parser.add_argument("--scale", type=float, default=0.1, help="of a year's 10,000,000 deliveries")
    given = parser.parse_args()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if given.year or given.doors or given.flow:
        if given.flow:
            flow.measure(1 if given.quick else 10, given.into)
        if given.doors:
            doors.measure(100 if given.quick else 500, given.into)
        if given.year:
            year.measure(given.scale, given.into)
        return
    if unknown := set(given.which) - set(STEPS):
        parser.error(f"There is no {', '.join(unknown)}; there are {', '.join(STEPS)}.")
    for written, printed in measure(QUICK if given.quick else FULL, given.which):
        for name, content in written.items():
            (given.into / name).write_text(content + kept(given.into / name))
        print(f"\n{printed}\nWritten to {given.into / 'RESULTS.md'}", flush=True)


STEPS: dict[str, Callable[[Stage, Visitors], None]] = {
    "rates": lambda stage, _: throughput.against_plain_and_bare(stage),
    "endpoints": lambda stage, _: throughput.to_many_endpoints(stage),
    "claims": lambda stage, _: throughput.claims(stage),
    "workers": lambda stage, _: throughput.workers(stage),
    "backlogs": lambda stage, _: throughput.with_backlogs(stage),
    "alone": lambda stage, _: alone.one_at_a_time(stage),
    "idle": lambda stage, _: latency.when_idle(stage),
    "hanging": lambda stage, _: latency.beside_hanging(stage),
    "beside": lambda stage, _: latency.rates_beside_hanging(stage),
    "draining": bookings.while_draining,
    "slow": bookings.with_a_slow_receiver,
    "bookings": bookings.a_second,
}


def measure(size: Size, which: list[str]) -> Iterator[tuple[dict[str, str], str]]:
    """Run the rounds; give the files to write by name, and the table, after each."""
    began, load = datetime.now(UTC), machine.load()
    with Stage(size) as stage:
        rate = stage.receiver.rate(BODY.encode())
        print(f"  receiver: {stage.receiver.kind}, {rate:,.0f} requests/s", flush=True)
        visitors = Visitors(stage.sqlite.address)
        for turn in range(size.rounds):
            print(f"  round {turn + 1} of {size.rounds}", flush=True)
            for name, step in STEPS.items():
                if not which or name in which:
                    started = time.monotonic()
                    step(stage, visitors)
                    print(f"    {name}: {time.monotonic() - started:.0f} s", flush=True)
            files = {"RESULTS.md": report(stage, began, load, rate), "throughput.svg": picture(stage.results)}
            yield files, table(stage.results)


if __name__ == "__main__":
    main()
