"""Several logs: tenants assigned to them, refused by the append of another, and what the owner may do with logs."""

from alembic import op

from turnlog_migrations.statements import statements

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OWNER_FUNCTIONS = ("create_log(text)", "assign_tenant(text, text)", "accept_log(text)", "guard_assignment()")


def upgrade() -> None:
    """Add tables and functions, and replace the append, which keeps its signature and its grants."""
    for statement in statements("0002"):
        op.execute(statement)
    op.execute(
        "create trigger guard_assignment before insert or update or delete on turnlog.tenants "
        "for each row execute function turnlog.guard_assignment()"
    )
    op.execute(
        "create trigger forbid_change before truncate on turnlog.tenants "
        "for each statement execute function turnlog.forbid_change()"
    )
    op.execute("grant select on turnlog.tenants to turnlog_app")
    for function in OWNER_FUNCTIONS:
        op.execute(f"revoke all on function turnlog.{function} from public")
