"""create_app(): settings, database and, but for a worker, what answers requests. The top, no logic."""

from pathlib import Path

import click
from flask import Flask

from calapp import config
from calapp.config import Settings
from calapp.db import connection_options, db, prepare_engine


def create_app(settings: Settings | None = None, *, worker: bool = False) -> Flask:
    """Make the app of one process; raise BadSetting when a setting cannot be read."""
    settings = settings or config.prepare()
    config.use(settings)
    app = Flask(__name__, static_folder=None)
    app.config["SQLALCHEMY_DATABASE_URI"] = settings.database_url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(settings, worker=worker)
    prepare_database(app, worker=worker)
    if not worker:
        # Pages, API and commands are as much to hold in memory as all else, and a worker has none of them.
        from calapp.website import prepare_website  # noqa: PLC0415

        prepare_website(app, settings)
    return app


def engine_options(settings: Settings, *, worker: bool) -> dict[str, object]:
    """Return how to connect; errors keep the values of their statement out of the log.

    On PostgreSQL that is the connection that was given back last, and so in a worker: at rest one does, which
    knows the statements, and the others' memory is not needed.
    """
    if settings.sqlite:
        return {"hide_parameters": True, "pool_use_lifo": worker}
    return {
        "hide_parameters": True,
        "pool_use_lifo": True,
        "pool_size": 10,
        "connect_args": connection_options(settings),
    }


def statement_seconds(settings: Settings, *, worker: bool) -> int:
    """Return the seconds that a statement on PostgreSQL may take; 0, no limit, for commands."""
    if worker:
        return settings.database_worker_statement_timeout
    return 0 if click.get_current_context(silent=True) else settings.database_statement_timeout


def make_private_file(address: str) -> None:
    """Make the file of SQLite for its owner alone, whatever the umask; its -wal and -shm take its mode."""
    path = Path(address.removeprefix("sqlite:///"))
    if address.startswith("sqlite:////") and path.parent.is_dir() and not path.exists():
        path.touch(mode=0o600)


def prepare_database(app: Flask, *, worker: bool) -> None:
    """Connect the database."""
    make_private_file(app.config["SQLALCHEMY_DATABASE_URI"])
    db.init_app(app)
    with app.app_context():
        settings = config.settings()
        prepare_engine(
            db.engine,
            worker=worker,
            statement_seconds=statement_seconds(settings, worker=worker),
            network_seconds=settings.database_network_timeout,
        )
