"""Credentials and the second wall: API keys, and row-level security behind every read of a tenant."""

from alembic import op

from turnlog_migrations.statements import statements

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

PATIENCE = "3s"
"""How long a table may be waited for: whoever comes after us waits as long, and a write has five seconds."""


def upgrade() -> None:
    """Add roles, keys and policies; no row and no other function changes."""
    op.execute(f"set local lock_timeout = '{PATIENCE}'")
    for statement in statements("0003"):
        op.execute(statement)
    op.execute("grant usage on schema turnlog to turnlog_tenant, turnlog_auditor")
    op.execute("grant select on turnlog.events to turnlog_auditor")
    op.execute("grant select, update (last_used_at) on turnlog.api_keys to turnlog_app")
