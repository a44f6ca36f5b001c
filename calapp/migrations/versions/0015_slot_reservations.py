"""Times that a client of the API holds for a few minutes before it books."""

import sqlalchemy as sa
from alembic import op

revision = '0015'
down_revision = '0017'
branch_labels = None
depends_on = None


def upgrade():
    """Bring the database forward."""
    op.create_table(
        'slot_reservation',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('uid', sa.String(length=36), nullable=False),
        sa.Column('host_id', sa.Integer(), nullable=False),
        sa.Column('event_type_id', sa.Integer(), nullable=False),
        sa.Column('holder', sa.String(length=40), nullable=False),
        sa.Column('starts_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('ends_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('minutes', sa.Integer(), nullable=False),
        sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(['event_type_id'], ['event_type.id'], ondelete='CASCADE'),
        sa.ForeignKeyConstraint(['host_id'], ['user.id'], ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('id'),
        sa.UniqueConstraint('uid'),
    )
    op.create_index('ix_slot_reservation_event_type_id', 'slot_reservation', ['event_type_id'])
    op.create_index('ix_slot_reservation_expires_at', 'slot_reservation', ['expires_at'])
    op.create_table(
        'reserved_slot',
        sa.Column('host_id', sa.Integer(), nullable=False),
        sa.Column('at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('reservation_id', sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(['host_id'], ['user.id'], ondelete='CASCADE'),
        sa.ForeignKeyConstraint(['reservation_id'], ['slot_reservation.id'], ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('host_id', 'at'),
    )
    op.create_index('ix_reserved_slot_reservation_id', 'reserved_slot', ['reservation_id'])


def downgrade():
    """Take it back."""
    op.drop_table('reserved_slot')
    op.drop_table('slot_reservation')
