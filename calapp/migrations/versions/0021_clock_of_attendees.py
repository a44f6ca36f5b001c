"""The clock that a visitor reads goes with the booking into its emails."""

import sqlalchemy as sa
from alembic import op

revision = '0021'
down_revision = '0020'
branch_labels = None
depends_on = None


def upgrade():
    """Bring the database forward."""
    op.add_column('attendee', sa.Column('twelve_hours', sa.Boolean(), nullable=True))


def downgrade():
    """Take it back."""
    op.drop_column('attendee', 'twelve_hours')
