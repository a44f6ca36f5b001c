"""What keeps strangers in bounds: limits on requests, and the token that a form of ours carries.

A view that is limited says `@limiter.limit("20/minute", methods=["POST"], key_func=…)` below its route; the
key is the address unless told otherwise. A POST that needs no session says `@csrf.exempt`.
"""

import logging
import time

from flask import Flask, current_app, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_wtf.csrf import CSRFProtect
from redis import ConnectionError as RedisConnectionError
from redis.backoff import NoBackoff
from redis.retry import Retry

from calapp import broker
from calapp.addresses import network_of
from calapp.config import Settings

log = logging.getLogger(__name__)

# redis-py's own retries take seconds when Valkey is away.
PATIENCE = {
    "socket_connect_timeout": broker.WEB_PATIENCE,
    "socket_timeout": broker.WEB_PATIENCE,
    "retry": Retry(NoBackoff(), 0),
}

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
