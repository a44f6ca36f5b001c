"""Reminders, several lengths, questions that can be switched off, phone numbers, emails that expire."""

import sqlalchemy as sa
from alembic import op

revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None

TO_REMIND = sa.text("status = 'accepted' AND reminder_at IS NOT NULL")


def upgrade():
    """Bring the database forward."""
    for name in ('reminders', 'lengths'):
        op.add_column('event_type', sa.Column(name, sa.JSON(), server_default='[]', nullable=False))
    for name in ('asks_notes', 'asks_guests'):
        op.add_column('event_type', sa.Column(name, sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column('booking', sa.Column('reminder_at', sa.DateTime(timezone=True), nullable=True))
    op.create_index('ix_booking_to_remind', 'booking', ['reminder_at'], sqlite_where=TO_REMIND, postgresql_where=TO_REMIND)
    op.add_column('attendee', sa.Column('phone', sa.String(length=40), server_default='', nullable=False))
    op.add_column('mail', sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True))


def downgrade():
    """Take it back."""
    op.drop_column('mail', 'expires_at')
    op.drop_column('attendee', 'phone')
    op.drop_index('ix_booking_to_remind', 'booking')
    op.drop_column('booking', 'reminder_at')
    for name in ('asks_guests', 'asks_notes', 'lengths', 'reminders'):
        op.drop_column('event_type', name)
