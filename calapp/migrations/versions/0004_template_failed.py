"""Deliveries whose payload template could not be rendered."""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade():
    """Bring the database forward."""
    op.add_column('delivery', sa.Column('template_failed', sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index(
        'ix_delivery_template_failed',
        'delivery',
        ['webhook_id'],
        unique=False,
        sqlite_where=sa.text('template_failed = 1'),
        postgresql_where=sa.text('template_failed'),
    )


def downgrade():
    """Take it back."""
    op.drop_index('ix_delivery_template_failed', table_name='delivery')
    op.drop_column('delivery', 'template_failed')
