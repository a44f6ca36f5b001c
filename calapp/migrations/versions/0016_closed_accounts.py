"""Accounts that are suspended, or to be removed."""

import sqlalchemy as sa
from alembic import op

revision = '0016'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade():
    """Bring the database forward."""
    op.add_column('user', sa.Column('closed_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('user', sa.Column('removal', sa.String(length=10), nullable=True))
