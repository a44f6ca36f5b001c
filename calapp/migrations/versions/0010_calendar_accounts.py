"""Accounts on CalDAV servers, and the bookings that are written to a calendar."""

import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None

DUE = sa.text('due_at IS NOT NULL')
ACCOUNT = 'fk_external_calendar_account_id_calendar_account'


def upgrade():
    """Bring the database forward."""
    op.create_table('calendar_account',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('address', sa.String(length=500), nullable=False),
    sa.Column('username', sa.String(length=254), nullable=False),
    sa.Column('password', sa.Text(), nullable=False),
    sa.Column('found', sa.JSON(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['user.id'], name=op.f('fk_calendar_account_user_id_user')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_calendar_account')),
    sa.UniqueConstraint('user_id', 'address', 'username', name='uq_calendar_account_login')
    )
    # Written out, since Alembic would make SQLite's table anew, and with it empty those that hang on it.
    op.execute(f'ALTER TABLE external_calendar ADD COLUMN account_id INTEGER CONSTRAINT {ACCOUNT} '
               'REFERENCES calendar_account (id)')
    op.create_index(op.f('ix_external_calendar_account_id'), 'external_calendar', ['account_id'])
    op.add_column('external_calendar', sa.Column('writes', sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table('calendar_copy',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('chain', sa.String(length=40), nullable=False),
    sa.Column('calendar_id', sa.Integer(), nullable=False),
    sa.Column('state', sa.String(length=10), nullable=False),
    sa.Column('revision', sa.Integer(), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('claimed_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('etag', sa.Text(), nullable=True),
    sa.Column('written', sa.String(length=64), nullable=True),
    sa.Column('sent', sa.String(length=64), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['calendar_id'], ['external_calendar.id'], name=op.f('fk_calendar_copy_calendar_id_external_calendar'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_calendar_copy')),
    sa.UniqueConstraint('chain', 'calendar_id', name='uq_calendar_copy_chain')
    )
    op.create_index(op.f('ix_calendar_copy_calendar_id'), 'calendar_copy', ['calendar_id'])
    op.create_index('ix_calendar_copy_due', 'calendar_copy', ['due_at'], sqlite_where=DUE, postgresql_where=DUE)


def downgrade():
    """Take it back."""
    op.drop_table('calendar_copy')
    op.drop_column('external_calendar', 'writes')
    op.drop_index(op.f('ix_external_calendar_account_id'), 'external_calendar')
    op.drop_column('external_calendar', 'account_id')
    op.drop_table('calendar_account')
