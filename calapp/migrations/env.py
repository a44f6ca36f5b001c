"""Run migrations on the app's own engine, inside its context (flask db upgrade)."""

from contextlib import contextmanager

from alembic import context
from flask import current_app
from sqlalchemy import text

from calapp import mail  # noqa: F401  # every table must be known before Alembic compares
from calapp.accounts import models as accounts  # noqa: F401
from calapp.availability import models as availability  # noqa: F401
from calapp.bookings import models as bookings  # noqa: F401
from calapp.db import UTCDateTime, db
from calapp.deliveries import models as deliveries  # noqa: F401
from calapp.event_types import models as event_types  # noqa: F401
from calapp.integrations import models as integrations  # noqa: F401
from calapp.monitoring import models as monitoring  # noqa: F401
from calapp.webhooks import models as webhooks  # noqa: F401

LOCK = 0x63616C617070  # "calapp", as a number


def render_item(kind, item, _context):
    """Write the instant type as what it is in the database, so that migrations do not import the app."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UTCDateTime) else False


def run() -> None:
    """Run the migrations in one transaction."""
    with db.engine.connect() as connection, one_at_a_time(connection):
        context.configure(
            connection=connection,
            target_metadata=db.metadata,
            render_item=render_item,
            **current_app.extensions["migrate"].configure_args,
        )
        with context.begin_transaction():
            context.run_migrations()


@contextmanager
def one_at_a_time(connection):
    """Let several machines that start at once upgrade PostgreSQL one after the other."""
    if connection.dialect.name != "postgresql":
        yield
        return
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK})
    connection.commit()  # or Alembic would take the migration for a part of this transaction
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK})
        connection.commit()


run()
