"""How many bytes a request to the inspector had, of which only the first are kept."""

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade():
    """Bring the database forward."""
    op.add_column('inspector_request', sa.Column('size', sa.Integer(), nullable=True))


def downgrade():
    """Take it back."""
    op.drop_column('inspector_request', 'size')
