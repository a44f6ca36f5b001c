"""What a webhook's failures speak about, releases in steps, and what was sent by Send now."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade():
    """Bring the database forward."""
    for column in (
        sa.Column("on_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("refused_events", sa.Text(), nullable=False, server_default=""),
        sa.Column("denied_events", sa.Text(), nullable=False, server_default=""),
        sa.Column("probes", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("releasing", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("releasing_tries", sa.Integer(), nullable=True),
    ):
        op.add_column("webhook", column)
    op.create_index(
        "ix_webhook_releasing",
        "webhook",
        ["id"],
        sqlite_where=sa.text("releasing"),
        postgresql_where=sa.text("releasing"),
    )
    op.add_column("delivery", sa.Column("pressed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_delivery_pressed",
        "delivery",
        ["id"],
        sqlite_where=sa.text("pressed_at IS NOT NULL"),
        postgresql_where=sa.text("pressed_at IS NOT NULL"),
    )


def downgrade():
    """Take the database back."""
    op.drop_index("ix_delivery_pressed", "delivery")
    op.drop_column("delivery", "pressed_at")
    op.drop_index("ix_webhook_releasing", "webhook")
    for name in (
        "releasing_tries",
        "released_at",
        "releasing",
        "probes",
        "denied_events",
        "refused_events",
        "revision",
        "on_at",
    ):
        op.drop_column("webhook", name)
