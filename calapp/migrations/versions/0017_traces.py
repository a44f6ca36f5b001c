"""The trace that an event belongs to."""

import sqlalchemy as sa
from alembic import op

revision = '0017'
down_revision = '0016'
branch_labels = None
depends_on = None


def upgrade():
    """Bring the database forward."""
    op.add_column('event', sa.Column('trace', sa.String(length=55), nullable=True))
    op.add_column('event', sa.Column('trace_state', sa.Text(), nullable=True))


def downgrade():
    """Take it back."""
    op.drop_column('event', 'trace_state')
    op.drop_column('event', 'trace')
