"""Room for encrypted secrets, and a hash by which the calendar feed's token is looked up."""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None

LONGER = (('webhook', 'secret', 500), ('webhook', 'old_secret', 500), ('user', 'calendar_token', 43))


def upgrade():
    """Bring the database forward; SQLite keeps no length, so nothing is longer there."""
    op.add_column('user', sa.Column('calendar_token_hash', sa.String(length=64), nullable=True))
    op.create_index(op.f('ix_user_calendar_token_hash'), 'user', ['calendar_token_hash'], unique=True)
    if op.get_bind().dialect.name == 'postgresql':
        for table, column, length in LONGER:
            op.alter_column(table, column, existing_type=sa.String(length=length), type_=sa.Text())


def downgrade():
    """Take the hash away; what is encrypted stays so, and the columns as long as they are."""
    op.drop_index(op.f('ix_user_calendar_token_hash'), table_name='user')
    with op.batch_alter_table('user') as batch_op:
        batch_op.drop_column('calendar_token_hash')
