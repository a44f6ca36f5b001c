"""Schedules, time off, and links that set a password or confirm an email address."""

import sqlalchemy as sa
from alembic import op

revision = '0013'
down_revision = '0011'
branch_labels = None
depends_on = None

OF_SCHEDULE = ('weekly_hours', 'date_override', 'event_type')


def upgrade():
    """Bring the database forward."""
    op.create_table('schedule',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=100), nullable=False),
    sa.Column('time_zone', sa.String(length=64), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['user.id'], name=op.f('fk_schedule_user_id_user')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_schedule'))
    )
    op.create_index(op.f('ix_schedule_user_id'), 'schedule', ['user_id'])
    # Written out, since Alembic would make SQLite's tables anew, and with them empty those that hang on them.
    # The hours that there are keep no schedule: so a version without schedules goes on writing them, and they
    # are the default one's.
    for table in OF_SCHEDULE:
        op.execute(f'ALTER TABLE {table} ADD COLUMN schedule_id INTEGER '
                   f'CONSTRAINT fk_{table}_schedule_id_schedule REFERENCES schedule (id)')
        op.create_index(op.f(f'ix_{table}_schedule_id'), table, ['schedule_id'])
    op.add_column('user', sa.Column('default_schedule_id', sa.Integer(), nullable=True))
    op.execute('INSERT INTO schedule (user_id, name, time_zone, created_at) '
               "SELECT id, 'Working hours', time_zone, created_at FROM \"user\" ORDER BY id")
    op.execute('UPDATE "user" SET default_schedule_id = '
               '(SELECT schedule.id FROM schedule WHERE schedule.user_id = "user".id)')
    op.create_table('time_off',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('first_day', sa.Date(), nullable=False),
    sa.Column('last_day', sa.Date(), nullable=False),
    sa.Column('note', sa.String(length=200), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint('first_day <= last_day', name=op.f('ck_time_off_forwards')),
    sa.ForeignKeyConstraint(['user_id'], ['user.id'], name=op.f('fk_time_off_user_id_user')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_time_off'))
    )
    op.create_index(op.f('ix_time_off_user_id'), 'time_off', ['user_id'])
    op.add_column('user', sa.Column('pending_email', sa.String(length=254), nullable=True))
    op.add_column('user', sa.Column('unconfirmed_since', sa.DateTime(timezone=True), nullable=True))
    op.create_table('account_link',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=True),
    sa.Column('purpose', sa.String(length=20), nullable=False),
    sa.Column('typed', sa.String(length=254), nullable=True),
    sa.Column('email', sa.String(length=254), nullable=True),
    sa.Column('token_hash', sa.String(length=64), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['user.id'], name=op.f('fk_account_link_user_id_user')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_account_link')),
    sa.UniqueConstraint('token_hash', name=op.f('uq_account_link_token_hash'))
    )
    op.create_index(op.f('ix_account_link_user_id'), 'account_link', ['user_id'])
    op.create_index(op.f('ix_account_link_created_at'), 'account_link', ['created_at'])
    op.add_column('mail', sa.Column('held_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('mail', sa.Column('has_link', sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade():
    """Take it back."""
    op.drop_column('mail', 'has_link')
    op.drop_column('mail', 'held_at')
    op.drop_table('account_link')
    op.drop_column('user', 'unconfirmed_since')
    op.drop_column('user', 'pending_email')
    op.drop_table('time_off')
    op.drop_column('user', 'default_schedule_id')
    for table in OF_SCHEDULE:
        op.drop_index(op.f(f'ix_{table}_schedule_id'), table)
        op.drop_column(table, 'schedule_id')
    op.drop_table('schedule')
