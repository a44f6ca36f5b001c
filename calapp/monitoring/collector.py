"""What /metrics takes from the database, in Prometheus' own words."""

import threading
import time
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp import broker
from calapp.monitoring import service, tally
from calapp.monitoring.models import Tally

KEPT = 5.0  # seconds for which one reading is given again, however many ask


class Readings:
    """The last reading of one process, so that many scrapes at once count the rows once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.metrics: list[Metric] = []
        self.until = 0.0

    def get(self, read: Callable[[], list[Metric]]) -> list[Metric]:
        """Return the last reading, or read anew."""
        with self.lock:
            if time.monotonic() >= self.until:
                self.metrics = read()
                self.until = time.monotonic() + KEPT
            return self.metrics

    def forget(self) -> None:
        """Read anew the next time."""
        self.until = 0.0


readings = Readings()


class Database(Collector):
    """The metrics that are the same whichever process is asked."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def collect(self) -> Iterator[Metric]:
        """Give the last reading of the database, and ask Valkey for its workers."""
        yield from readings.get(self._read)
        yield from _parts()

    def _read(self) -> list[Metric]:
        session = self.session
        return [_standing(session), _oldest(session), *_counters(session)]


def _standing(session: Session) -> Metric:
    standing = GaugeMetricFamily(
        "calapp_deliveries", "Deliveries that stand in a state, by age", labels=["state", "age"]
    )
    for (state, age), number in service.waiting_by_age(session).items():
        standing.add_metric([state, age], number)
    for state, number in service.ended(session).items():
        standing.add_metric([state, ""], number)
    return standing


def _oldest(session: Session) -> Metric:
    return GaugeMetricFamily(
        "calapp_oldest_waiting_seconds",
        "For how long the delivery that nothing holds back has waited",
        value=service.oldest_waiting(session),
    )


def _parts() -> Iterator[Metric]:
    alive = broker.alive()
    yield GaugeMetricFamily("calapp_broker_up", "Whether Valkey answers", value=int(alive))
    workers = GaugeMetricFamily("calapp_workers", "Worker processes that are alive", labels=["queue"])
    for name in (broker.DELIVERIES, broker.CHORES):
        workers.add_metric([name], broker.workers_alive(name) if alive else 0)
    yield workers


def _counters(session: Session) -> list[Metric]:
    values: dict[str, dict[tuple[str, str], float]] = {}
    for row in session.execute(select(Tally.metric, Tally.event, Tally.outcome, Tally.value)):
        values.setdefault(row.metric, {})[row.event, row.outcome] = row.value
    families = [
        _family(values, tally.EVENTS, "calapp_events", "Events written, by trigger", ["event"]),
        _family(values, tally.BOOKINGS, "calapp_bookings", "Bookings made; a move is not another", []),
        _family(values, tally.TRIES, "calapp_delivery_tries", "Tries, by what came of them", _LABELS),
        _family(values, tally.FINISHED, "calapp_deliveries_finished", "Deliveries that ended", _LABELS),
    ]
    return [*families, _histogram(values)]


_LABELS = ["event", "outcome"]


def _family(
    values: dict[str, dict[tuple[str, str], float]], metric: str, name: str, meaning: str, labels: list[str]
) -> Metric:
    family = CounterMetricFamily(name, meaning, labels=labels)
    for key, value in values.get(metric, {}).items():
        family.add_metric(key[: len(labels)], value)
    return family


def _histogram(values: dict[str, dict[tuple[str, str], float]]) -> Metric:
    counts, total, buckets = values.get(tally.BUCKET, {}), 0.0, []
    for most in tally.BUCKETS:
        total += counts.get(("", str(most)), 0.0)
        buckets.append((str(most), total))
    seconds = values.get(tally.SECONDS, {}).get(("", ""), 0.0)
    family = HistogramMetricFamily("calapp_delivery_seconds", "How long tries took")
    family.add_metric([], [*buckets, ("+Inf", total)], seconds)
    return family
