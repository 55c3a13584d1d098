"""The walls around history, opened for the rows of a backup within the restore's own transaction, and put up again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from turnlog_cli.backups.catalog import Connection

_TABLES = """
select relname, relforcerowsecurity from pg_class
where relnamespace = 'turnlog'::regnamespace and relkind = 'r' order by relname
"""


@asynccontextmanager
async def walls_open(connection: Connection) -> AsyncIterator[None]:
    """No triggers of ours, and no row-level security for the owner: COPY cannot load through it."""
    found = await connection.fetch(_TABLES)
    for name, forced in found:
        await connection.execute(f"alter table turnlog.{name} disable trigger user")
        if forced:
            await connection.execute(f"alter table turnlog.{name} no force row level security")
    yield
    for name, forced in found:
        await connection.execute(f"alter table turnlog.{name} enable trigger user")
        if forced:
            await connection.execute(f"alter table turnlog.{name} force row level security")
