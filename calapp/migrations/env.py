"""Run migrations on the app's own engine, inside its context (flask db upgrade)."""

from alembic import context
from flask import current_app

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


def render_item(kind, item, _context):
    """Write the instant type as what it is in the database, so that migrations do not import the app."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UTCDateTime) else False


def run() -> None:
    """Run the migrations in one transaction."""
    with db.engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=db.metadata,
            render_item=render_item,
            **current_app.extensions["migrate"].configure_args,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
