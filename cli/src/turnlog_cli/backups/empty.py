"""Whether a database may be restored into: nothing of ours in it, and nobody of ours at work on it."""

from turnlog_cli.backups.catalog import Connection, tables
from turnlog_cli.backups.errors import NotEmpty
from turnlog_migrations import VERSION_TABLE

HOLDING = {"events": "event", "sessions": "session", "tenants": "tenant assignment", "api_keys": "API key"}
"""Tables with a row of which somebody has used the database."""
_AT_WORK = """
select count(*) from pg_stat_activity
where datname = current_database() and application_name = 'turnlog' and pid <> pg_backend_pid()
"""


async def make_way(connection: Connection) -> None:
    """Leave no schema of ours: there is none, or it was migrated and never used, and is dropped in this transaction.

    Raises `NotEmpty` when anything is in it, or while services are connected: they would go on with what they know of
    the database before.
    """
    if at_work := await connection.fetchval(_AT_WORK):
        raise NotEmpty(
            f"{at_work} connections of Turnlog's services are open to this database: stop them (or `turnlog up`) "
            "first; nothing was changed"
        )
    found = {table.name for table in await tables(connection)}
    if not found:
        return
    await connection.execute("set local lock_timeout = '5s'")
    await connection.execute(
        "lock table " + ", ".join(f"turnlog.{name}" for name in sorted(found)) + " in access exclusive mode"
    )
    for table, noun in HOLDING.items():
        if table in found and await connection.fetchval(f"select exists (select from turnlog.{table})"):  # noqa: S608 (ours)
            raise NotEmpty(
                f"the database is not empty: it holds at least one {noun}. A restore never overwrites history: restore "
                "into a database of its own (`create database …`, or another --data-dir), look at it, and then let "
                "the services use that one; nothing was changed"
            )
    await connection.execute("drop schema turnlog cascade")
    await connection.execute(f"drop table if exists {VERSION_TABLE}")
