"""Bookings that were not answered in time."""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

PENDING = sa.text("status = 'pending'")


def upgrade():
    """Bring the database forward."""
    op.add_column('booking', sa.Column('unanswered_at', sa.DateTime(timezone=True), nullable=True))
    op.create_index('ix_booking_to_answer', 'booking', ['starts_at'], sqlite_where=PENDING, postgresql_where=PENDING)


def downgrade():
    """Take it back."""
    op.drop_index('ix_booking_to_answer', 'booking')
    op.drop_column('booking', 'unanswered_at')
