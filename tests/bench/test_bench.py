"""The benchmark runs at all; how fast anything is, nobody asserts here."""

from statistics import median

from tools.bench.__main__ import measure
from tools.bench.figures import FIGURES, REASONS, Results
from tools.bench.picture import picture
from tools.bench.report import missed, table
from tools.bench.sizes import TINY


def test_a_tiny_run_writes_the_table_and_the_picture() -> None:
    [(written, _)] = measure(TINY, ["rates", "endpoints", "alone", "idle", "slow"])
    assert "one worker, SQLite | deliveries/s" in written["RESULTS.md"]


def test_a_missed_figure_says_by_how_much() -> None:
    results = Results()
    results.ratio("web", "SQLite", 0.6)
    assert "25 % short (≥ 0.8 to reach): the reason is not known yet" in missed(results)


def test_a_reached_figure_needs_no_reason() -> None:
    results = Results()
    results.ratio("slow", "SQLite", 1.05)
    assert missed(results) == ""


def test_the_table_gives_the_median_of_the_rounds() -> None:
    results = Results()
    for value in (300.0, 100.0, 200.0):
        results.ratio("plain", "SQLite", value)
    assert f"| **no** | {median((300, 100, 200))} | 100 – 300 |" in table(results)


def test_the_table_names_the_backlog_that_there_was() -> None:
    results = Results(backlog=50_000)
    results.ratio("claim", "SQLite", 1.1)
    assert "with 50,000 waiting, against 1,000 |" in table(results)


def test_every_reason_is_of_a_figure_that_stands() -> None:
    assert {key for key, _ in REASONS} <= {figure.key for figure in FIGURES}


def test_the_picture_has_a_line_for_each_database() -> None:
    results = Results()
    for line in ("SQLite", "PostgreSQL"):
        for waiting in (1000, 10_000):
            results.point("backlog", line, waiting, 5000.0)
    assert picture(results).count("<polyline") == 2
