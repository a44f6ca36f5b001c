"""Signed links, tracking of links, and daily summaries."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade():
    """Bring the database forward."""
    op.create_table(
        "link_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("hint", sa.String(length=12), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_link_key_user_id_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link_key")),
    )
    op.create_index(op.f("ix_link_key_user_id"), "link_key", ["user_id"])
    op.add_column(
        "event_type",
        sa.Column("require_signed_metadata", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column(
        "booking", sa.Column("metadata_verified", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("booking", sa.Column("tracking", sa.JSON(), server_default=sa.text("'{}'"), nullable=False))
    op.add_column("event", sa.Column("event_type_id", sa.Integer(), nullable=True))
    op.add_column("user", sa.Column("summarized_on", sa.Date(), nullable=True))


def downgrade():
    """Take it back."""
    op.drop_column("user", "summarized_on")
    op.drop_column("event", "event_type_id")
    op.drop_column("booking", "tracking")
    op.drop_column("booking", "metadata_verified")
    op.drop_column("event_type", "require_signed_metadata")
    op.drop_index(op.f("ix_link_key_user_id"), "link_key")
    op.drop_table("link_key")
