"""What one visitor may cause: where a booking came from, what a visitor's acts sent, emails that wait."""

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None

ADDRESS = sa.text('address_key IS NOT NULL')
EMAIL = sa.text('email_key IS NOT NULL')
PARKED = sa.text('parked_at IS NOT NULL')


def upgrade():
    """Bring the database forward."""
    op.add_column('booking', sa.Column('address_key', sa.String(length=32), nullable=True))
    op.add_column('booking', sa.Column('email_key', sa.String(length=32), nullable=True))
    op.create_index('ix_booking_of_address', 'booking', ['host_id', 'address_key'], sqlite_where=ADDRESS, postgresql_where=ADDRESS)
    op.create_index('ix_booking_of_email', 'booking', ['host_id', 'email_key'], sqlite_where=EMAIL, postgresql_where=EMAIL)
    op.create_index('ix_booking_with_key', 'booking', ['ends_at'], sqlite_where=EMAIL, postgresql_where=EMAIL)
    op.add_column('mail', sa.Column('parked_at', sa.DateTime(timezone=True), nullable=True))
    op.create_index('ix_mail_parked', 'mail', ['user_id'], sqlite_where=PARKED, postgresql_where=PARKED)
    op.create_table('visitor_act',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('host_id', sa.Integer(), nullable=False),
    sa.Column('address_key', sa.String(length=32), nullable=True),
    sa.Column('chain', sa.String(length=40), nullable=False),
    sa.Column('moved', sa.Boolean(), nullable=False),
    sa.Column('recipients', sa.Integer(), nullable=False),
    sa.Column('parked', sa.Boolean(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['host_id'], ['user.id'], name=op.f('fk_visitor_act_host_id_user')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_visitor_act'))
    )
    op.create_index('ix_visitor_act_address', 'visitor_act', ['address_key', 'at'])
    op.create_index('ix_visitor_act_host', 'visitor_act', ['host_id', 'at'])
    op.create_index('ix_visitor_act_chain', 'visitor_act', ['chain', 'at'])
    op.create_index('ix_visitor_act_at', 'visitor_act', ['at'])


def downgrade():
    """Take it back."""
    op.drop_table('visitor_act')
    op.drop_index('ix_mail_parked', 'mail')
    op.drop_column('mail', 'parked_at')
    for index in ('ix_booking_with_key', 'ix_booking_of_email', 'ix_booking_of_address'):
        op.drop_index(index, 'booking')
    op.drop_column('booking', 'email_key')
    op.drop_column('booking', 'address_key')
