"""Takes a backup: every row as of one snapshot, while writes go on.

One connection, one read-only transaction (REPEATABLE READ): what was committed when its snapshot was taken is in the
backup, whole, and nothing later is. Nobody waits for it but a migration, which gives up soon (`SchemaBusy`).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from importlib.metadata import version
from typing import BinaryIO

from turnlog_cli.backups.catalog import Connection, check_sees_all, heads, tables
from turnlog_cli.backups.errors import BackupError
from turnlog_cli.backups.failures import connected
from turnlog_cli.backups.format import EVENTS, FORMAT, PART_BYTES, Header, LogState, Manifest, stream_name
from turnlog_cli.backups.writing import ArchiveWriter
from turnlog_migrations import VERSION_TABLE, SchemaTooNew, knows, latest

Progress = Callable[[int, int], None]
"""Called with the bytes of rows copied so far, and about how many there are."""
SILENCE_S = 120.0
"""How long PostgreSQL may send nothing: beyond it the connection is given up as dead."""
_SIZE = """
select coalesce(sum(pg_table_size(oid)), 0)::bigint from pg_class
where relnamespace = to_regnamespace('turnlog') and relkind = 'r'
"""
_ALONE = (
    "set local statement_timeout = 0",
    "set local idle_in_transaction_session_timeout = 0",
    "set local lock_timeout = '10s'",
    "set local max_parallel_workers_per_gather = 0",
    "set local enable_seqscan = off",  # events in order from their index: a sort would write them all to disk once more
    "set local enable_bitmapscan = off",
    "set local enable_sort = off",
)


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that was written: `bytes` of the file, `rows_bytes` before compression."""

    header: Header
    manifest: Manifest
    bytes: int
    rows_bytes: int
    seconds: float
    standby: bool


async def take(dsn: str, file: BinaryIO, progress: Progress | None = None) -> Taken:
    """Write a backup of the database at `dsn` to a file.

    Raises `BackupError`, `SchemaTooNew`, what asyncpg raises, or OSError when the file cannot be written.
    """
    began = time.perf_counter()
    async with _snapshot(dsn) as connection:
        header, standby = await _header(connection)
        meter = _Meter(await connection.fetchval(_SIZE), progress)
        archive = ArchiveWriter(file, header)
        for table in header.tables:
            columns = ", ".join(f'"{name}"' for name, _ in table.columns)
            query = f"select {columns} from turnlog.{table.name}"  # noqa: S608 (names of the catalog)
            if table.name != EVENTS:
                await _Copying(archive, table.name, meter.add).run(connection, query)
                continue
            for log in header.logs:
                copying = _Copying(archive, stream_name(EVENTS, log.log), meter.add)
                _check_dense(log, await copying.run(connection, f"{query} where log = $1 order by position", log.log))
        manifest = archive.finish()
    return Taken(header, manifest, archive.bytes, meter.bytes, time.perf_counter() - began, standby)


def _check_dense(log: LogState, rows: int) -> None:
    if rows != log.position:
        raise BackupError(
            f"log {log.log} ends at position {log.position:,} and has {rows:,} events: PostgreSQL lost some; "
            "`turnlog verify` says where"
        )


class _Meter:
    """Counts bytes and tells of them; what PostgreSQL's files hold is a guess at how many there will be."""

    def __init__(self, expected: int, progress: Progress | None) -> None:
        self.bytes, self._expected, self._progress = 0, expected, progress

    def add(self, size: int) -> None:
        """So many more."""
        self.bytes += size
        if self._progress is not None:
            self._progress(self.bytes, max(self.bytes, self._expected))


@asynccontextmanager
async def _snapshot(dsn: str) -> AsyncIterator[Connection]:
    """A connection in its transaction, with every table held against being changed in shape."""
    connection = await connected(dsn, "turnlog backup")
    try:
        before = await tables(connection)
        if not before:
            raise BackupError("the database holds no schema of Turnlog: there is nothing to back up")
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for setting in _ALONE:
                await connection.execute(setting)
            names = ", ".join(f"turnlog.{table.name}" for table in before)
            await connection.execute(f"lock table {names} in access share mode")
            if await tables(connection) != before:
                raise BackupError("the schema was migrated this moment: run the command again")
            yield connection
    finally:
        connection.terminate()


async def _header(connection: Connection) -> tuple[Header, bool]:
    await check_sees_all(connection)
    ((taken_at, server, standby),) = await connection.fetch(
        "select now(), current_setting('server_version'), pg_is_in_recovery()"
    )
    schema = await connection.fetchval(f"select version_num from {VERSION_TABLE}")  # noqa: S608 (a constant)
    if not knows(schema):
        raise SchemaTooNew(schema, latest())
    header = Header(
        FORMAT,
        version("turnlog-cli"),
        schema,
        server.split()[0],
        taken_at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z",
        tuple(await heads(connection)),
        tuple(await tables(connection)),
    )
    return header, standby


class _Copying:
    """One stream on its way from PostgreSQL into the file. While a part is compressed in a thread the next one is
    received, so two are held at most."""

    def __init__(self, archive: ArchiveWriter, name: str, received: Callable[[int], None]) -> None:
        self._stream, self._told = archive.stream(name), received
        self._gathered = bytearray()
        self._writing: asyncio.Future[None] | None = None
        self._pieces = 0

    async def run(self, connection: Connection, query: str, *arguments: str) -> int:
        """Copy what the query gives; the number of rows. Raises `BackupError` when PostgreSQL falls silent."""
        task = asyncio.ensure_future(connection.copy_from_query(query, *arguments, output=self._take, format="binary"))
        try:
            while not task.done():
                before = self._pieces
                await asyncio.wait({task}, timeout=SILENCE_S)
                if not task.done() and self._pieces == before:
                    raise BackupError(f"PostgreSQL sent nothing for {SILENCE_S:.0f} s: nothing was backed up")
            rows = int(task.result().split()[-1])  # "COPY 12"
            await self._flush()
            await self._written()
        finally:
            if not task.done():
                connection.terminate()
                task.cancel()
                await asyncio.wait({task})
            if self._writing is not None:
                await asyncio.wait({self._writing})
        await asyncio.to_thread(self._stream.close, rows)
        return rows

    async def _take(self, data: bytes) -> None:
        self._pieces += 1
        self._gathered += data
        if len(self._gathered) >= PART_BYTES:
            await self._flush()

    async def _flush(self) -> None:
        await self._written()
        data, self._gathered = bytes(self._gathered), bytearray()
        self._told(len(data))
        self._writing = asyncio.ensure_future(asyncio.to_thread(self._stream.write, data))

    async def _written(self) -> None:
        """Wait for the piece before; raises what writing it raised."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing
