"""From the first release to this one: a database that the first release left is brought up, and none of it changes."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from backing import contents, shape
from conftest import RealServers
from databases import Database, migrate_to, own_database
from first_release import LOGS, first_answers, restore_first_release
from making import request, turn
from projecting import complete, projector_of, reading, running, writing
from querying import TENANT, client_of, hubs, postgres_api
from system import environment, turnlog
from turnlog_cli.backups.restoring import restore
from turnlog_cli.backups.side_file import side_file
from turnlog_cli.backups.taking import take
from turnlog_cli.rebuilding import view_writer
from turnlog_events.hashing import GENESIS, check_event
from turnlog_eventstore import Administration, NotAllowed, Rejected, Store, Stored
from turnlog_eventstore.administration import NewKey
from turnlog_eventstore.statements import statement
from turnlog_migrations import SchemaTooNew, latest, migrate
from turnlog_projector.rebuild import rebuild
from turnlog_projector.verify import verify
from turnlog_query import QueryDeps, create_app

REVISIONS = ("0001", "0002", "0003")


@pytest.fixture
async def first(servers: RealServers) -> AsyncIterator[Database]:
    """A database as the first release left it."""
    async with own_database(servers) as made:
        await restore_first_release(made.owner_dsn)
        yield made


@pytest.fixture
async def upgraded(first: Database) -> Database:
    await migrate(first.owner_dsn)
    return first


async def test_the_first_migration_still_makes_the_schema_of_the_first_release(
    servers: RealServers, first: Database
) -> None:
    """It can never be edited: databases that it made are out there."""
    async with own_database(servers) as made:
        await migrate_to(made.owner_dsn, "0001")
        assert await shape(made.owner_dsn) == await shape(first.owner_dsn)


async def test_an_upgrade_leaves_the_schema_of_a_new_database(servers: RealServers, upgraded: Database) -> None:
    async with own_database(servers) as made:
        await migrate(made.owner_dsn)
        assert await shape(made.owner_dsn) == await shape(upgraded.owner_dsn)


async def test_every_event_and_hash_is_as_it_was(first: Database) -> None:
    before = await contents(first.owner_dsn)
    for revision in (*REVISIONS[1:], "head"):
        await migrate_to(first.owner_dsn, revision)
        after = await contents(first.owner_dsn)
        assert {name: after[name] for name in before} == before
    done = await migrate(first.owner_dsn)
    assert (done.before, done.after) == (latest(), latest())
    store = await Store.open(first.dsn)
    for log, size in LOGS.items():
        chain, position = GENESIS, 0
        async for events in store.scan(log, 0, 50):
            for event in events:
                check_event(chain, event)
                chain, position = event.chain_hash, event.position
        assert position == size == (await store.head(log)).position
    await store.close()


async def test_no_migration_writes_the_events_anew(first: Database) -> None:
    """Rewriting a table of a thousand million rows would stop all writes for hours."""
    owner = await asyncpg.connect(first.owner_dsn)
    query = (
        "select relname, pg_relation_filenode(oid) from pg_class where relnamespace = 'turnlog'::regnamespace "
        "and relkind in ('r', 'i')"
    )
    before = dict(await owner.fetch(query))
    await migrate(first.owner_dsn)
    after = dict(await owner.fetch(query))
    await owner.close()
    assert {name: after[name] for name in before} == before


async def test_reads_give_the_very_bytes_that_the_first_release_gave(upgraded: Database, servers: RealServers) -> None:
    store = await Store.open(upgraded.dsn)
    async with postgres_api(store, "main") as api:
        await same_answers(api.client)
    async with running(projector_of(store, servers.redis_url, "main")):
        async with writing(store, servers.redis_url, "main") as seen, reading(store, servers.redis_url) as views:
            await complete(seen, LOGS["main"])
            async with client_of(create_app(QueryDeps(store, views, hubs(store), "main"))) as client:
                await same_answers(client, from_redis=True)
        rebuilt = await rebuild(store, view_writer(servers.redis_url, "main"), compare=True)
        assert rebuilt.comparison is not None
        assert rebuilt.comparison.identical
        report = await verify(store, view_writer(servers.redis_url, "main"))
    assert (report.ok, report.position) == (True, LOGS["main"]), report.differences
    await store.close()


async def same_answers(client: Any, *, from_redis: bool = False) -> None:
    """Hold every answer to the one that the first release gave out of Redis, byte by byte."""
    asked = 0
    for path, said in first_answers().items():
        if path.startswith("/v1/logs/main"):
            continue  # for auditors: the events themselves, which are held to their rows elsewhere
        answer = await client.get(path)
        assert (answer.status_code, answer.headers.get("etag")) == (said["status"], said["etag"]), path
        if from_redis:
            assert answer.text == said["body"], path
        else:
            assert without_source(answer.text) == without_source(said["body"]), path
        asked += 1
    assert asked > 20


def without_source(body: str) -> str:
    """An answer without what says where it comes from."""
    return re.sub(r'"read_model":\{[^}]*\}', "", re.sub(r'"source":"\w+"', "", body))


async def test_what_is_new_works_on_the_old_events(upgraded: Database) -> None:
    owner = await Administration.open(upgraded.owner_dsn)
    await owner.create_key(NewKey("abcdefghijkl", "acme", bytes(32), ("memory:read",), "first key"))
    await owner.assign("newcomer", "north")
    with pytest.raises(NotAllowed, match="already has events"):
        await owner.assign("acme", "north")
    incarnation = await owner.accept("north")
    assert [(row.log, row.position, row.tenants) for row in await owner.logs()] == [
        (log, size, int(log == "north")) for log, size in LOGS.items()
    ]
    await owner.close()
    store = await Store.open(upgraded.dsn)
    head = await store.head("north")
    assert (head.incarnation, head.position) == (incarnation, LOGS["north"])
    wrong, stored, again = [
        (await store.append(log, [request(event)]))[0]
        for log, event in (
            ("main", turn("newcomer", "s", "hello")),
            ("north", turn("newcomer", "s", "hello")),
            ("main", turn("acme", "acme-1", "another body", "t1")),
        )
    ]
    assert isinstance(wrong, Rejected)
    assert (wrong.code, wrong.log) == ("wrong_log", "north")
    assert isinstance(stored, Stored)
    assert stored.events[0].position == LOGS["north"] + 1
    assert isinstance(again, Rejected)
    assert again.code == "conflict"
    assert {event.tenant for event in await store.tenant_events("acme", "main", 0, 500)} == {"acme"}
    assert await store.turns("hanse", "acme-1", limit=10) == []
    await store.close()


async def test_rows_of_the_first_release_stand_behind_the_second_wall(upgraded: Database) -> None:
    connection = await asyncpg.connect(upgraded.dsn)
    async with connection.transaction():
        await connection.execute("set local role turnlog_tenant")
        for tenant, expected in (("", set()), ("acme", {"acme"}), ("hanse", {"hanse"})):
            await connection.execute("select set_config('turnlog.tenant', $1, true)", tenant)
            found = await connection.fetch("select distinct tenant from turnlog.events")
            assert {row[0] for row in found} == expected
    await connection.close()


@pytest.mark.parametrize("to", ["0002", "head"])
async def test_the_first_release_goes_on_writing_while_it_is_upgraded(first: Database, to: str) -> None:
    """Its append, as it called it, and its way of reading: as turnlog_app, of whichever tenant."""
    migrated = asyncio.Event()
    written: list[list[int]] = []

    async def write(number: int) -> None:
        store = await Store.open(first.dsn)
        reader = await asyncpg.connect(first.dsn, server_settings={"role": "turnlog_app"})
        session, versions = f"rolling-{number}", []
        while not migrated.is_set() or len(versions) < 5:
            (stored,) = await store.append("main", [request(turn(TENANT, session, "hello", agent_id="pan"))])
            assert isinstance(stored, Stored)
            versions.append(stored.events[0].version or 0)
            rows = await reader.fetch(statement("turns_newest"), TENANT, session, 0, 2**62, 5, None)
            assert rows[0]["version"] == versions[-1]
        written.append(versions)
        await reader.close()
        await store.close()

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(write(number))
        await asyncio.sleep(0.2)  # so that there are calls before, during and after
        await migrate_to(first.owner_dsn, to)
        await asyncio.sleep(0.2)
        migrated.set()
    assert all(versions == list(range(1, len(versions) + 1)) for versions in written)


async def test_a_backup_of_the_first_release_is_restored_and_brought_up(
    servers: RealServers, first: Database, tmp_path: Path
) -> None:
    with side_file(tmp_path / "b", force=False) as file:
        taken = await take(first.owner_dsn, file)
    assert (taken.header.schema, {log.log: log.position for log in taken.header.logs}) == ("0001", LOGS)
    before = await contents(first.owner_dsn)
    async with own_database(servers) as made:
        restored = await restore(made.owner_dsn, tmp_path / "b", keep_incarnation=True)
        after = await contents(made.owner_dsn)
        assert (restored.schema, restored.logs) == (latest(), taken.header.logs)
        assert {name: after[name] for name in before} == before
        store = await Store.open(made.dsn)
        async with postgres_api(store, "main") as api:
            await same_answers(api.client)
        await store.close()


async def test_a_database_of_a_newer_release_is_refused_in_words_and_left_alone(
    upgraded: Database, tmp_path: Path
) -> None:
    owner = await asyncpg.connect(upgraded.owner_dsn)
    await owner.execute("update turnlog_schema_version set version_num = '9999'")
    before = await shape(upgraded.owner_dsn)
    with pytest.raises(
        SchemaTooNew, match=f"at schema 9999, this release knows up to {latest()}: run the newer release"
    ):
        await migrate(upgraded.owner_dsn)
    surroundings = environment(TURNLOG_DATABASE_URL=upgraded.dsn, TURNLOG_DATABASE_OWNER_URL=upgraded.owner_dsn)
    for words in (("migrate",), ("up", "--port", "0", "--data-dir", str(tmp_path))):
        done = await asyncio.to_thread(turnlog, *words, env=surroundings)
        assert done.returncode == 2, done.stdout
        assert "run the newer release" in done.stderr
        assert "Traceback" not in done.stderr
    assert await shape(upgraded.owner_dsn) == before
    assert await owner.fetchval("select version_num from turnlog_schema_version") == "9999"
    await owner.close()


def test_the_answers_of_the_first_release_are_ours() -> None:
    found = first_answers()
    assert json.loads(found["/v1/logs/main"]["body"])["position"] == LOGS["main"]
