"""${message}"""

from alembic import op
from turnlog_migrations.statements import statements

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in statements(${repr(up_revision)}):
        op.execute(statement)
