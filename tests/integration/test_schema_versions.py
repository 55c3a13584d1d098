"""Services and schema one version apart: nothing fails while the database is migrated under load, and services that
were started before the first migration work once it was made."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from conftest import RealServers
from databases import Database, migrate_to, own_database
from querying import TENANT, client_of, fresh, problem_in, said
from turnlog_bus import Bus
from turnlog_eventstore import AppendRequest, SchemaMissing, Store, StoreSettings
from turnlog_eventstore.statements import statement
from turnlog_ingest.service import ingest
from turnlog_migrations import SchemaBusy, migrate
from turnlog_query.service import query
from turnlog_runtime.settings import IngestSettings, QuerySettings

NEXT_MIGRATION = (
    "alter table turnlog.events add column of_next_release text",
    "alter table turnlog.logs add column of_next_release bigint",
    "alter table turnlog.sessions add column of_next_release text default 'x'",
    "create index events_of_next_release on turnlog.events (correlation_id) where of_next_release is not null",
    "create function turnlog.of_next_release(given text) returns text language sql as 'select given'",
)

READS = ("turns?limit=1", "turns?before_version=2", "context")


@pytest.fixture
async def database(servers: RealServers) -> AsyncIterator[Database]:
    """One that was never migrated."""
    async with own_database(servers) as made:
        yield made


@dataclass(frozen=True)
class Services:
    """The write and the read API."""

    writes: httpx.AsyncClient
    reads: httpx.AsyncClient

    async def write(self, session: str, number: int) -> httpx.Response:
        turn = {"role": "user", "content": f"turn {number}", "turn_id": f"t{number}"}
        return await self.writes.post(f"/v1/sessions/{session}/turns", json=turn)


@asynccontextmanager
async def services(database: Database, servers: RealServers) -> AsyncIterator[Services]:
    """Both, running against the database."""
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        stores = [await Store.open(database.dsn) for _ in range(2)]
        bus = Bus(servers.nats_url)
        for closing in (*stores, bus):
            stack.push_async_callback(closing.close)
        settings = QuerySettings(redis_url=SecretStr(servers.redis_url))
        reads = await stack.enter_async_context(query(stores[1], None, settings, stop))
        writes = await stack.enter_async_context(ingest(stores[0], bus, IngestSettings(), stop))
        yield Services(
            await stack.enter_async_context(client_of(writes)), await stack.enter_async_context(client_of(reads))
        )
        stop.set()


async def test_services_started_before_the_first_migration_work_once_it_was_made(
    database: Database, servers: RealServers
) -> None:
    session = fresh()
    async with services(database, servers) as both:
        for response in (await both.write(session, 1), await both.reads.get(f"/v1/sessions/{session}/turns")):
            assert problem_in(response, 503) == ("not_migrated", None)
            assert response.headers["retry-after"] == "5"
        await migrate(database.owner_dsn)
        async with asyncio.timeout(15):
            while (response := await both.write(session, 1)).status_code != 201:
                assert response.status_code == 503, response.text
                await asyncio.sleep(0.1)
        assert (await both.reads.get(f"/v1/sessions/{session}/turns")).json()["version"] == 1


async def test_a_server_that_lacks_our_role_is_not_migrated_either(database: Database) -> None:
    store = await Store.open(database.owner_dsn, StoreSettings(role="turnlog_absent"))
    with pytest.raises(SchemaMissing):
        await store.head("main")
    with pytest.raises(SchemaMissing):
        await store.append("main", [AppendRequest((said("s"),))])
    await store.close()


async def test_a_migration_under_load_fails_no_request_of_the_release_before(
    database: Database, servers: RealServers
) -> None:
    await migrate(database.owner_dsn)
    owner = await asyncpg.connect(database.owner_dsn)
    migrated = asyncio.Event()
    counts: list[int] = []

    async def client(both: Services, after: int) -> None:
        session, number = fresh(), 0
        while not migrated.is_set() or number < after:
            number += 1
            written = await both.write(session, number)
            assert written.status_code == 201, written.text
            for path in (
                f"{session}/turns?limit=1",
                f"{session}/turns?before_version=2",
                session,
                f"{session}/context",
            ):
                read = await both.reads.get(f"/v1/sessions/{path}")
                assert read.status_code == 200, read.text
            assert (await both.reads.get("/v1/logs/main/events?limit=3")).status_code == 200
        counts.append(number)

    async with services(database, servers) as both, asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(client(both, 5))
        functions = await owner.fetch(
            "select pg_get_functiondef(p.oid) from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
            " where n.nspname = 'turnlog' and p.prokind = 'f'"
        )
        for statement in (*NEXT_MIGRATION, *(row[0] for row in functions)):
            await asyncio.sleep(0.05)  # so that there are requests before and after each statement
            await owner.execute(statement)
        migrated.set()
    await owner.close()
    assert min(counts) >= 5


async def test_the_second_wall_is_put_up_under_load_without_a_failure_of_the_release_before(database: Database) -> None:
    """That release appends and reads as turnlog_app and sets no tenant; some of its calls begin before the migration
    and end after it."""
    await migrate_to(database.owner_dsn, "0002")
    migrated = asyncio.Event()
    counts: list[int] = []

    async def client(store: Store, session: "asyncpg.Connection[Any]") -> None:
        name, number, after = fresh(), 0, 0
        while after < 5:
            number, after = number + 1, after + migrated.is_set()
            await store.append("main", [AppendRequest((said(name, f"turn {number}"),))])
            rows = await session.fetch(statement("turns_newest"), TENANT, name, 0, 2**62, 5, None)
            assert rows[0]["version"] == number
            assert await session.fetch(statement("tenant_log"), TENANT)
            await session.execute(statement("start_task"), TENANT, f"{name}-{number}")
        counts.append(number)

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        for _ in range(4):
            store = await Store.open(database.dsn)
            stack.push_async_callback(store.close)
            session = await asyncpg.connect(database.dsn, server_settings={"role": "turnlog_app"})
            stack.push_async_callback(session.close)
            group.create_task(client(store, session))
        await asyncio.sleep(0.2)  # so that there are calls before and during the migration
        await migrate(database.owner_dsn)
        migrated.set()
    assert min(counts) > 5


async def test_a_migration_that_would_hold_up_every_request_gives_up_soon_and_changes_nothing(
    database: Database,
) -> None:
    await migrate_to(database.owner_dsn, "0002")
    reader = await asyncpg.connect(database.owner_dsn)
    async with reader.transaction():
        await reader.execute("select count(*) from turnlog.events")  # as a backup does, for as long as it takes
        with pytest.raises(SchemaBusy, match="nothing was changed"):
            await migrate(database.owner_dsn)
    await reader.close()
    store = await Store.open(database.dsn)
    with pytest.raises(SchemaMissing, match="turnlog migrate"):  # this release needs the newer schema, and says so
        await store.turns(TENANT, "s", limit=1)
    await migrate(database.owner_dsn)
    assert await store.turns(TENANT, "s", limit=1) == []
    await store.close()
