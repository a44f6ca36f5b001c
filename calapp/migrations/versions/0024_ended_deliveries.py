"""Indexes of the deliveries that ended badly, for the log."""

import sqlalchemy as sa
from alembic import op

revision = '0024'
down_revision = '0023'
branch_labels = None
depends_on = None

INDEXES = {'ix_delivery_failed': "state = 'failed'", 'ix_delivery_expired': "state = 'expired'"}


def upgrade():
    """Bring the database forward."""
    for name, where in INDEXES.items():
        condition = sa.text(where)
        columns = ['webhook_id', 'id']
        op.create_index(name, 'delivery', columns, sqlite_where=condition, postgresql_where=condition)


def downgrade():
    """Take it back."""
    for name in INDEXES:
        op.drop_index(name, table_name='delivery')
