"""What PostgreSQL says of our tables, and of who may see their rows. Asked in a backup's or a restore's transaction."""

from typing import Any, TypeAlias

import asyncpg

from turnlog_cli.backups.errors import BackupError
from turnlog_cli.backups.format import EVENTS, LogState, Table
from turnlog_events.hashing import GENESIS

Connection: TypeAlias = "asyncpg.Connection[Any]"
FIRST = ("logs", "tenants", EVENTS)
"""Tables in an order in which rows refer to earlier ones; the others follow by name."""

_TABLES = """
select c.relname, array_agg(a.attname::text order by a.attnum) as names,
       array_agg(format_type(a.atttypid, a.atttypmod) order by a.attnum) as types
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
where c.relnamespace = to_regnamespace('turnlog') and c.relkind in ('r', 'p') and not c.relispartition
group by c.relname
"""
_HEADS = """
select l.log, l.incarnation, coalesce(e.position, 0), e.chain_hash
from turnlog.logs l
left join lateral (
    select position, chain_hash from turnlog.events where log = l.log order by log desc, position desc limit 1
) e on true
order by l.log
"""
_HIDDEN = """
select c.relname from pg_class c
where c.relnamespace = to_regnamespace('turnlog') and c.relkind in ('r', 'p') and row_security_active(c.oid)
  and not exists (
      select from pg_policy p
      where p.polrelid = c.oid and p.polpermissive and p.polcmd in ('*', 'r')
        and pg_get_expr(p.polqual, p.polrelid) = 'true'
        and exists (
            select from unnest(p.polroles) as role (oid)
            where role.oid = 0 or pg_has_role(current_user, role.oid, 'usage')))
order by c.relname
"""
"""Tables of which row-level security may keep rows from us: there is no policy that shows us all of them."""


async def tables(connection: Connection) -> list[Table]:
    """Our tables, in the order in which they are to be restored; none where there is no schema of ours."""
    found = [
        Table(row["relname"], tuple(zip(row["names"], row["types"], strict=True)))
        for row in await connection.fetch(_TABLES)
    ]
    return sorted(found, key=lambda table: (_rank(table.name), table.name))


async def heads(connection: Connection) -> list[LogState]:
    """Every log with its end."""
    return [
        LogState(log, incarnation, position, (chain_hash or GENESIS).hex())
        for log, incarnation, position, chain_hash in await connection.fetch(_HEADS)
    ]


async def check_sees_all(connection: Connection) -> None:
    """Raise `BackupError` unless we are shown every row: a backup of some of them would look like a whole one."""
    if hidden := [row[0] for row in await connection.fetch(_HIDDEN)]:
        user = await connection.fetchval("select current_user")
        raise BackupError(
            f"PostgreSQL may keep rows of {', '.join(hidden)} from {user} (row-level security), so this would be no "
            "backup: connect as the schema's owner (TURNLOG_DATABASE_OWNER_URL)"
        )


def _rank(table: str) -> int:
    return FIRST.index(table) if table in FIRST else len(FIRST)
