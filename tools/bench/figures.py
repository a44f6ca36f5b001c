"""The figures: what is to be reached, how it is measured, and why it is missed where it is."""

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median

from tools.bench.sizes import FULL


@dataclass(frozen=True)
class Figure:
    """One line of the table: a ratio of two things measured in one round, and what it should be."""

    key: str
    what: str
    aim: float
    how: str
    at_most: bool = False

    def said(self, backlog: int) -> str:
        """Say what is measured, with so much waiting in the large database."""
        return self.what.format(backlog=backlog)

    @property
    def to_reach(self) -> str:
        """What the ratio should be, in signs."""
        return f"{'≤' if self.at_most else '≥'} {shown(self.aim)}"

    def reached(self, value: float) -> bool:
        """Return whether a value is good enough."""
        return value <= self.aim if self.at_most else value >= self.aim

    def missed_by(self, value: float) -> str:
        """Say how far a value is from what it should be."""
        share = value / self.aim - 1 if self.at_most else 1 - value / self.aim
        return f"{100 * share:.0f} % {'over' if self.at_most else 'short'}"


FIGURES = (
    Figure(
        "plain",
        "deliveries/s of one worker, all rows and the log written, against the plain design",
        250,
        "one endpoint; from the release to the last row, the plain design from its first hit to its last",
    ),
    Figure(
        "bare", "the same against a bare libcurl loop that signs", 0.3, "64 in flight in both, no database"
    ),
    Figure(
        "cpu",
        "CPU per delivery, against the plain design's",
        1 / 250,
        "user and system seconds of every process of the worker, forked children too",
        at_most=True,
    ),
    Figure(
        "claim",
        "a claim of 100 with {backlog:,} waiting, against 1,000",
        1.5,
        "look, claim and commit, in turn on both databases; medians",
        at_most=True,
    ),
    Figure(
        "workers",
        "2 worker processes against 1, a receiver that takes 100 ms",
        1.8,
        "one endpoint, 64 in flight for each process; three steady seconds",
    ),
    Figure(
        "four workers",
        "4 worker processes against 1, a receiver that takes 100 ms",
        3.4,
        "the same; no delivery was sent twice",
    ),
    Figure("p50", "commit → first byte when idle, p50, against the plain design's", 1 / 8, "", at_most=True),
    Figure("p90", "commit → first byte when idle, p90, against the plain design's", 1 / 4, "", at_most=True),
    Figure(
        "rest",
        "CPU of all processes while nothing happens, against a core",
        0.01,
        "worker with its children, Valkey and PostgreSQL; no web server",
        at_most=True,
    ),
    Figure(
        "hang",
        "p99 of 100 healthy endpoints while 300 more hang, against none hanging",
        2,
        "an event every 10 ms; the healthy ones have answered once, the others have 20 each waiting",
        at_most=True,
    ),
    Figure(
        "endpoints",
        "deliveries/s to 1, 100 and 400 healthy endpoints: the best against the worst",
        2,
        "the same number of deliveries, spread evenly",
        at_most=True,
    ),
    Figure(
        "drain",
        "p99 of bookings while a worker drains 10,000, against an idle one",
        2,
        "one visitor after the other by the form; web server, worker, receiver and visitor share the cores",
        at_most=True,
    ),
    Figure(
        "slow",
        "the visitor's POST with a receiver that takes 10 s, against no webhook",
        1.1,
        "medians, in turn on two event types",
        at_most=True,
    ),
    Figure(
        "web",
        "bookings/s through the web with 1 webhook, against 0",
        0.8,
        "4 visitors at once, in turn on two event types; the worker delivers meanwhile",
    ),
)

# Why a figure is missed, by key and database; printed only where it is.
REASONS: dict[tuple[str, str], str] = {
    ("bare", "SQLite"): (
        "by a profile of a drain, 38 % of a worker's time go into storing, claiming, committing and the "
        "log's line, 13 % into headers and two signatures; the rest is libcurl with what each attempt "
        "takes in Python: its handle, its phases, its response, the address guard"
    ),
    ("bare", "PostgreSQL"): (
        "by a profile of a drain, 54 % of a worker's time go into storing and claiming, most of it waiting "
        "for the server, which shares these cores; the rest is as on SQLite"
    ),
    ("rest", "PostgreSQL"): (
        "besides what SQLite takes, there are the server's own processes, and the question that "
        "maintenance asks once a second, whether one of its tasks has something to do"
    ),
    ("hang", "SQLite"): (
        "an event takes 5 ms while they hang and 2 ms else; what has failed meanwhile is stored by "
        "the same loop, in batches. With SQLite's own wait for its writer it was 2.5 and 2.2, beside 2.0 "
        "and 1.9, in turn"
    ),
    ("drain", "SQLite"): (
        "the worker takes a whole core of the two that web server, visitor and receiver share with it. With "
        "SQLite's own wait for its writer it was 0.4 to 4.8, beside 2.4 to 4.4, in turn"
    ),
}


@dataclass
class Results:
    """What was measured so far: ratios by figure and database, and what they were made of.

    `backlog` is what waits in the large database.
    """

    backlog: int = FULL.backlog
    ratios: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    raw: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    pictures: dict[tuple[str, str], dict[int, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    @property
    def rounds(self) -> int:
        """How many rounds there were."""
        return max(map(len, self.ratios.values()), default=0)

    def ratio(self, key: str, where: str, value: float) -> None:
        """Note the ratio of one round."""
        self.ratios[key, where].append(value)
        print(f"    {key:<10} {where:<11} {shown(value)}", flush=True)

    def note(self, what: str, unit: str, value: float) -> None:
        """Note something that was measured, in its own unit."""
        self.raw[what, unit].append(value)

    def point(self, picture: str, line: str, at: int, value: float) -> None:
        """Note a point of a picture."""
        self.pictures[picture, line][at].append(value)


def shown(value: float) -> str:
    """Write a number with three digits that count; a small ratio as a fraction."""
    if 0 < value < 0.2:
        return f"1/{1 / value:.3g}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spread(values: list[float]) -> tuple[str, str]:
    """Return the median, and the least and the most."""
    return shown(median(values)), f"{shown(min(values))} – {shown(max(values))}"


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
