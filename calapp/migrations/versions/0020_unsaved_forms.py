"""Forms that were sent after their session had ended."""

import sqlalchemy as sa
from alembic import op

revision = '0020'
down_revision = '0019'
branch_labels = None
depends_on = None


def upgrade():
    """Bring the database forward."""
    op.create_table(
        'unsaved_form',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('user_id', sa.Integer(), nullable=False),
        sa.Column('token_hash', sa.String(length=64), nullable=False),
        sa.Column('address_key', sa.String(length=32), nullable=False),
        sa.Column('form', sa.Text(), nullable=False),
        sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('sent_at', sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(['user_id'], ['user.id'], name=op.f('fk_unsaved_form_user_id_user'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_unsaved_form')),
        sa.UniqueConstraint('token_hash', name=op.f('uq_unsaved_form_token_hash')),
    )
    op.create_index('ix_unsaved_form_user_id', 'unsaved_form', ['user_id'])
    op.create_index('ix_unsaved_form_address_key', 'unsaved_form', ['address_key'])
    op.create_index('ix_unsaved_form_expires_at', 'unsaved_form', ['expires_at'])


def downgrade():
    """Take it back."""
    op.drop_table('unsaved_form')
