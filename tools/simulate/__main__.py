"""`python -m tools.simulate --seeds 10000` walks many seeds; `--seed N` walks one and prints its trace."""

import argparse
import os
import sys
import time
import traceback
from argparse import Namespace
from functools import partial
from pathlib import Path

from tools.simulate.runs import AT_ONCE, prepared, walk_all, walk_some
from tools.simulate.walk import STEPS


def main() -> int:
    """Walk; exit with 1 when an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tools.simulate")
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds to walk")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="walk this one and print what happens")
    parser.add_argument("--steps", type=int, default=STEPS, help="things that happen in a walk")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first failure")
    parser.add_argument("--migrated", type=Path, help="an empty, migrated SQLite database to copy")
    parser.add_argument("--postgresql", action="store_true", help="on PostgreSQL in place of SQLite")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many walk side by side")
    given = parser.parse_args()
    return one(given) if given.seed is not None else many(given)


def one(given: Namespace) -> int:
    """Walk one seed and print what happens, and why it failed if it did."""
    with prepared(given.migrated, postgresql=given.postgresql) as here:
        try:
            print("\n".join(here.walk(given.seed, given.steps).trace))
        except Exception as error:  # noqa: BLE001 (whatever it is, it is what was looked for)
            print("\n".join(getattr(error, "trace", ())))
            traceback.print_exc()
            return 1
    return 0


def many(given: Namespace) -> int:
    """Walk many seeds; print those that failed, or the first of them with its trace."""
    began, failed, walked = time.monotonic(), 0, 0
    seeds = range(given.first, given.first + given.seeds)
    each = partial(
        walk_some,
        steps=given.steps,
        migrated=given.migrated,
        postgresql=given.postgresql,
        keep_going=given.keep_going,
    )
    for found in walk_all(each, seeds, given.processes):
        failed += len(found)
        walked = min(walked + AT_ONCE, given.seeds)
        for one_failed in found:
            print(
                one_failed if not given.keep_going else f"seed {one_failed.seed}: {one_failed.words}",
                flush=True,
            )
        if failed and not given.keep_going:
            break
    took = time.monotonic() - began
    print(f"{walked} seeds of {given.steps} steps, {failed} failed, {took:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
