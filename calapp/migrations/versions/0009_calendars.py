"""Calendars that hosts have elsewhere, their busy times, and the bookings that meet them."""

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade():
    """Bring the database forward."""
    op.create_table('external_calendar',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('kind', sa.String(length=10), nullable=False),
    sa.Column('name', sa.String(length=100), nullable=False),
    sa.Column('place', sa.String(length=253), nullable=False),
    sa.Column('address', sa.Text(), nullable=False),
    sa.Column('address_hash', sa.String(length=64), nullable=False),
    sa.Column('credentials', sa.Text(), nullable=True),
    sa.Column('blocks', sa.Boolean(), nullable=False),
    sa.Column('when_stale', sa.String(length=10), nullable=False),
    sa.Column('stale_after', sa.Integer(), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('attempted_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_read_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('changed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('error_code', sa.String(length=40), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('error_since', sa.DateTime(timezone=True), nullable=True),
    sa.Column('told_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('dismissed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('etag', sa.Text(), nullable=True),
    sa.Column('last_modified', sa.Text(), nullable=True),
    sa.Column('sync_token', sa.Text(), nullable=True),
    sa.Column('content_hash', sa.String(length=64), nullable=True),
    sa.Column('basis', sa.String(length=64), nullable=True),
    sa.Column('busy_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('cut_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('left_out', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['user.id'], name=op.f('fk_external_calendar_user_id_user')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_external_calendar')),
    sa.UniqueConstraint('user_id', 'address_hash', name='uq_external_calendar_address')
    )
    op.create_index('ix_external_calendar_due', 'external_calendar', ['due_at'])
    op.create_table('external_busy',
    sa.Column('calendar_id', sa.Integer(), nullable=False),
    sa.Column('start', sa.DateTime(timezone=True), nullable=False),
    sa.Column('end', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['calendar_id'], ['external_calendar.id'], name=op.f('fk_external_busy_calendar_id_external_calendar'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('calendar_id', 'start', name=op.f('pk_external_busy'))
    )
    op.create_table('calendar_conflict',
    sa.Column('booking_id', sa.Integer(), nullable=False),
    sa.Column('calendar_id', sa.Integer(), nullable=False),
    sa.Column('found_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('over_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['booking_id'], ['booking.id'], name=op.f('fk_calendar_conflict_booking_id_booking'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['calendar_id'], ['external_calendar.id'], name=op.f('fk_calendar_conflict_calendar_id_external_calendar'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('booking_id', name=op.f('pk_calendar_conflict'))
    )
    op.create_index(op.f('ix_calendar_conflict_calendar_id'), 'calendar_conflict', ['calendar_id'])


def downgrade():
    """Take it back."""
    op.drop_table('calendar_conflict')
    op.drop_table('external_busy')
    op.drop_table('external_calendar')
