"""Asks PostgreSQL, as the schema's owner, for what `judge_postgres` judges. Every step is bounded, also when the
server is paused."""

import time
from typing import Any

from turnlog_cli.diagnosis.findings import Finding, bad
from turnlog_cli.diagnosis.judge_postgres import SUBJECT, PostgresSeen, Slot, judge_postgres
from turnlog_eventstore import StoreError, StoreSettings
from turnlog_eventstore.connections import Connection, Connections

STEP_S = 4.0
_SETTINGS = (
    "max_connections", "superuser_reserved_connections", "fsync", "synchronous_commit", "full_page_writes",
    "synchronous_standby_names", "default_transaction_read_only",
)  # fmt: skip
_SERVER = """
    select current_setting('server_version_num')::int as version_num, current_setting('server_version') as version,
           pg_is_in_recovery() as in_recovery, pg_database_size(current_database()) as database_bytes,
           (select count(*) from pg_stat_activity where backend_type = 'client backend') as connections,
           (select count(*) from pg_stat_replication where sync_state in ('sync', 'quorum')) as sync_standbys,
           (select max(age(datfrozenxid)) from pg_database) as xid_age,
           (select count(*) from pg_prepared_xacts) as prepared,
           coalesce((select extract(epoch from now() - min(prepared)) from pg_prepared_xacts), 0)::float8
               as oldest_prepared_s,
           (select coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)
            from pg_stat_archiver) as archive_failing"""
_OLDEST = """
    select extract(epoch from clock_timestamp() - xact_start)::float8 as age_s,
           format('pid %s, user %s, %s, %s', pid, usename, coalesce(nullif(application_name, ''), 'no name'), state)
               as who
    from pg_stat_activity
    where backend_type = 'client backend' and pid <> pg_backend_pid() and xact_start is not null
    order by xact_start limit 1"""
_SLOTS = """
    select slot_name, active, wal_status = 'lost' as lost,
           case when pg_is_in_recovery() then 0
                else coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0) end::bigint as retained_bytes
    from pg_replication_slots order by slot_name"""


async def postgres_server(owner_url: str, newest_schema: str) -> list[Finding]:
    """Findings about the server, held to the newest schema; that alone where it does not answer the owner."""
    connections = await Connections.open(owner_url, StoreSettings(pool_connections=1, deadline_s=STEP_S, role="none"))
    try:
        return judge_postgres(await connections.read(lambda c: _seen(c, newest_schema), 2 * STEP_S))
    except StoreError as error:
        return [
            bad(
                SUBJECT,
                f"does not answer the schema's owner: {error}",
                "Services work; migrations, keys, logs and this look at the server do not.",
                "check TURNLOG_DATABASE_OWNER_URL: address, user and password",
                "postgresql",
            )
        ]
    finally:
        await connections.close()


async def _seen(connection: Connection, newest_schema: str) -> PostgresSeen:
    settings = await connection.fetch("select name, setting from pg_settings where name = any($1)", [*_SETTINGS])
    row: Any = await connection.fetchrow(_SERVER)
    skew_s = await _skew(connection)
    oldest: Any = await connection.fetchrow(_OLDEST)
    slots = await connection.fetch(_SLOTS)
    version = "select version_num from turnlog_schema_version"
    has_schema = await connection.fetchval("select to_regclass('turnlog_schema_version') is not null")
    return PostgresSeen(
        schema=await connection.fetchval(version) if has_schema else None,
        newest_schema=newest_schema,
        settings={name: value for name, value in settings},  # noqa: C416  (rows are no pairs to mypy)
        skew_s=skew_s,
        oldest_transaction_s=oldest["age_s"] if oldest else None,
        oldest_transaction=oldest["who"] if oldest else "",
        slots=tuple(Slot(s["slot_name"], s["active"], s["retained_bytes"], bool(s["lost"])) for s in slots),
        **dict(row),
    )


async def _skew(connection: Connection) -> float:
    """By how many seconds PostgreSQL's clock is ahead of ours, by the quickest of three answers."""
    found = []
    for _ in range(3):
        before = time.time()
        theirs = await connection.fetchval("select extract(epoch from clock_timestamp())::float8")
        after = time.time()
        found.append((after - before, theirs - (before + after) / 2))
    return float(min(found)[1])
