"""/healthz for load balancers, /metrics for Prometheus."""

import hmac
from functools import partial
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from werkzeug.exceptions import Unauthorized

from calapp.config import is_loopback, settings
from calapp.db import db
from calapp.errors import NotFound
from calapp.monitoring import metrics, service
from calapp.monitoring.metrics import Database

blueprint = Blueprint("monitoring", __name__)

FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


@blueprint.get("/healthz")
def healthz() -> Response:
    """Say how the parts are: 503 when no page can be served, 200 with what is wrong otherwise."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 (for another thread)
    found = service.health(partial(_oldest_waiting, app))
    response = jsonify(
        status=found.status,
        problems=found.problems,
        database=found.database,
        broker=found.broker,
        workers=found.workers,
        oldest_waiting_seconds=None if found.oldest is None else round(found.oldest, 1),
    )
    response.status_code = 200 if found.database else 503
    response.headers["Cache-Control"] = "no-store"
    return response


def _oldest_waiting(app: Flask) -> float:
    with app.app_context():
        return service.oldest_waiting(db.session())


@blueprint.get("/metrics")
def show_metrics() -> Response:
    """Give the metrics in Prometheus' text format to whoever may read them."""
    _check_reader()
    shared = CollectorRegistry()
    shared.register(Database(db.session()))
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
