"""The log: events, sessions, checkpoints, the append function, and the walls that keep history as it is."""

from alembic import op

from turnlog_migrations.statements import statements

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

HISTORY = ("logs", "events", "sessions", "session_agents", "session_users")


def upgrade() -> None:
    """Create everything; then forbid change of history by trigger and by grants."""
    for statement in statements("0001"):
        op.execute(statement)
    for table in HISTORY:
        op.execute(
            f"create trigger forbid_change before update or delete or truncate on turnlog.{table} "
            "for each statement execute function turnlog.forbid_change()"
        )
    op.execute("insert into turnlog.logs (log) values ('main')")
    op.execute("grant usage on schema turnlog to turnlog_app")
    op.execute("grant select on all tables in schema turnlog to turnlog_app")
    for table in HISTORY[1:]:
        op.execute(f"grant insert on turnlog.{table} to turnlog_app")
    op.execute("grant insert, update on turnlog.checkpoints to turnlog_app")
    op.execute("grant insert on turnlog.task_runs to turnlog_app")
    op.execute("revoke all on function turnlog.append from public")
    op.execute("grant execute on function turnlog.append to turnlog_app")
