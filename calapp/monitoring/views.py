"""/healthz for load balancers, /metrics for Prometheus."""

import hmac
from collections.abc import Callable
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, ProcessCollector, generate_latest
from werkzeug.exceptions import Unauthorized

from calapp.config import is_loopback, settings
from calapp.db import db
from calapp.errors import NotFound
from calapp.monitoring import metrics, service
from calapp.monitoring.metrics import Database

blueprint = Blueprint("monitoring", __name__)

Given = TypeVar("Given")

FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


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
    text = generate_latest(shared) + generate_latest(metrics.of_this_server())
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
