"""What an experiment found, and how it is printed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

EXPERIMENTS: dict[int | str, "Experiment"] = {}


@dataclass
class Finding:
    """What one run of an experiment found; with `echo` it is printed as it is found."""

    echo: bool = False
    lines: list[str] = field(default_factory=list)
    held: bool = True

    def expect(self, words: str, true: object) -> None:
        """Note whether an expectation held."""
        self.held = self.held and bool(true)
        self._add(f"{'ok  ' if true else 'NOT '} {words}")

    def note(self, words: str) -> None:
        """Note a figure that is not judged."""
        self._add(f"     {words}")

    def _add(self, line: str) -> None:
        self.lines.append(line)
        if self.echo:
            print(f"      {line}", flush=True)


class CannotRun(Exception):
    """Raised by an experiment that needs something which is not here; says what."""


Run = Callable[[Finding, bool], None]


@dataclass(frozen=True)
class Experiment:
    """One experiment: `run` takes what it finds and whether to be short; `long` ones have no short form."""

    number: int | str
    name: str
    what: str
    run: Run
    long: bool

    def print_run(self, *, short: bool) -> bool:
        """Run it and print what was found; return whether every expectation held."""
        print(f"{self.number:>2}  {self.name}: {self.what}", flush=True)
        finding = Finding(echo=True)
        began = time.monotonic()
        try:
            self.run(finding, short)
        except CannotRun as error:
            print(f"      NOT RUN: {error}", flush=True)
            return True
        print(
            f"      {'held' if finding.held else 'DID NOT HOLD'}, {time.monotonic() - began:.0f} s",
            flush=True,
        )
        return finding.held


def experiment(number: int | str, name: str, what: str, *, long: bool = False) -> Callable[[Run], Run]:
    """Register a function as an experiment."""

    def register(run: Run) -> Run:
        EXPERIMENTS[number] = Experiment(number, name, what, run, long)
        return run

    return register


def held(run: Run) -> list[str]:
    """Run the short form of an experiment; return what did not hold, with all that was found."""
    finding = Finding()
    run(finding, True)
    return [] if finding.held else finding.lines


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
