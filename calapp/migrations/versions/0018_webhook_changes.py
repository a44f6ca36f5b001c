"""When the URL, the secret or the headers of a webhook changed."""

import sqlalchemy as sa
from alembic import op

revision = '0018'
down_revision = '0015'
branch_labels = None
depends_on = None


def upgrade():
    """Bring the database forward."""
    op.create_table(
        'webhook_change',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('webhook_id', sa.Integer(), nullable=False),
        sa.Column('at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('old_url', sa.String(length=2000), nullable=True),
        sa.Column('secret', sa.Boolean(), nullable=False),
        sa.Column('headers', sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(['webhook_id'], ['webhook.id'], name=op.f('fk_webhook_change_webhook_id_webhook')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_webhook_change')),
    )
    op.create_index(op.f('ix_webhook_change_at'), 'webhook_change', ['at'])
    op.create_index(op.f('ix_webhook_change_webhook_id'), 'webhook_change', ['webhook_id'])


def downgrade():
    """Take it back."""
    op.drop_table('webhook_change')
