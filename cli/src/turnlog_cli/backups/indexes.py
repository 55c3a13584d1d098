"""Indexes of the large tables, built after the rows were loaded: several times faster than row by row, and denser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from turnlog_cli.backups.catalog import Connection

LARGE = ("events", "sessions", "session_agents", "session_users")
"""Those that grow with turns; no other table refers to one."""
_CONSTRAINTS = """
select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
where conrelid = any (select ('turnlog.' || t)::regclass from unnest($1::text[]) t) and contype in ('p', 'u')
order by conrelid::regclass::text, contype, conname
"""
_INDEXES = """
select i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) from pg_index i
where i.indrelid = any (select ('turnlog.' || t)::regclass from unnest($1::text[]) t)
  and not exists (select from pg_constraint c where c.conindid = i.indexrelid)
order by i.indexrelid
"""


@asynccontextmanager
async def built_afterwards(connection: Connection) -> AsyncIterator[None]:
    """Drop the indexes and unique constraints of the large tables, and make the same ones again at the end.

    Raises asyncpg's UniqueViolationError when the rows contradict them.
    """
    constraints = await connection.fetch(_CONSTRAINTS, list(LARGE))
    indexes = await connection.fetch(_INDEXES, list(LARGE))
    for name, _ in indexes:
        await connection.execute(f"drop index {name}")
    for table, name, _ in constraints:
        await connection.execute(f'alter table {table} drop constraint "{name}"')
    yield
    for table, name, definition in constraints:
        await connection.execute(f'alter table {table} add constraint "{name}" {definition}')
    for _, definition in indexes:
        await connection.execute(definition)
