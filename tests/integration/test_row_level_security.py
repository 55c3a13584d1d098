"""The second wall, as SQL: what each role that serves requests can see and do, whatever a statement asks for."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from conftest import RealServers
from making import mark, request, turn
from turnlog_eventstore import Administration, ApiKeys, SchemaMissing, StatementFailed, Store, StoreSettings
from turnlog_eventstore.administration import NewKey
from turnlog_eventstore.append import parameters
from turnlog_eventstore.as_tenant import of_tenant, of_tenant_in_log, seeing
from turnlog_eventstore.connections import Connections
from turnlog_eventstore.known_members import KnownMembers
from turnlog_eventstore.statements import statement
from turnlog_migrations import migrate

OF_TENANTS = ("events", "sessions", "session_agents", "session_users", "task_runs", "tenants")
SERVING = ("turnlog_app", "turnlog_tenant", "turnlog_auditor")


@dataclass(frozen=True)
class Two:
    """Two tenants with rows in every table."""

    log: str
    one: str
    other: str


@pytest.fixture
async def two(store: Store, owner_dsn: str, log_name: str, tenant: str) -> Two:
    other = f"{tenant}-b"
    owner = await asyncpg.connect(owner_dsn)
    for who in (tenant, other):
        await owner.execute("select turnlog.assign_tenant($1, $2)", who, log_name)
        said = turn(who, "s", f"of {who}", agent_id="a", user_id="u")
        asked = mark(who, "s", "CompressionRequested", "compress/t", {"task_id": "t"}, correlation_id="t")
        await store.append(log_name, [request(said), request(asked)])
        await store.start_task(who, "t")
    await owner.close()
    return Two(log_name, tenant, other)


@pytest.fixture
async def session(dsn: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """A session as the services have it."""
    connection = await asyncpg.connect(dsn, server_settings={"role": "turnlog_app"})
    yield connection
    await connection.close()


async def seen(session: Any, table: str) -> set[str]:
    rows = await session.fetch(f"select distinct tenant from turnlog.{table}")
    return {row[0] for row in rows}


@pytest.mark.parametrize("table", OF_TENANTS)
async def test_a_tenant_sees_its_own_rows_alone_and_none_while_none_is_set(two: Two, session: Any, table: str) -> None:
    async with session.transaction():
        await session.execute("set local role turnlog_tenant")
        assert await seen(session, table) == set()
        for who in (two.one, two.other):
            await session.execute("select set_config('turnlog.tenant', $1, true)", who)
            assert await seen(session, table) == {who}
        await session.execute("select set_config('turnlog.tenant', '', true)")
        assert await seen(session, table) == set()
    async with session.transaction():  # a session that had one set has '' now, not null
        await session.execute("set local role turnlog_tenant")
        assert await seen(session, table) == set()
    assert {two.one, two.other} <= await seen(session, table)  # turnlog_app, for followers


async def test_an_auditor_sees_one_tenants_events_of_one_log_and_nothing_else(two: Two, session: Any) -> None:
    async with session.transaction():
        await session.execute("set local role turnlog_auditor")
        assert await seen(session, "events") == set()
        await session.execute(f"set local turnlog.tenant_in_log = '{two.one}/{two.log}'")
        assert await seen(session, "events") == {two.one}
        await session.execute(f"set local turnlog.tenant_in_log = '{two.one}/main'")
        assert await seen(session, "events") == set()
        await session.execute(f"set local turnlog.tenant = '{two.one}'")
        assert await seen(session, "events") == set()


@pytest.mark.parametrize("role", ["turnlog_tenant", "turnlog_auditor"])
@pytest.mark.parametrize(
    "statement",
    [
        "select * from turnlog.api_keys",
        "select * from turnlog.logs",
        "select * from turnlog.checkpoints",
        "select * from turnlog.events_readable",
        "insert into turnlog.sessions values ('a', 'b', 'main', 1, 1)",
        "insert into turnlog.task_runs values ('a', 'b')",
        "update turnlog.events set tenant = 'a'",
        "delete from turnlog.sessions",
        "truncate turnlog.events",
        "select turnlog.create_log('x')",
        "select * from turnlog.append('main', '{a}', '{s}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',"
        " '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
    ],
)
async def test_roles_of_tenants_reads_can_do_nothing_else(session: Any, role: str, statement: str) -> None:
    await session.execute(f"begin; set local role {role}")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await session.execute(statement)
    await session.execute("rollback")


@pytest.mark.parametrize(
    "statement",
    [
        "update turnlog.api_keys set tenant = 'a'",
        "update turnlog.api_keys set revoked_at = null",
        "insert into turnlog.api_keys (id, tenant, hash, scopes, name) values ('a', 'a', ''::bytea, '{x}', '')",
        "delete from turnlog.api_keys",
        "alter table turnlog.events disable row level security",
        "drop policy of_tenant on turnlog.events",
        "set role turnlog",
    ],
)
async def test_the_services_role_makes_no_key_and_opens_no_wall(session: Any, statement: str) -> None:
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError)):
        await session.execute(statement)


async def test_no_role_that_serves_requests_is_a_superuser_goes_around_policies_or_owns_a_table(owner_dsn: str) -> None:
    owner = await asyncpg.connect(owner_dsn)
    roles = await owner.fetch("select rolname, rolsuper, rolbypassrls from pg_roles where rolname = any ($1)", SERVING)
    assert {row[0]: (row[1], row[2]) for row in roles} == dict.fromkeys(SERVING, (False, False))
    owned = "select count(*) from pg_class c join pg_roles r on r.oid = c.relowner where r.rolname = any ($1)"
    assert await owner.fetchval(owned, SERVING) == 0
    can = "select pg_has_role($1, c.relowner, 'member') from pg_class c where c.oid = 'turnlog.events'::regclass"
    assert [await owner.fetchval(can, role) for role in SERVING] == [False] * 3
    await owner.close()


async def test_every_table_with_a_tenant_in_it_is_behind_the_wall_also_for_its_owner(owner_dsn: str) -> None:
    """A table of a later migration that forgets this fails here."""
    owner = await asyncpg.connect(owner_dsn)
    rows = await owner.fetch(
        "select c.relname, c.relrowsecurity and c.relforcerowsecurity from pg_class c"
        " join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant'"
        " where c.relnamespace = 'turnlog'::regnamespace and c.relkind in ('r', 'p')"
    )
    await owner.close()
    assert {row[0]: row[1] for row in rows} == dict.fromkeys([*OF_TENANTS, "api_keys"], True)


async def test_the_stores_reads_see_the_tenant_asked_for(two: Two, store: Store) -> None:
    for who in (two.one, two.other):
        assert [event.tenant for event in await store.turns(who, "s", limit=9)] == [who]
        assert [event.tenant for event in await store.marks(who, "s")] == [who]
        assert [event.tenant for event in await store.task_events(who, "t")] == [who]
        events = await store.audit(two.log, tenant=who, after=0, limit=9)
        assert [event.tenant for event in events] == [who, who]
        assert (await store.session_version(who, "s"), await store.agent_seen(who, "a")) == (1, True)
        assert (await store.members(who, "s")).users == ("u",)
        assert await store.task_started(who, "t")
        assert await store.tenant_log(who) == (two.log, True)
        assert [row.session_id for row in await store.sessions(who, limit=9)] == ["s"]
        assert await store.session(who, "s") is not None
    assert await store.audit("main", tenant=two.one, after=0, limit=9) == []
    everybodys = await store.audit(two.log, tenant=None, after=0, limit=9)
    assert {event.tenant for event in everybodys} == {two.one, two.other}


@pytest.mark.parametrize("odd", ["it's", "a\\'; reset role; --", "E'", "{}", "ü", "x" * 300])
async def test_whatever_stands_in_a_tenants_name_is_only_a_name(store: Store, log_name: str, odd: str) -> None:
    assert await store.turns(odd, "s", limit=1) == []
    await store.append(log_name, [request(turn(odd, "s"))])
    assert [event.tenant for event in await store.turns(odd, "s", limit=1)] == [odd]
    assert [event.tenant for event in await store.audit(log_name, tenant=odd, after=0, limit=1)] == [odd]


STATE = (
    "select current_user::text, coalesce(current_setting('turnlog.tenant', true), ''),"
    " coalesce(current_setting('turnlog.tenant_in_log', true), '')"
)


@pytest.fixture
async def one_connection(dsn: str) -> AsyncIterator[Connections]:
    opened = await Connections.open(dsn, StoreSettings(pool_connections=1, deadline_s=5))
    yield opened
    await opened.close()


async def state(connections: Connections) -> tuple[Any, ...]:
    async def asked(c: Any) -> tuple[Any, ...]:
        return (c.is_in_transaction(), *await c.fetchrow(STATE))

    return await connections.read(asked)


CLEAN = (False, "turnlog_app", "", "")


async def test_no_transaction_outlives_its_read_however_it_ends(one_connection: Connections) -> None:
    async def fine(c: Any) -> Any:
        return await c.fetchrow(STATE)

    async def refused(c: Any) -> Any:
        return await c.fetch("select * from turnlog.api_keys")

    async def failing(c: Any) -> Any:
        return await c.fetch("select 1 / 0")

    async def wrong(c: Any) -> Any:
        return await c.fetch("select $1::bigint", "text")

    for sight in (of_tenant("acme"), of_tenant_in_log("acme", "main")):
        inside = await one_connection.read(lambda c, s=sight: seeing(s, c, fine))  # type: ignore[misc]
        assert (inside[0], {inside[1], inside[2]}) == (sight.role, {"", sight.value})
        assert await state(one_connection) == CLEAN
        for broken, error in ((refused, SchemaMissing), (failing, StatementFailed), (wrong, Exception)):
            with pytest.raises(error):
                await one_connection.read(lambda c, s=sight, q=broken: seeing(s, c, q))  # type: ignore[misc]
            assert await state(one_connection) == CLEAN


async def test_a_cancelled_request_leaves_no_tenant_on_a_pooled_connection(one_connection: Connections) -> None:
    """Cancelled at each of its steps in turn: whoever comes next finds a clean connection."""

    async def query(c: Any) -> Any:
        return await c.fetch("select pg_sleep(0.002), current_user")

    finished = False
    for step in range(60):
        reading = asyncio.ensure_future(one_connection.read(lambda c: seeing(of_tenant("acme"), c, query)))
        for _ in range(step):
            await asyncio.sleep(0)
        if step > 20:
            await asyncio.sleep(step / 20_000)
        finished = reading.done()
        reading.cancel()
        await asyncio.wait({reading})
        assert await state(one_connection) == CLEAN, step
    assert not finished or step > 20


async def test_a_read_over_its_deadline_leaves_none_either(one_connection: Connections) -> None:
    with pytest.raises(Exception, match="deadline"):
        await one_connection.read(lambda c: seeing(of_tenant("a"), c, lambda c: c.fetch("select pg_sleep(5)")), 0.2)
    assert await state(one_connection) == CLEAN


@dataclass(frozen=True)
class Owned:
    """A database whose owner is no superuser."""

    owner_dsn: str
    dsn: str


@pytest.fixture
async def owned(servers: RealServers) -> AsyncIterator[Owned]:
    name = f"owned_{uuid.uuid4().hex[:10]}"
    superuser = await asyncpg.connect(servers.owner_dsn)
    await superuser.execute(f"create role {name} login createrole")
    await superuser.execute(f"create database {name} owner {name}")
    for role in SERVING:
        await superuser.execute(f"grant {role} to {name} with admin option")
    parts = urlsplit(servers.owner_dsn)
    netloc = f"{name}@{parts.netloc.rpartition('@')[2]}"
    yield Owned(
        parts._replace(netloc=netloc, path=f"/{name}").geturl(),
        urlsplit(servers.dsn)._replace(path=f"/{name}").geturl(),
    )
    await superuser.execute(f"drop database {name} with (force)")
    await superuser.execute(f"drop role {name}")
    await superuser.close()


async def test_an_owner_that_is_no_superuser_migrates_administers_and_is_behind_the_wall_too(owned: Owned) -> None:
    await migrate(owned.owner_dsn)
    owner = await Administration.open(owned.owner_dsn)
    await owner.create_log("second")
    await owner.assign("b", "second")
    await owner.create_key(NewKey("aaaaaaaaaaaa", "b", bytes(32), ("memory:read",), "k"))
    store, keys = await Store.open(owned.dsn), await ApiKeys.open(owned.dsn)
    for tenant, log in (("a", "main"), ("b", "second")):
        await store.append(log, [request(turn(tenant, "s"))])
        assert [event.tenant for event in await store.turns(tenant, "s", limit=9)] == [tenant]
    assert set(await keys.live(["aaaaaaaaaaaa", "bbbbbbbbbbbb"], 5)) == {"aaaaaaaaaaaa"}
    assert [(row.tenant, row.keys) for row in await owner.tenants()] == [("b", 1)]
    assert [row.position for row in await owner.logs()] == [1, 1]
    assert await owner.revoke_key("aaaaaaaaaaaa") == "b"
    assert await keys.live(["aaaaaaaaaaaa"], 5) == {}
    for closing in (owner, store, keys):
        await closing.close()
    itself = await asyncpg.connect(owned.owner_dsn)
    assert {row[0] for row in await itself.fetch("select tenant from turnlog.events")} == {"a", "b"}
    await itself.execute("drop policy all_tenants on turnlog.events")
    assert await itself.fetch("select tenant from turnlog.events") == []
    await itself.close()


async def test_who_may_call_the_append_needs_no_right_on_any_table(owner_dsn: str, log_name: str, tenant: str) -> None:
    owner = await asyncpg.connect(owner_dsn)
    await owner.execute("begin; create role turnlog_probe; grant usage on schema turnlog to turnlog_probe")
    await owner.execute("grant execute on function turnlog.append to turnlog_probe; set local role turnlog_probe")
    rows = await owner.fetch(statement("append"), *parameters(log_name, [request(turn(tenant, "s"))], KnownMembers()))
    assert [row["status"] for row in rows] == ["stored"]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await owner.fetch("select tenant from turnlog.events")
    await owner.execute("rollback")
    await owner.close()


async def test_a_release_before_works_on_this_schema_as_a_role_that_sees_all_tenants(two: Two, session: Any) -> None:
    """Its sessions run as turnlog_app, set no tenant, and select and append: the very statements it has."""
    rows = await session.fetch(statement("turns_newest"), two.one, "s", 0, 2**62, 9, None)
    assert [row["tenant"] for row in rows] == [two.one]
    rows = await session.fetch(statement("audit_tenant"), two.other, two.log, 0, 9)
    assert {row["tenant"] for row in rows} == {two.other}
    assert len(await session.fetch(statement("read_after"), two.log, 0, 9)) == 4
    await session.execute(statement("start_task"), two.one, "another")
