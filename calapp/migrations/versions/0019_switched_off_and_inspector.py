"""Webhooks switched off because they failed, and what the inspector responds."""

import sqlalchemy as sa
from alembic import op

revision = '0019'
down_revision = '0018'
branch_labels = None
depends_on = None


def upgrade():
    """Bring the database forward."""
    op.create_index(
        'ix_webhook_switched_off',
        'webhook',
        ['user_id'],
        sqlite_where=sa.text("off_reason = 'failing'"),
        postgresql_where=sa.text("off_reason = 'failing'"),
    )
    op.add_column('inspector', sa.Column('status', sa.Integer(), server_default='500', nullable=False))
    op.add_column('inspector', sa.Column('body', sa.Text(), server_default='', nullable=False))
    op.add_column('inspector', sa.Column('retry_after', sa.Integer(), nullable=True))


def downgrade():
    """Take it back."""
    op.drop_column('inspector', 'retry_after')
    op.drop_column('inspector', 'body')
    op.drop_column('inspector', 'status')
    op.drop_index('ix_webhook_switched_off', table_name='webhook')
