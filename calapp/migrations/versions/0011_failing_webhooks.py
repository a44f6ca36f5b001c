"""Webhooks that keep failing are noticed early; names and limits of webhooks."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NAMES = (
    "name",
    "max_per_second",
    "limited_until",
    "first_failed_at",
    "failed_events",
    "failed_bookings",
    "recovered_at",
    "unhealthy_since",
    "failing_announced",
    "alerted_at",
    "alert_at",
)


def upgrade():
    """Bring the database forward."""
    for column in (
        sa.Column("name", sa.String(100), nullable=True),
        sa.Column("max_per_second", sa.Integer(), nullable=True),
        sa.Column("limited_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_events", sa.Text(), nullable=False, server_default=""),
        sa.Column("failed_bookings", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("recovered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unhealthy_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failing_announced", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("alerted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("alert_at", sa.DateTime(timezone=True), nullable=True),
    ):
        op.add_column("webhook", column)
    for name, column in (
        ("ix_webhook_first_failed", "first_failed_at"),
        ("ix_webhook_recovered", "recovered_at"),
    ):
        where = sa.text(f"{column} IS NOT NULL")
        op.create_index(name, "webhook", ["user_id"], sqlite_where=where, postgresql_where=where)
    op.execute(
        "UPDATE webhook SET first_failed_at = failing_since, failed_bookings = true "
        "WHERE failing_since IS NOT NULL"
    )


def downgrade():
    """Take the database back."""
    op.drop_index("ix_webhook_first_failed", "webhook")
    op.drop_index("ix_webhook_recovered", "webhook")
    for name in reversed(NAMES):
        op.drop_column("webhook", name)
