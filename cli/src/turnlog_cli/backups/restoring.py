"""Restores a backup into an empty database: in one transaction, so that a restore that is killed leaves nothing.

The schema is made by this release's own migrations as far as the backup's, the rows are loaded, held to what the backup
says of them, and the schema is brought up to this release's. The caller has proved the file before.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from turnlog_cli.backups.catalog import Connection, heads, tables
from turnlog_cli.backups.empty import make_way
from turnlog_cli.backups.errors import BackupError, Damaged, TooNew
from turnlog_cli.backups.failures import connected
from turnlog_cli.backups.format import Header, LogState, table_of
from turnlog_cli.backups.indexes import built_afterwards
from turnlog_cli.backups.proving import opened
from turnlog_cli.backups.reading import ArchiveReader
from turnlog_cli.backups.walls import walls_open
from turnlog_cli.keys_at_start import LOCAL_NAME
from turnlog_migrations import CONNECT_TIMEOUT_S, knows, latest, schema_transaction

Progress = Callable[[int], None]
"""Called with how many bytes of the file were loaded."""
LOGS = "logs"
_SETTINGS = (
    "set local statement_timeout = 0",
    "set local idle_in_transaction_session_timeout = 0",
    "set local maintenance_work_mem = '256MB'",
    "set local synchronous_commit = on",
)

_END_LOCAL_KEYS = "update turnlog.api_keys set revoked_at = now() where name = $1 and revoked_at is null"
"""The `turnlog up` that made such a key for itself, and would have revoked it at its end, is not this one."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A restore that was committed: the logs as they are now, and the schema of the backup and of the database."""

    header: Header
    schema: str
    logs: tuple[LogState, ...]
    live_keys: int
    seconds: float


async def restore(dsn: str, path: Path, *, keep_incarnation: bool, progress: Progress | None = None) -> Restored:
    """Restore a proved backup into the database at `dsn` (its owner's connection).

    Raises `NotEmpty`, `TooNew`, `Damaged` (the file changed since it was proved), or what asyncpg raises: nothing was
    changed then.
    """
    began = time.perf_counter()
    with opened(path) as file:
        reader = ArchiveReader(file)
        header = reader.header
        if not knows(header.schema):
            raise TooNew(
                f"the backup is of schema {header.schema}, this release knows up to {latest()}: restore it with the "
                "newer release"
            )
        await (await connected(dsn, "turnlog restore")).close()
        async with schema_transaction(dsn, CONNECT_TIMEOUT_S) as schema:
            connection = schema.driver
            for setting in _SETTINGS:
                await connection.execute(setting)
            await make_way(connection)
            await schema.upgrade(header.schema)
            await _check_columns(connection, header)
            async with walls_open(connection), built_afterwards(connection):
                await connection.execute("delete from turnlog.logs")  # the one that the migrations make
                await _load(connection, reader, progress)
            await _check(connection, reader)
            if not keep_incarnation:
                await _renew(connection)
            await connection.execute("analyze " + ", ".join(f"turnlog.{table.name}" for table in header.tables))
            await schema.upgrade()
            await connection.execute(_END_LOCAL_KEYS, LOCAL_NAME)
            logs, keys = tuple(await heads(connection)), await _live_keys(connection)
    return Restored(header, latest(), logs, keys, time.perf_counter() - began)


async def _check_columns(connection: Connection, header: Header) -> None:
    made = {table.name: dict(table.columns) for table in await tables(connection)}
    for table in header.tables:
        if made.get(table.name) != dict(table.columns):
            raise BackupError(
                f"table {table.name} of the backup is not that of schema {header.schema} in this release: it was "
                "changed by hand; restore it with PostgreSQL's own tools"
            )


async def _load(connection: Connection, reader: ArchiveReader, progress: Progress | None) -> None:
    for name, parts in groupby(reader.parts(), key=lambda part: part[0]):
        table = reader.header.table(table_of(name))

        async def pieces() -> AsyncIterator[bytes]:
            while (part := await asyncio.to_thread(next, parts, None)) is not None:  # noqa: B023
                yield part[1]
                if progress is not None:
                    progress(reader.bytes)

        await connection.copy_to_table(
            table.name,
            schema_name="turnlog",
            columns=[column for column, _ in table.columns],
            source=pieces(),
            format="binary",
            freeze=table.name != LOGS,  # rows had been deleted there: frozen ones would be no help
        )


async def _check(connection: Connection, reader: ArchiveReader) -> None:
    """Hold what was loaded to the backup: every log's end, and the rows of every table."""
    assert reader.manifest is not None, "the file was read to its end"
    if tuple(await heads(connection)) != reader.header.logs:
        raise Damaged("what was loaded does not end as the backup says: nothing was restored")
    for table in reader.header.tables:
        found = await connection.fetchval(f"select count(*) from turnlog.{table.name}")  # noqa: S608 (checked)
        if found != (said := reader.manifest.rows(table.name)):
            raise Damaged(f"{found:,} rows of {table.name} were loaded instead of {said:,}: nothing was restored")


async def _renew(connection: Connection) -> None:
    """A new incarnation for every log: streams and read models made from the database before are never met again."""
    await connection.execute("alter table turnlog.logs disable trigger user")
    await connection.execute("update turnlog.logs set incarnation = replace(gen_random_uuid()::text, '-', '')")
    await connection.execute("alter table turnlog.logs enable trigger user")


async def _live_keys(connection: Connection) -> int:
    found: int = await connection.fetchval(
        "select count(*) from turnlog.api_keys where revoked_at is null and (expires_at is null or expires_at > now())"
    )
    return found
