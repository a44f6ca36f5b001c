"""An index of the cancelled bookings, for the host's list."""

import sqlalchemy as sa
from alembic import op

revision = '0025'
down_revision = '0024'
branch_labels = None
depends_on = None

WHERE = "status IN ('cancelled', 'rejected') AND rescheduled_to_uid IS NULL AND unanswered_at IS NULL"


def upgrade():
    """Bring the database forward."""
    where = sa.text(WHERE)
    columns = ['host_id', 'starts_at']
    op.create_index('ix_booking_cancelled', 'booking', columns, sqlite_where=where, postgresql_where=where)


def downgrade():
    """Take it back."""
    op.drop_index('ix_booking_cancelled', table_name='booking')
