"""RESULTS.md: what was measured, whether it is enough, and where it is not, by how much and why."""

from collections.abc import Iterator
from datetime import UTC, datetime
from statistics import median

from tools.bench import machine
from tools.bench.figures import FIGURES, REASONS, Figure, Results, spread
from tools.bench.stage import Stage

HEAD = """# What was measured

Written by `make bench`{how}. Every figure is a ratio of two things that were measured in one round, in turn;
given are the median of the rounds and the least and the most of them.
"""


def report(stage: Stage, began: datetime, load: str, rate: float) -> str:
    """Return RESULTS.md."""
    how = (
        "" if stage.size.name == "full" else f" with `ARGS=--{stage.size.name}`: rough, too short to rely on"
    )
    parts = [
        HEAD.format(how=how),
        table(stage.results),
        missed(stage.results),
        "![Deliveries a second against the backlog, and against endpoints that hang](throughput.svg)\n",
        context(stage, began, load, rate),
        raw(stage.results),
    ]
    return "\n".join(part for part in parts if part)


def lines(results: Results) -> Iterator[tuple[Figure, str, list[float]]]:
    """Go through what was measured: the figure, the database, the ratios."""
    for figure in FIGURES:
        for (key, where), values in results.ratios.items():
            if key == figure.key:
                yield figure, where, values


def table(results: Results) -> str:
    """Return the table of the figures."""
    rows = ["| figure | on | to reach | reached | median | least – most |", "|---|---|---|---|---|---|"]
    for figure, where, values in lines(results):
        middle, ends = spread(values)
        reached = "yes" if figure.reached(median(values)) else "**no**"
        what = figure.said(results.backlog)
        rows.append(f"| {what} | {where} | {figure.to_reach} | {reached} | {middle} | {ends} |")
    return "\n".join(rows) + "\n"


def missed(results: Results) -> str:
    """Say by how much each figure that is not reached is missed, and why."""
    said = []
    for figure, where, values in lines(results):
        if not figure.reached(median(values)):
            reason = REASONS.get((figure.key, where), "the reason is not known yet")
            short = figure.missed_by(median(values))
            said.append(
                f"* {figure.said(results.backlog)}, {where}: {short} ({figure.to_reach} to reach): {reason}."
            )
    return "## Not reached\n\n" + "\n".join(said) + "\n" if said else ""


def context(stage: Stage, began: datetime, load: str, rate: float) -> str:
    """Return how, on what and when it was measured."""
    took = (datetime.now(UTC) - began).total_seconds() / 60
    hows = "\n".join(
        f"| {figure.said(stage.results.backlog)} | {figure.how} |" for figure in FIGURES if figure.how
    )
    return f"""## How

{began:%d %B %Y, %H:%M} UTC, {took:.0f} minutes; rounds: {stage.results.rounds}.
Machine: {machine.machine()}; load average before the start {load}.
{machine.versions(stage)}.

PostgreSQL is a server of its own on the same machine with its default settings. Bodies are 2 KB. Everything
talks over loopback and shares these cores: worker, receiver, databases, web server and visitors.

The receiver ({stage.receiver.kind}) takes {rate:,.0f} requests/s when they come in pieces of 100, so it is
not what limits anyone. The plain design is RQ's own default worker, which forks for each job: it reads a row
of SQLite, signs, calls `requests.post` and writes the row.

| figure | how |
|---|---|
{hows}
"""


def raw(results: Results) -> str:
    """Return what the ratios were made of."""
    rows = [
        "## What the ratios are made of\n",
        "| what | unit | median | least – most |",
        "|---|---|---|---|",
    ]
    for (what, unit), values in results.raw.items():
        middle, ends = (text for text in spread_plain(values))
        rows.append(f"| {what} | {unit} | {middle} | {ends} |")
    for (picture, line), points in results.pictures.items():
        for at, values in points.items():
            middle, ends = spread_plain(values)
            what = f"{at:,} waiting" if picture == "backlog" else f"100 healthy endpoints, {at} hang"
            rows.append(f"| {what}, {line} | deliveries/s | {middle} | {ends} |")
    return "\n".join(rows) + "\n"


def spread_plain(values: list[float]) -> tuple[str, str]:
    """Return the median, and the least and the most, never as fractions."""
    written = [
        f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        for value in (median(values), min(values), max(values))
    ]
    return written[0], f"{written[1]} – {written[2]}"
