"""The request as the app sees it: clean text, for a host that is this server, within the limits on requests.

A page whose own name is led to this machine (DNS rebinding) gets nothing: the browser takes such a page and
this server for one site. Only the Host header tells them apart, so it must name the server as its operator
does. No forwarded header counts: anybody can send one.

A view that is limited says `@limiter.limit("20/minute", methods=["POST"], key_func=…)` below its route; the
key is the address unless told otherwise. A POST that needs no session says `@csrf.exempt`.

How whoever asks reads clocks and weeks is in the request, too.
"""

import ipaddress
import logging
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import flask
import idna
from flask import Flask, Response, current_app, jsonify, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_wtf.csrf import CSRFProtect
from redis import ConnectionError as RedisConnectionError
from redis.backoff import NoBackoff
from redis.retry import Retry
from werkzeug.datastructures import ImmutableMultiDict

from calapp import broker
from calapp.addresses import network_of
from calapp.config import Settings, is_loopback
from calapp.local_time import Habits, habits_of
from calapp.text import clean, storable

# Fields that are taken as they were typed, and checked where they are read.
VERBATIM = frozenset(
    (
        "password",
        "current_password",
        "new_password",
        "secret",
        "payload_template",
        "subscriber_url",
        "header_name",
        "header_value",
    )
)
NOT_ASCII = re.compile("[\x80-\xff]")
log = logging.getLogger(__name__)
# redis-py's own retries take seconds when Valkey is away.
PATIENCE = {
    "socket_connect_timeout": broker.WEB_PATIENCE,
    "socket_timeout": broker.WEB_PATIENCE,
    "retry": Retry(NoBackoff(), 0),
}


class Fields(ImmutableMultiDict[str, Any]):
    """The fields of a query or a form, their names and texts clean."""

    def __init__(self, mapping: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> None:
        if isinstance(mapping, Fields | None):
            super().__init__(mapping)
            return
        pairs = mapping.items() if isinstance(mapping, Mapping) else mapping
        cleaned = []
        for name, value in ((clean(name), value) for name, value in pairs):
            text = storable if name in VERBATIM else clean
            cleaned.append((name, text(value) if isinstance(value, str) else value))  # else a file
        super().__init__(cleaned)


class CleanRequest(flask.Request):
    """A request whose path has no NUL, and whose query may hold any bytes."""

    parameter_storage_class = Fields

    def __init__(self, environ: dict[str, Any], *args: Any, **more: Any) -> None:
        environ["PATH_INFO"] = environ.get("PATH_INFO", "").replace("\0", "")
        # Raw bytes stand for themselves percent-encoded; Werkzeug would want them to be UTF-8.
        query = environ.get("QUERY_STRING", "")
        environ["QUERY_STRING"] = NOT_ASCII.sub(lambda match: f"%{ord(match[0]):02X}", query)
        super().__init__(environ, *args, **more)


# A name or an IPv4 address, or an IPv6 address in brackets, and perhaps a port (RFC 9112, 3.2).
HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,254})(?::[0-9]{0,5})?")
OPEN = frozenset(("/healthz", "/metrics"))  # asked by address; they guard by themselves what they tell
REFUSED = "Calapp does not use this address. Please open it at the address set in BASE_URL."


def prepare_hosts(app: Flask, settings: Settings) -> None:
    """Refuse every request of this app that names another host."""
    own = normal(urlsplit(settings.base_url).hostname or "")
    local = not settings.public or is_loopback(own)

    @app.before_request
    def refuse_others() -> tuple[Response, int] | None:
        found = HOST.fullmatch(request.environ.get("HTTP_HOST", ""))
        named = normal(found[1].strip("[]")) if found else ""
        if request.path in OPEN or (named and (named == own or (local and is_loopback(named)))):
            return None
        if request.path.startswith("/v2/"):
            error = {"code": "unknown_host", "message": REFUSED, "details": {}}
            return jsonify(status="error", error=error), 400
        return Response(f"{REFUSED}\n", mimetype="text/plain"), 400


def normal(host: str) -> str:
    """Return a host in lower case, as browsers write it: without the last dot, in ASCII, IPv6 shortened."""
    host = host.lower().removesuffix(".")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return host if host.isascii() else idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        return host


csrf = CSRFProtect()


def client_network() -> str:
    """Return what this request is counted under: its address, or an IPv6 address's /64."""
    return network_of(get_remote_address())


# When Valkey is away nobody is turned away for it: each process counts by itself, and looks for Valkey again
# after 1, 2, 4 … 32 seconds.
limiter = Limiter(client_network, in_memory_fallback_enabled=True, swallow_errors=True)


def log_breach() -> None:
    """Log for the operator that this request was one too many: once a minute for each page and address."""
    logged: dict[tuple[str, str], float] = current_app.extensions.setdefault("calapp-breaches", {})
    at, key = time.monotonic(), (request.endpoint or "", client_network())
    if logged.get(key, 0.0) > at:
        return
    if len(logged) >= 1000:
        logged.clear()
    logged[key] = at + 60
    log.warning("limit reached", extra={"said": {"limit": f"requests to {key[0]}", "host": None}})


def prepare_limits(app: Flask, settings: Settings) -> None:
    """Put the limits and the tokens in front of every page of this app."""
    try:
        storage = broker.url().replace("unix://", "redis+unix://")
    except RedisConnectionError:
        storage = "memory://"
    app.config.update(
        RATELIMIT_ENABLED=settings.rate_limits == "on",
        RATELIMIT_STORAGE_URI=storage,
        RATELIMIT_STORAGE_OPTIONS=PATIENCE,
        RATELIMIT_KEY_PREFIX="calapp",
    )
    csrf.init_app(app)
    limiter.init_app(app)


def habits_of_request() -> Habits:
    """Return the habits of this browser: as chosen on a page before, else as its language has them."""
    habits, remembered = habits_of(request.accept_languages), request.cookies.get("tf", "")
    chosen = request.values.get("tf", remembered)
    return replace(habits, twelve=chosen == "12", known=True) if chosen in {"12", "24"} else habits
