"""`python -m tools.faults [names or numbers] [--short]`; exits with 1 when an expectation did not hold."""

import argparse
import logging
import signal
import sys

from tools.faults import booking, deaths, hostile, operation, proxied, rolling, states
from tools.faults.report import EXPERIMENTS, Experiment

__all__ = ["booking", "deaths", "hostile", "operation", "proxied", "rolling", "states"]


def main() -> int:
    """Run the experiments that are named, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m tools.faults")
    parser.add_argument("which", nargs="*", help="numbers or names; none: all")
    parser.add_argument("--short", action="store_true", help="the short forms, as `make test` runs them")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no process of an experiment is left
    logging.getLogger("alembic").setLevel(logging.WARNING)
    chosen = [one for one in sorted(EXPERIMENTS.values(), key=place) if wanted(one, given)]
    if not chosen:
        parser.error("There is no such experiment; there are " + ", ".join(names()))
    failed = [one.name for one in chosen if not one.print_run(short=given.short)]
    print(
        f"{len(chosen) - len(failed)} of {len(chosen)} held" + (f"; not {', '.join(failed)}" * bool(failed))
    )
    return 1 if failed else 0


def wanted(one: Experiment, given: argparse.Namespace) -> bool:
    """Return whether an experiment was asked for."""
    if given.which:
        return str(one.number) in given.which or one.name in given.which
    return not (given.short and one.long)


def names() -> list[str]:
    """Return how the experiments can be called."""
    return [f"{one.number} {one.name}" for one in sorted(EXPERIMENTS.values(), key=place)]


def place(one: Experiment) -> tuple[str, int]:
    """Return where an experiment is listed: the plain numbers first, then those with a letter."""
    text = str(one.number)
    return text.rstrip("0123456789"), int(text.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))


if __name__ == "__main__":
    sys.exit(main())
