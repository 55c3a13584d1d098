"""Several logs on real servers: tenants assigned before their first event, refused elsewhere, and routed over HTTP."""

import asyncio
import importlib
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import asyncpg
import httpx
import pytest
import structlog

from making import request, turn
from turnlog_bus import Bus
from turnlog_eventstore import (
    Administration,
    NotAllowed,
    Rejected,
    Store,
    Stored,
    StoreSettings,
    StoreUnavailable,
    TenantLogs,
    UnknownLog,
    each_log,
)
from turnlog_follow.fence import FenceWatch
from turnlog_ingest.log_writers import LogWriters
from turnlog_ingest.service import ingest
from turnlog_runtime.log_context import REQUEST
from turnlog_runtime.settings import IngestSettings


@pytest.fixture
async def owner(owner_dsn: str) -> AsyncIterator[Administration]:
    administration = await Administration.open(owner_dsn)
    yield administration
    await administration.close()


@pytest.fixture
async def second(owner: Administration) -> str:
    name = f"second-{uuid.uuid4().hex[:12]}"
    await owner.create_log(name)
    return name


async def test_a_tenant_is_refused_in_every_log_but_its_own(
    store: Store, owner: Administration, log_name: str, second: str, tenant: str
) -> None:
    await owner.assign(tenant, second)
    await owner.assign(tenant, second)
    mixed = [request(turn(tenant, "s"), turn(tenant, "s")), request(turn(f"{tenant}-other", "s"))]
    refused, stored = await store.append(log_name, mixed)
    assert refused == Rejected("wrong_log", log=second)
    assert isinstance(stored, Stored)
    (accepted,) = await store.append(second, [request(turn(tenant, "s"))])
    assert isinstance(accepted, Stored)
    assert [(e.tenant, e.position) for e in await store.read_after(log_name, 0, 9)] == [(f"{tenant}-other", 1)]


async def test_an_assignment_may_change_only_before_the_first_event(
    store: Store, owner: Administration, owner_dsn: str, log_name: str, second: str, tenant: str
) -> None:
    await owner.assign(tenant, log_name)
    await owner.assign(tenant, second)
    await store.append(second, [request(turn(tenant, "s"))])
    await owner.assign(tenant, second)
    with pytest.raises(NotAllowed, match="already has events"):
        await owner.assign(tenant, log_name)
    await store.append(log_name, [request(turn(f"{tenant}-2", "s"))])
    with pytest.raises(NotAllowed, match="already has events"):
        await owner.assign(f"{tenant}-2", second)
    connection = await asyncpg.connect(owner_dsn)
    try:
        for change in (
            "delete from turnlog.tenants where tenant = $1",
            "update turnlog.tenants set tenant = 'x' || $1",
        ):
            with pytest.raises(asyncpg.ObjectInUseError):
                await connection.execute(change, tenant)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("truncate turnlog.tenants")
    finally:
        await connection.close()


async def test_an_assignment_waits_for_appends_under_way_and_then_sees_their_events(
    store: Store, owner: Administration, owner_dsn: str, log_name: str, second: str, tenant: str
) -> None:
    """The lock of a log is held as an append would: the assignment must not look before it is free."""
    connection = await asyncpg.connect(owner_dsn)
    try:
        async with connection.transaction():
            await connection.execute(
                "select pg_advisory_xact_lock(hashtextextended('turnlog.log/' || $1, 0))", log_name
            )
            assigning = asyncio.create_task(owner.assign(tenant, second))
            await asyncio.sleep(0.3)
            assert not assigning.done()
            await connection.execute(
                "insert into turnlog.sessions (tenant, session_id, log, position, created_at_us) "
                "values ($1, 's', $2, 1, 1)",
                tenant,
                log_name,
            )
        with pytest.raises(NotAllowed):
            await assigning
    finally:
        await connection.close()


async def test_an_assignment_gives_up_soon_while_the_append_to_a_log_hangs(
    store: Store, owner: Administration, owner_dsn: str, log_name: str, second: str, tenant: str
) -> None:
    """Meanwhile it holds the append locks of the logs before that one, and so their writes."""
    hanging = await asyncpg.connect(owner_dsn)
    async with hanging.transaction():
        await hanging.execute("select pg_advisory_xact_lock(hashtextextended('turnlog.log/' || $1::text, 0))", second)
        with pytest.raises(StoreUnavailable):
            async with asyncio.timeout(8):
                await owner.assign(tenant, second)
    await hanging.close()
    (stored,) = await store.append(log_name, [request(turn(tenant, "s"))])
    assert isinstance(stored, Stored)


async def test_the_owner_is_told_what_is_wrong(owner: Administration, dsn: str, log_name: str, tenant: str) -> None:
    with pytest.raises(UnknownLog):
        await owner.assign(tenant, "no-such-log")
    with pytest.raises(UnknownLog):
        await owner.accept("no-such-log")
    with pytest.raises(NotAllowed, match="exists already"):
        await owner.create_log(log_name)
    with pytest.raises(NotAllowed, match="no name for a log"):
        await owner.create_log("Not A Name")
    connection = await asyncpg.connect(dsn, server_settings={"role": "turnlog_app"})
    try:
        for call in ("create_log('x')", "assign_tenant('x', 'main')", "accept_log('main')"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"select turnlog.{call}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("insert into turnlog.tenants (tenant, log) values ('x', 'main')")
    finally:
        await connection.close()


async def test_accepting_a_log_changes_its_incarnation_only_and_leaves_the_wall_standing(
    store: Store, owner: Administration, owner_dsn: str, log_name: str, tenant: str
) -> None:
    await store.append(log_name, [request(turn(tenant, "s"))])
    before = await store.head(log_name)
    incarnation = await owner.accept(log_name)
    after = await store.head(log_name)
    assert after.incarnation == incarnation != before.incarnation
    assert (after.position, after.chain_hash) == (before.position, before.chain_hash)
    connection = await asyncpg.connect(owner_dsn)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await connection.execute("update turnlog.logs set incarnation = 'x' where log = $1", log_name)
    finally:
        await connection.close()


async def test_logs_and_tenants_are_listed(store: Store, owner: Administration, second: str, tenant: str) -> None:
    await owner.assign(tenant, second)
    await store.append(second, [request(turn(tenant, "s"))])
    (row,) = [row for row in await owner.logs() if row.log == second]
    assert (row.position, row.tenants, len(row.incarnation)) == (1, 1, 32)
    assert [t.log for t in await owner.tenants() if t.tenant == tenant] == [second]


async def test_a_tenants_log_is_asked_for_once_and_again_when_forgotten(
    store: Store, owner: Administration, log_name: str, second: str, tenant: str
) -> None:
    logs = TenantLogs(store, log_name)
    assert logs.known(tenant) is None
    assert await logs.of(tenant) == log_name
    await owner.assign(tenant, second)
    assert logs.known(tenant) == log_name
    logs.forget(tenant)
    assert logs.known(tenant) is None
    assert await logs.of(tenant) == second
    assert logs.known(tenant) == second


async def test_a_tenants_log_is_asked_anew_of_another_postgres(
    store: Store, owner: Administration, owner_dsn: str, log_name: str, second: str, tenant: str
) -> None:
    """It may be one restored to before the assignment, where no append would be refused."""
    logs = TenantLogs(store, log_name)
    await owner.assign(tenant, second)
    await store.append(second, [request(turn(tenant, "s"))])
    await logs.of(f"{tenant}-other")  # the connection stands
    assert await logs.of(tenant) == second
    connection = await asyncpg.connect(owner_dsn)
    async with connection.transaction():
        await connection.execute("set local session_replication_role = replica")
        for table in ("tenants", "sessions", "events"):
            await connection.execute(f"delete from turnlog.{table} where tenant = $1", tenant)
    await connection.close()
    assert await logs.of(tenant) == second
    for heard in store._connections._listeners:
        heard("another server")
    assert logs.known(tenant) is None
    assert await logs.of(tenant) == log_name


async def test_a_task_of_a_log_that_fails_is_begun_again(
    store: Store, log_name: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Queue[bool]()

    async def run(_: FenceWatch, __: asyncio.Event) -> None:
        begun.put_nowait(True)
        raise RuntimeError("a defect")

    monkeypatch.setattr(FenceWatch, "run", run)
    monkeypatch.setattr(importlib.import_module("turnlog_eventstore.each_log"), "AGAIN_S", 0.01)
    bus = Bus(nats_url)
    writers = LogWriters(store, bus, IngestSettings(log=log_name), asyncio.Event())
    writers.open(log_name)
    async with asyncio.timeout(5):
        for _ in range(3):
            await begun.get()
    await writers.close()
    await bus.close()


async def test_the_writer_that_a_request_begins_says_nothing_of_that_request(
    store: Store, dsn: str, log_name: str, tenant: str, nats_url: str
) -> None:
    seen: list[object] = []

    class Watching:
        def reading(self, name: str) -> AbstractContextManager[None]:
            return nullcontext()

        def appending(self, log: str, requests: Any) -> AbstractContextManager[Any]:
            seen.append((REQUEST.get(), structlog.contextvars.get_contextvars()))
            return nullcontext(lambda _: None)

    watched = await Store.open(dsn, observer=Watching())
    bus = Bus(nats_url)
    writers = LogWriters(watched, bus, IngestSettings(log=log_name), asyncio.Event())
    around = REQUEST.set({"path": "/v1/sessions/first/turns"})
    try:
        with structlog.contextvars.bound_contextvars(session_id="first"):
            assert isinstance(await writers.open(log_name).submit(request(turn(tenant, "second"))), Stored)
    finally:
        REQUEST.reset(around)
        await writers.close()
        await bus.close()
        await watched.close()
    assert seen
    assert all(found == (None, {}) for found in seen)


async def test_a_tenants_log_is_answered_from_memory_while_postgres_is_away(
    store: Store, dsn: str, log_name: str, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from turnlog_eventstore import tenant_logs

    monkeypatch.setattr(tenant_logs, "UNSETTLED_S", -1.0)
    logs = TenantLogs(store, log_name)
    assert await logs.of(tenant) == log_name
    logs._store = await Store.open("postgresql://nobody@127.0.0.1:1/none", StoreSettings(deadline_s=1))
    assert await logs.of(tenant) == log_name
    with pytest.raises(StoreUnavailable):
        await logs.of(f"{tenant}-unknown")
    await logs._store.close()


async def test_each_log_gets_a_run_of_its_own_also_one_that_is_created_later_or_failed_once(
    store: Store, owner: Administration, log_name: str, second: str
) -> None:
    third = f"third-{uuid.uuid4().hex[:12]}"
    begun: dict[str, int] = {}
    stop = asyncio.Event()

    async def run(log: str) -> None:
        begun[log] = begun.get(log, 0) + 1
        if log == second and begun[log] == 1:
            raise RuntimeError("once")
        await stop.wait()

    only = frozenset({log_name, second, third})
    task = asyncio.create_task(each_log(store, only, run, stop, look_s=0.1))
    async with asyncio.timeout(10):
        while begun.get(second, 0) < 2:
            await asyncio.sleep(0.02)
        await owner.create_log(third)
        while third not in begun:
            await asyncio.sleep(0.02)
    stop.set()
    async with asyncio.timeout(1):
        await task
    assert begun == {log_name: 1, second: 2, third: 1}


async def test_over_http_each_tenant_is_stored_in_its_log_also_when_it_was_assigned_meanwhile(
    store: Store,
    owner: Administration,
    nats_url: str,
    log_name: str,
    second: str,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[LogWriters] = []

    def remembered(*arguments: Any) -> LogWriters:
        made.append(LogWriters(*arguments))
        return made[-1]

    monkeypatch.setattr("turnlog_ingest.service.LogWriters", remembered)
    bus = Bus(nats_url)
    settings = IngestSettings(log=log_name, logs=f"{log_name},{second}", tenant_header="x-tenant")
    body = {"role": "user", "content": "hello"}
    await owner.assign(f"{tenant}-2", second)
    async with ingest(store, bus, settings) as app:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:

            async def post(name: str) -> httpx.Response:
                return await http.post("/v1/sessions/s/turns", json=body, headers={"x-tenant": name})

            refused = await http.post("/v1/sessions/s/turns", json={"role": "nobody"}, headers={"x-tenant": tenant})
            assert refused.status_code == 422
            assert (await post(f"{tenant}-2")).json()["log"] == second
            assert (await post(f"{tenant}-1")).json()["log"] == log_name
            absent = await http.post("/v1/sessions/s/compress", headers={"x-tenant": tenant})
            assert absent.status_code == 404
            late = f"{tenant}-late"
            (writers,) = made
            assert (await writers.find(late)).log == log_name
            await owner.assign(late, second)
            assert writers.known(late) is writers.open(log_name)
            assert (await post(late)).json()["log"] == second
            later = f"{tenant}-later"
            await writers.find(later)
            await owner.assign(later, second)
            lines = "\n".join(json.dumps({"session_id": "s", **body}) for _ in range(5))
            loaded = await http.post("/v1/turns", content=lines.encode(), headers={"x-tenant": later})
            assert {json.loads(line)["log"] for line in loaded.text.splitlines()} == {second}
            async with asyncio.timeout(10):
                for log in (log_name, second):
                    while not writers.open(log).relay.leading:
                        await asyncio.sleep(0.02)
    await bus.close()
