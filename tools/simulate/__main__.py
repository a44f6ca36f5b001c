"""`python -m tools.simulate --seeds 10000` walks many seeds; `--seed N` walks one and prints its trace."""

import argparse
import sys
import time
import traceback
from pathlib import Path

from tools.simulate.runs import failure, ground, on_postgresql
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
    given = parser.parse_args()
    with on_postgresql() if given.postgresql else ground(given.migrated) as here:
        if given.seed is not None:
            try:
                print("\n".join(here.walk(given.seed, given.steps).trace))
            except Exception as error:  # noqa: BLE001 (whatever it is, it is what was looked for)
                print("\n".join(getattr(error, "trace", ())))
                traceback.print_exc()
                return 1
            return 0
        began, failed = time.monotonic(), 0
        for seed in range(given.first, given.first + given.seeds):
            if found := failure(here, seed, given.steps):
                failed += 1
                print(found if not given.keep_going else f"seed {found.seed}: {found.words}", flush=True)
                if not given.keep_going:
                    break
        walked = f"{seed - given.first + 1} seeds of {given.steps} steps"
        print(f"{walked}, {failed} failed, {time.monotonic() - began:.0f} s")

    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
