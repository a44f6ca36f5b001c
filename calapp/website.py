"""What a process that answers requests has beyond the database: who asks, errors, API, pages, commands.

A table of contents, no logic.
"""

from pathlib import Path

from flask import Flask
from flask_migrate import Migrate
from werkzeug.middleware.proxy_fix import ProxyFix

from calapp.accounts import api as accounts_api
from calapp.accounts import views as accounts
from calapp.accounts.guards import prepare_sign_in
from calapp.accounts.service import SESSION_LIFETIME
from calapp.accounts.unsaved import prepare_unsaved
from calapp.availability import api as schedules_api
from calapp.availability import views as availability
from calapp.bookings import api as bookings_api
from calapp.bookings import embed, host_views, times_api, visitor_views
from calapp.calendars import api as calendars_api
from calapp.calendars import views as calendars
from calapp.cli import register_commands
from calapp.config import Settings
from calapp.db import db
from calapp.deliveries import api as deliveries_api
from calapp.deliveries import views as deliveries
from calapp.error_pages import prepare_cors, register_error_pages
from calapp.event_types import api as event_types_api
from calapp.event_types import views as event_types
from calapp.incoming import CleanRequest, prepare_hosts, prepare_limits
from calapp.integrations import calendar_accounts, guide, inspector, links, ping, webhook_form
from calapp.integrations import views as integrations
from calapp.monitoring import metrics
from calapp.monitoring.metrics import prepare_requests
from calapp.rest import reference as rest
from calapp.static_files import prepare_static_files
from calapp.webhooks import api as webhooks_api

migrate = Migrate(directory=str(Path(__file__).parent / "migrations"), render_as_batch=True)


def prepare_website(app: Flask, settings: Settings) -> None:
    """Have an app answer requests, and take commands."""
    app.config.from_mapping(flask_config(settings))
    app.request_class = CleanRequest
    migrate.init_app(app, db)
    trust_proxies(app, settings.trusted_proxies)
    prepare_hosts(app, settings)
    prepare_static_files(app)
    register_error_pages(app)
    prepare_cors(app)
    prepare_requests(app)
    prepare_limits(app, settings)
    prepare_sign_in(app)
    prepare_unsaved(app)
    register_api(app)
    register_pages(app)
    register_commands(app)


def flask_config(settings: Settings) -> dict[str, object]:
    """Translate our settings into those of Flask and its extensions."""
    return {
        "SECRET_KEY": settings.secret_key,
        "SECRET_KEY_FALLBACKS": list(settings.secret_key_fallbacks),
        "WTF_CSRF_SECRET_KEY": [
            *settings.secret_key_fallbacks[::-1],
            settings.secret_key,
        ],  # signs with the last
        "PERMANENT_SESSION_LIFETIME": SESSION_LIFETIME,
        "SESSION_COOKIE_NAME": "calapp",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": settings.base_url.startswith("https://"),
        "WTF_CSRF_TIME_LIMIT": None,
        "MAX_CONTENT_LENGTH": 256 * 1024,
    }


def trust_proxies(app: Flask, count: int) -> None:
    """Take the visitor's address and https from so many proxies in front; the Host header stays as it is."""
    if count:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count)  # type: ignore[method-assign]


def register_api(app: Flask) -> None:
    """Put the API under /v2, and the document that is made from it."""
    for blueprint in (
        accounts_api.blueprint,
        schedules_api.blueprint,
        event_types_api.blueprint,
        webhooks_api.blueprint,
        webhooks_api.of_event_type,
        times_api.slots,
        times_api.blueprint,
        bookings_api.people,
        bookings_api.blueprint,
        calendars_api.blueprint,
        deliveries_api.blueprint,
        ping.blueprint,
        links.routes,
        rest.blueprint,
    ):
        app.register_blueprint(blueprint)


def register_pages(app: Flask) -> None:
    """Put the pages on their addresses; bookings last, since /<user>/<slug> answers to much."""
    for views in (
        accounts, availability, event_types, deliveries, calendars, calendar_accounts, integrations,
        webhook_form, guide, links, inspector, metrics, embed, host_views,
        visitor_views,
    ):  # fmt: skip
        app.register_blueprint(views.blueprint)
    app.register_blueprint(inspector.hooks)
