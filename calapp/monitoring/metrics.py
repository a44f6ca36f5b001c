"""Each request: an id, its trace, a line of the log, and the counters of this web process.

/healthz is for load balancers, /metrics for Prometheus.
"""

import hmac
import logging
import os
import platform
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, current_app, g, jsonify, request
from flask_login import current_user
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from werkzeug.exceptions import Unauthorized
from werkzeug.wrappers import Response as AnyResponse

from calapp import __version__, broker, counters, logs, mail, tracing
from calapp.clock import now
from calapp.config import is_loopback, settings
from calapp.db import db
from calapp.deliveries.health import count_failing
from calapp.errors import NotFound
from calapp.monitoring import service
from calapp.monitoring.models import Tally

log = logging.getLogger(__name__)

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
QUIET = frozenset(
    ("static", "monitoring.healthz", "monitoring.show_metrics")
)  # too many, and they say nothing
PROXYS_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
# What an address may say of a page that was found: numbers, and the names that are public anyway.
NAMES = frozenset(("user", "slug"))

REQUESTS = Counter("calapp_requests", "Requests answered", ["method", "route", "status"])
SECONDS = Histogram("calapp_request_seconds", "Duration of requests", ["method"])
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


def prepare_requests(app: Flask) -> None:
    """Watch every request of this app."""
    app.before_request_funcs.setdefault(None, []).insert(0, _begin)
    app.after_request(_end)
    app.teardown_request(_forget)

    def log_exception(exc_info: object) -> None:
        """Log what went wrong without the address, which may hold a secret."""
        app.logger.error("A request failed: %s %s", request.method, route(), exc_info=exc_info)  # type: ignore[arg-type]

    app.log_exception = log_exception  # type: ignore[method-assign]


def _begin() -> None:
    g.began = time.perf_counter()
    given = request.headers.get("X-Request-ID", "") if settings().trusted_proxies else ""
    g.request_id = given if PROXYS_ID.fullmatch(given) else secrets.token_hex(8)
    logs.REQUEST.set(g.request_id)
    parent, state = request.headers.get("traceparent", ""), request.headers.get("tracestate", "")
    caller = tracing.read(parent, state)
    tracing.CURRENT.set(caller.child(secrets.token_hex(8)) if caller else tracing.new())


def _end(response: AnyResponse) -> AnyResponse:
    if "began" not in g:
        return response
    response.headers["X-Request-ID"] = g.request_id
    seconds = time.perf_counter() - g.began
    method = request.method if request.method in METHODS else "other"
    REQUESTS.labels(method, route(), response.status_code).inc()
    SECONDS.labels(method).observe(seconds)
    if request.endpoint not in QUIET:
        _say(response, method, seconds)
        tracing.export(
            f"{method} {route()}",
            tracing.current(),
            now(),
            seconds,
            failed=response.status_code >= 500,
            attributes={
                "http.request.method": method,
                "http.route": route(),
                "http.response.status_code": response.status_code,
            },
        )
    return response


def _forget(_error: BaseException | None) -> None:
    logs.REQUEST.set("")
    tracing.CURRENT.set(None)


def _say(response: AnyResponse, method: str, seconds: float) -> None:
    logs.say(
        log,
        "request",
        method=method,
        route=route(),
        status=response.status_code,
        ms=round(1000 * seconds, 1),
        client=request.remote_addr,
        host=_signed_in(),
        **_named(response),
    )


def route() -> str:
    """Return the rule of the address that is asked for, never the address: it may hold a secret."""
    return request.url_rule.rule if request.url_rule is not None else "none"


def _named(response: AnyResponse) -> dict[str, object]:
    """Return what the address names that is no secret; an address that leads nowhere names nothing."""
    values = request.view_args or {}
    if response.status_code == 404:
        return {}
    named = {name: value for name, value in values.items() if name in NAMES or isinstance(value, int)}
    if (
        request.endpoint is not None
        and request.endpoint.startswith(("bookings.", "host_bookings."))
        and "uid" in values
    ):
        named["booking"] = logs.shortened(str(values["uid"]))
    return named


def _signed_in() -> int | None:
    """Return the host's id when this request has looked for it anyway."""
    if "_login_user" not in g:
        return None
    try:
        return current_user.id if current_user.is_authenticated else None
    except SQLAlchemyError:
        return None


def of_this_server() -> CollectorRegistry:
    """Return the counters of every process of this web server; gunicorn.conf.py says where they are kept."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


KEPT = 5.0  # seconds for which one reading is given again, however many ask


class Readings:
    """The last reading of one process, so that scrapes at the same time count the rows once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.metrics: list[Metric] = []
        self.until = 0.0

    def get(self, read: Callable[[], list[Metric]]) -> list[Metric]:
        """Return the last reading, or read again."""
        with self.lock:
            if time.monotonic() >= self.until:
                self.metrics = read()
                self.until = time.monotonic() + KEPT
            return self.metrics

    def forget(self) -> None:
        """Read again the next time."""
        self.until = 0.0


readings = Readings()


class Database(Collector):
    """The metrics that are the same whichever process is asked."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def collect(self) -> Iterator[Metric]:
        """Give the last reading of the database, and ask Valkey for its workers."""
        yield from readings.get(self._read)
        alive = broker.refusal() == ""
        yield GaugeMetricFamily(
            "calapp_broker_up", "Whether Valkey responds and accepts writes", value=int(alive)
        )
        workers = GaugeMetricFamily("calapp_workers", "Worker processes that are alive", labels=["queue"])
        for name in (broker.DELIVERIES, broker.MAINTENANCE):
            workers.add_metric([name], broker.workers_alive(name) if alive else 0)
        yield workers
        free = shutil.disk_usage(settings().data_dir).free if settings().data_dir.is_dir() else 0
        yield GaugeMetricFamily("calapp_data_folder_free_bytes", "Free space in the data folder", value=free)
        info = GaugeMetricFamily("calapp_info", "The version that is running", labels=["version", "python"])
        info.add_metric([__version__, platform.python_version()], 1)
        yield info

    def _read(self) -> list[Metric]:
        number = GaugeMetricFamily(
            "calapp_deliveries", "Deliveries by state and age", labels=["state", "age"]
        )
        for (state, age), count in service.waiting_by_age(self.session).items():
            number.add_metric([state, age], count)
        for state, count in service.ended(self.session).items():
            number.add_metric([state, ""], count)
        oldest = GaugeMetricFamily(
            "calapp_oldest_waiting_seconds",
            "How long the oldest delivery that is ready to be sent has waited",
            value=service.oldest_waiting(self.session),
        )
        webhooks = GaugeMetricFamily(
            "calapp_webhooks_failing",
            "Webhooks that are on and keep failing",
            value=count_failing(self.session),
        )
        seconds, failures = service.calendar_copies(self.session)
        copy = GaugeMetricFamily(
            "calapp_calendar_oldest_copy_seconds",
            "Age of the oldest copy of a host's calendar",
            value=seconds,
        )
        failing = GaugeMetricFamily(
            "calapp_calendars_failing", "Calendars that cannot be read, by reason", labels=["reason"]
        )
        for reason, count in failures.items():
            failing.add_metric([reason], count)
        due = GaugeMetricFamily("calapp_waiting", "Waiting deliveries, due now or later", labels=["due"])
        for when, count in service.waiting_by_time(self.session).items():
            due.add_metric([when], count)
        hosts = GaugeMetricFamily(
            "calapp_host_oldest_waiting_seconds",
            "How long the oldest delivery that is ready has waited, for the ten hosts with the longest wait",
            labels=["host"],
        )
        for username, seconds in service.longest_waiting_hosts(self.session).items():
            hosts.add_metric([username], seconds)
        waiting = GaugeMetricFamily(
            "calapp_host_waiting",
            "Waiting deliveries, due now or later, for the ten hosts with the most",
            labels=["host"],
        )
        for username, count in service.hosts_with_most_waiting(self.session).items():
            waiting.add_metric([username], count)
        emails = GaugeMetricFamily("calapp_mails", "Emails that are not sent yet, by state", labels=["state"])
        for state, count in mail.count_unsent(self.session).items():
            emails.add_metric([state], count)
        gauges = [number, oldest, webhooks, due, hosts, waiting, emails, copy, failing]
        return [*gauges, *_counters(self.session)]


def _counters(session: Session) -> list[Metric]:
    values: dict[str, dict[tuple[str, str], float]] = {}
    for row in session.execute(select(Tally.metric, Tally.event, Tally.outcome, Tally.value)):
        values.setdefault(row.metric, {})[row.event, row.outcome] = row.value
    families = [
        _family(values, counters.EVENTS, "calapp_events", "Events written, by trigger", ["event"]),
        _family(
            values, counters.BOOKINGS, "calapp_bookings", "Bookings created, not counting reschedules", []
        ),
        _family(values, counters.ATTEMPTS, "calapp_delivery_tries", "Attempts, by outcome", _LABELS),
        _family(values, counters.FINISHED, "calapp_deliveries_finished", "Deliveries that ended", _LABELS),
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
    counts, total, buckets = values.get(counters.BUCKET, {}), 0.0, []
    for most in counters.BUCKETS:
        total += counts.get(("", str(most)), 0.0)
        buckets.append((str(most), total))
    seconds = values.get(counters.SECONDS, {}).get(("", ""), 0.0)
    family = HistogramMetricFamily("calapp_delivery_seconds", "Duration of attempts")
    family.add_metric([], [*buckets, ("+Inf", total)], seconds)
    return family


blueprint = Blueprint("monitoring", __name__)

Given = TypeVar("Given")


@blueprint.get("/healthz")
def healthz() -> Response:
    """Say how the parts are: 503 when no page can be served or nothing saved, else 200 with what is wrong."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 (for another thread)
    found = service.health(
        partial(_in_context, app, lambda: service.read_database(db.session())),
        partial(_in_context, app, service.write_a_row),
    )
    response = jsonify(
        status=found.status,
        problems=found.problems,
        database=found.database,
        writable=found.writable,
        broker=found.refusal == "",
        workers=found.workers,
        oldest_waiting_seconds=None if found.oldest is None else round(found.oldest, 1),
    )
    response.status_code = 503 if found.status == "down" else 200
    response.headers["Cache-Control"] = "no-store"
    return response


def _in_context(app: Flask, call: Callable[[], Given]) -> Given:
    with app.app_context():
        return call()


@blueprint.get("/metrics")
def show_metrics() -> Response:
    """Give the metrics in Prometheus' text format to whoever may read them."""
    _check_reader()
    shared = CollectorRegistry()
    shared.register(Database(db.session()))
    ProcessCollector(registry=shared)
    writable = Gauge("calapp_database_writable", "Whether the database can be written to", registry=shared)
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 (for another thread)
    written = service.last_write.renewed(partial(_in_context, app, service.write_a_row))
    writable.set(written is not False)
    text = generate_latest(shared) + generate_latest(of_this_server())
    return Response(text, content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


def _check_reader() -> None:
    """Raise NotFound for who is not on this machine, and Unauthorized for a wrong token where one is set."""
    token = settings().metrics_token
    if not token:
        if not _from_this_machine():
            raise NotFound
        return
    given = request.headers.get("Authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        raise Unauthorized


def _from_this_machine() -> bool:
    """Return whether a program of this machine asks, and neither a proxy nor a page in a browser on it."""
    host = urlsplit(f"//{request.host}").hostname or ""
    return (
        not settings().public
        and is_loopback(request.remote_addr or "")
        and is_loopback(host)
        and not any(name in request.headers for name in FORWARDED)
    )
