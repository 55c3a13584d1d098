"""`turnlog backup` and `turnlog restore` on a real PostgreSQL: whole under load, all or nothing, never over history."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from admitting import new_key
from backing import Filler, contents, shape
from conftest import RealServers
from databases import Database, migrate_to, own_database
from making import request, turn
from projecting import eventually
from system import environment, turnlog
from turnlog_cli.backups.database import owner_database
from turnlog_cli.backups.errors import BackupError, Damaged, NotEmpty, TooNew
from turnlog_cli.backups.proving import prove
from turnlog_cli.backups.restoring import restore
from turnlog_cli.backups.side_file import side_file
from turnlog_cli.backups.taking import Taken, take
from turnlog_cli.keys_at_start import LOCAL_NAME
from turnlog_eventstore import Administration, Rejected, Store, Stored
from turnlog_migrations import SchemaTooNew, latest, migrate
from turnlog_runtime.principal import READ, WRITE
from turnlog_runtime.settings import SharedSettings

pytestmark = pytest.mark.timeout(300)  # processes are started, and databases made
TURNS = 400


@pytest.fixture
async def empty(servers: RealServers) -> AsyncIterator[Database]:
    """A database that was never migrated."""
    async with own_database(servers) as made:
        yield made


@pytest.fixture
async def filled(servers: RealServers) -> AsyncIterator[Database]:
    """Two logs, tenants, keys, turns, retractions, summaries, a checkpoint and a task."""
    async with own_database(servers) as made:
        await migrate(made.owner_dsn)
        await fill(made)
        yield made


async def fill(database: Database) -> None:
    owner = await Administration.open(database.owner_dsn)
    await owner.create_log("eu")
    await owner.assign("hanse", "eu")
    await owner.close()
    for tenant in ("acme", "hanse"):
        await new_key(database.owner_dsn, tenant, (WRITE, READ))
    store = await Store.open(database.dsn)
    await Filler(store, "main").add(TURNS)
    await Filler(store, "eu", ("hanse",)).add(TURNS // 2)
    await store.save_checkpoint("main", "compressor", 7)
    await store.start_task("acme", "task-1")
    await store.close()


async def backed_up(database: Database, path: Path) -> Taken:
    with side_file(path, force=True) as file:
        return await take(database.owner_dsn, file)


async def without_incarnations(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    found = await contents(database.owner_dsn)
    return found | {"logs": [(log, made) for log, _, made in found["logs"]]}


async def test_what_is_restored_is_what_was_there_row_by_row(filled: Database, empty: Database, tmp_path: Path) -> None:
    taken = await backed_up(filled, tmp_path / "b")
    assert {table.name: taken.manifest.rows(table.name) for table in taken.header.tables} == {
        name: len(rows) for name, rows in (await contents(filled.owner_dsn)).items()
    }
    proof = prove(tmp_path / "b")
    assert (proof.ok, proof.header, proof.manifest) == (True, taken.header, taken.manifest)
    restored = await restore(empty.owner_dsn, tmp_path / "b", keep_incarnation=True)
    assert restored.logs == taken.header.logs
    assert await contents(empty.owner_dsn) == await contents(filled.owner_dsn)
    assert await shape(empty.owner_dsn) == await shape(filled.owner_dsn)


async def test_a_restored_log_goes_on_where_it_ended_and_its_walls_stand(
    filled: Database, empty: Database, tmp_path: Path
) -> None:
    await backed_up(filled, tmp_path / "b")
    await restore(empty.owner_dsn, tmp_path / "b", keep_incarnation=False)
    store = await Store.open(empty.dsn)
    before = await store.head("main")
    first = (await store.read_after("main", 0, 1))[0]
    again = turn(first.tenant, first.session_id, key=first.key)
    (new, conflict) = await store.append("main", [request(turn("acme", "main-0", "after", "later")), request(again)])
    assert isinstance(new, Stored)
    assert new.events[0].position == before.position + 1
    assert isinstance(conflict, Rejected)
    assert (conflict.code, conflict.key) == ("conflict", first.key)
    await store.close()
    owner = await asyncpg.connect(empty.owner_dsn)
    for statement in ("delete from turnlog.events", "update turnlog.logs set incarnation = 'x'"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await owner.execute(statement)
    await owner.close()


async def test_each_log_gets_a_new_incarnation_unless_it_is_to_be_kept(
    filled: Database, empty: Database, tmp_path: Path
) -> None:
    taken = await backed_up(filled, tmp_path / "b")
    restored = await restore(empty.owner_dsn, tmp_path / "b", keep_incarnation=False)
    before, after = ({log.log: log.incarnation for log in logs} for logs in (taken.header.logs, restored.logs))
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
    assert all(re.fullmatch("[0-9a-f]{32}", incarnation) for incarnation in after.values())
    assert await without_incarnations(empty) == await without_incarnations(filled)


async def test_the_key_of_a_turnlog_up_that_is_gone_ends_with_the_restore(
    filled: Database, empty: Database, tmp_path: Path
) -> None:
    owner = await asyncpg.connect(filled.owner_dsn)
    await owner.execute("update turnlog.api_keys set name = $1 where tenant = 'hanse'", LOCAL_NAME)
    await owner.close()
    await backed_up(filled, tmp_path / "b")
    assert (await restore(empty.owner_dsn, tmp_path / "b", keep_incarnation=False)).live_keys == 1
    revoked = {row[1]: row[7] is not None for row in (await contents(empty.owner_dsn))["api_keys"]}
    assert revoked == {"acme": False, "hanse": True}


async def test_a_backup_under_load_holds_every_turn_acknowledged_before_and_no_part_of_a_request(
    filled: Database, empty: Database, tmp_path: Path
) -> None:
    store = await Store.open(filled.dsn)
    acknowledged: list[tuple[float, int]] = []
    begun, done = set[int](), asyncio.Event()

    async def write(number: int) -> None:
        count = 0
        while not done.is_set() or count < 5:
            count += 1
            events = [turn("acme", f"load-{number}", "x" * 500, f"{count}-{part}") for part in range(3)]
            (stored,) = await store.append("main", [request(*events)])
            acknowledged.append((time.monotonic(), stored.events[-1].position))
            begun.add(number)

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(write(number))
        while len(acknowledged) < 20 or len(begun) < 4:
            await asyncio.sleep(0.01)
        began = time.monotonic()
        taken = await backed_up(filled, tmp_path / "b")
        ended = time.monotonic()
        done.set()
    await store.close()
    head = next(log.position for log in taken.header.logs if log.log == "main")
    assert head >= max(position for at, position in acknowledged if at < began)
    assert sum(began < at < ended for at, _ in acknowledged) >= 1, "no write went on during the backup"
    assert prove(tmp_path / "b").ok
    await restore(empty.owner_dsn, tmp_path / "b", keep_incarnation=False)
    found = await contents(empty.owner_dsn)
    versions = [row for row in found["sessions"] if str(row[1]).startswith("load-")]
    owner = await asyncpg.connect(empty.owner_dsn)
    parts = await owner.fetch(
        "select count(*), max(version) from turnlog.events where session_id like 'load-%' group by session_id"
    )
    await owner.close()
    assert len(versions) == len(parts) == 4
    assert all(count == newest and count % 3 == 0 for count, newest in parts)


async def test_a_backup_of_a_log_whose_events_are_missing_is_refused(filled: Database, tmp_path: Path) -> None:
    owner = await asyncpg.connect(filled.owner_dsn)
    await owner.execute("set session_replication_role = replica")
    await owner.execute("delete from turnlog.events where log = 'main' and position = 9")
    await owner.close()
    with pytest.raises(BackupError, match="PostgreSQL lost some"):
        await backed_up(filled, tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


async def test_history_changed_in_postgresql_is_found_in_the_backup_and_restored_only_when_told_to(
    filled: Database, empty: Database, tmp_path: Path
) -> None:
    owner = await asyncpg.connect(filled.owner_dsn)
    await owner.execute("set session_replication_role = replica")
    await owner.execute("update turnlog.events set payload = 'never said' where log = 'eu' and position = 9")
    await owner.close()
    await backed_up(filled, tmp_path / "b")
    checked = turnlog("backup", "--check", str(tmp_path / "b"))
    assert checked.returncode == 1
    assert "eu:9: the payload is not what its SHA-256 says" in checked.stdout
    words = ("restore", str(tmp_path / "b"), "--json")
    surroundings = environment(TURNLOG_DATABASE_OWNER_URL=empty.owner_dsn, TURNLOG_DATABASE_URL=empty.dsn)
    refused = turnlog(*words, env=surroundings)
    assert refused.returncode == 2
    assert "--as-it-is" in refused.stderr
    done = turnlog(*words, "--as-it-is", env=surroundings)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["differing"] == 1


async def test_a_reader_who_may_not_see_every_row_makes_no_backup(filled: Database, tmp_path: Path) -> None:
    owner = await asyncpg.connect(filled.owner_dsn)
    role = f"reader_{os.urandom(4).hex()}"
    await owner.execute(f"create role {role} login")
    try:
        await owner.execute(f"grant usage on schema turnlog to {role}")
        await owner.execute(f"grant select on all tables in schema turnlog to {role}")
        await owner.execute(f"grant select on turnlog_schema_version to {role}")
        dsn = filled.owner_dsn.replace(urlsplit(filled.owner_dsn).username or "", role, 1)
        with pytest.raises(BackupError, match="row-level security"):
            await backed_up(Database(dsn, dsn), tmp_path / "b")
        await owner.execute(f"grant turnlog_app to {role}")  # whose policies show all rows
        assert (await backed_up(Database(dsn, dsn), tmp_path / "b")).header.events > TURNS
    finally:
        await owner.execute(f"drop owned by {role}")
        await owner.execute(f"drop role {role}")
        await owner.close()


async def test_an_owner_who_is_no_superuser_backs_up_and_restores(
    servers: RealServers, filled: Database, empty: Database, tmp_path: Path
) -> None:
    superuser = await asyncpg.connect(empty.owner_dsn)
    role = f"owner_{os.urandom(4).hex()}"
    await superuser.execute(f"create role {role} login")
    try:
        await superuser.execute(f"grant turnlog_app to {role} with set true")
        for reading in ("turnlog_tenant", "turnlog_auditor"):
            await superuser.execute(f"grant {reading} to {role} with inherit false, set true")
        name = await superuser.fetchval("select current_database()")
        await superuser.execute(f"alter database {name} owner to {role}")
        await superuser.execute(f"alter schema public owner to {role}")
        dsn = empty.owner_dsn.replace(urlsplit(empty.owner_dsn).username or "", role, 1)
        await backed_up(filled, tmp_path / "b")
        await restore(dsn, tmp_path / "b", keep_incarnation=True)
        assert await contents(empty.owner_dsn) == await contents(filled.owner_dsn)
        taken = await backed_up(Database(dsn, dsn), tmp_path / "again")
        assert taken.manifest == prove(tmp_path / "b").manifest
    finally:
        await superuser.execute(f"alter database {name} owner to {urlsplit(servers.owner_dsn).username or 'turnlog'}")
        await superuser.execute(f"drop owned by {role} cascade")
        await superuser.execute(f"drop role {role}")
        await superuser.close()


async def test_a_database_in_use_is_never_restored_over(filled: Database, empty: Database, tmp_path: Path) -> None:
    await backed_up(filled, tmp_path / "b")
    before = await contents(filled.owner_dsn)
    with pytest.raises(NotEmpty, match="never overwrites history"):
        await restore(filled.owner_dsn, tmp_path / "b", keep_incarnation=False)
    assert await contents(filled.owner_dsn) == before
    await migrate(empty.owner_dsn)
    store = await Store.open(empty.dsn)
    await store.head("main")
    with pytest.raises(NotEmpty, match="stop them"):
        await restore(empty.owner_dsn, tmp_path / "b", keep_incarnation=False)
    await store.close()
    await gone(empty)
    await new_key(empty.owner_dsn, "acme", (READ,))
    await gone(empty)
    with pytest.raises(NotEmpty, match="API key"):
        await restore(empty.owner_dsn, tmp_path / "b", keep_incarnation=False)


async def test_a_database_that_was_only_migrated_counts_as_empty(
    filled: Database, empty: Database, tmp_path: Path
) -> None:
    await backed_up(filled, tmp_path / "b")
    await migrate(empty.owner_dsn)
    await restore(empty.owner_dsn, tmp_path / "b", keep_incarnation=True)
    assert await contents(empty.owner_dsn) == await contents(filled.owner_dsn)
    assert await shape(empty.owner_dsn) == await shape(filled.owner_dsn)


async def gone(database: Database) -> None:
    """Wait until the services' connections have left the server's list."""
    owner = await asyncpg.connect(database.owner_dsn)
    query = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'turnlog'"
    async with asyncio.timeout(10):
        while await owner.fetchval(query):
            await asyncio.sleep(0.02)
    await owner.close()


async def test_nothing_is_changed_by_a_file_that_changes_between_its_proof_and_its_restore(
    filled: Database, empty: Database, tmp_path: Path
) -> None:
    await backed_up(filled, tmp_path / "b")
    assert prove(tmp_path / "b").ok
    data = bytearray((tmp_path / "b").read_bytes())
    data[-1_200] ^= 1
    (tmp_path / "b").write_bytes(data)
    with pytest.raises(Damaged):
        await restore(empty.owner_dsn, tmp_path / "b", keep_incarnation=False)
    assert await untouched(empty)


async def untouched(database: Database) -> bool:
    owner = await asyncpg.connect(database.owner_dsn)
    try:
        found: bool = await owner.fetchval(
            "select to_regnamespace('turnlog') is null and to_regclass('turnlog_schema_version') is null"
        )
    finally:
        await owner.close()
    return found


async def test_a_newer_schema_is_refused_by_backup_and_restore(
    filled: Database, empty: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await asyncpg.connect(filled.owner_dsn)
    await owner.execute("update turnlog_schema_version set version_num = '9999'")
    await owner.close()
    with pytest.raises(SchemaTooNew, match="9999"):
        await backed_up(filled, tmp_path / "b")
    with monkeypatch.context() as newer:
        newer.setattr("turnlog_cli.backups.taking.knows", lambda revision: True)
        await backed_up(filled, tmp_path / "b")
    with pytest.raises(TooNew, match=f"schema 9999, this release knows up to {latest()}"):
        await restore(empty.owner_dsn, tmp_path / "b", keep_incarnation=False)
    assert await untouched(empty)


async def test_a_backup_of_each_earlier_schema_is_restored_and_brought_up(servers: RealServers, tmp_path: Path) -> None:
    for revision in ("0001", "0002"):
        async with own_database(servers) as old, own_database(servers) as new:
            await migrate_to(old.owner_dsn, revision)
            store = await Store.open(old.dsn)
            await Filler(store, "main").add(100)
            await store.close()
            taken = await backed_up(old, tmp_path / revision)
            assert (taken.header.schema, prove(tmp_path / revision).ok) == (revision, True)
            restored = await restore(new.owner_dsn, tmp_path / revision, keep_incarnation=True)
            assert (restored.schema, restored.logs) == (latest(), taken.header.logs)
            before, after = await contents(old.owner_dsn), await contents(new.owner_dsn)
            assert {name: after[name] for name in before} == before
            await migrate(old.owner_dsn)
            assert await shape(new.owner_dsn) == await shape(old.owner_dsn)


async def test_everything_the_schema_holds_is_in_a_backup(filled: Database) -> None:
    """A sequence or a large object would be left behind: whoever adds one has to add it to the backup."""
    owner = await asyncpg.connect(filled.owner_dsn)
    kinds = await owner.fetch("select distinct relkind from pg_class where relnamespace = 'turnlog'::regnamespace")
    assert {bytes(kind) for (kind,) in kinds} <= {b"r", b"i", b"v"}
    assert await owner.fetchval("select count(*) from pg_largeobject_metadata") == 0
    await owner.close()


async def test_a_backup_that_is_killed_leaves_nothing_that_looks_whole(filled: Database, tmp_path: Path) -> None:
    side = tmp_path / "b.part"
    async with locked(filled, "task_runs"):
        with command("backup", str(tmp_path / "b"), database=filled) as process:

            async def writes() -> bool:
                return side.exists() and await others(filled) > 1

            await eventually(writes)
            process.kill()
            process.wait(20)
    assert [path.name for path in tmp_path.iterdir()] == ["b.part"]
    assert turnlog("backup", "--check", str(side)).returncode == 2
    surroundings = environment(TURNLOG_DATABASE_OWNER_URL=filled.owner_dsn)
    assert turnlog("backup", str(tmp_path / "b"), env=surroundings).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


async def test_a_restore_that_is_killed_leaves_all_or_nothing(
    filled: Database, empty: Database, tmp_path: Path
) -> None:
    await backed_up(filled, tmp_path / "b")
    killed = 0
    for seconds in (0.0, 0.05, 0.15, 0.3):
        with command("restore", str(tmp_path / "b"), database=empty) as process:

            async def at_work() -> bool:
                return await others(empty) > 0 or process.poll() is not None

            await eventually(at_work)
            await asyncio.sleep(seconds)  # another place each time
            process.kill()
            process.wait(20)

        async def left() -> bool:
            return await others(empty) == 0

        await eventually(left)
        if not await untouched(empty):
            break  # it had committed before the kill: whole then, as is checked below
        killed += 1
    else:
        await restore(empty.owner_dsn, tmp_path / "b", keep_incarnation=True)
    assert killed
    assert await without_incarnations(empty) == await without_incarnations(filled)


async def others(database: Database) -> int:
    """How many others are connected to the database."""
    owner = await asyncpg.connect(database.owner_dsn)
    try:
        found: int = await owner.fetchval(
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() "
            "and backend_type = 'client backend'"
        )
    finally:
        await owner.close()
    return found


@contextmanager
def command(*words: str, database: Database) -> Iterator["subprocess.Popen[bytes]"]:
    """A command at work."""
    surroundings = environment(TURNLOG_DATABASE_OWNER_URL=database.owner_dsn)
    process = subprocess.Popen(
        [sys.executable, "-m", "turnlog_cli", *words],
        env=surroundings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)


@asynccontextmanager
async def locked(database: Database, table: str) -> AsyncIterator[None]:
    """A lock that a backup waits for once it has begun."""
    owner = await asyncpg.connect(database.owner_dsn)
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute(f"lock table turnlog.{table} in access exclusive mode")
    try:
        yield
    finally:
        await transaction.rollback()
        await owner.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    place = tmp_path / "small"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=200m,mode=755", "tmpfs", str(place)]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lets nobody mount a tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)


async def test_a_full_disk_leaves_nothing_restored_and_no_half_backup(
    servers: RealServers, small_disk: Path, tmp_path: Path
) -> None:
    async with own_database(servers) as large:
        await migrate(large.owner_dsn)
        store = await Store.open(large.dsn)
        for number in range(20):
            events = [turn("acme", f"s{number}", os.urandom(60_000).hex()) for _ in range(50)]
            await store.append("main", [request(event) for event in events], 60)
        await store.close()
        await backed_up(large, tmp_path / "b")
    folder = small_disk / "data"
    done = await asyncio.to_thread(turnlog, "restore", str(tmp_path / "b"), "--data-dir", str(folder))
    assert done.returncode == 2, done.stdout
    assert "nothing was restored" in done.stderr
    assert "Traceback" not in done.stderr
    async with owner_database(SharedSettings(), folder) as dsn:
        assert await untouched(Database(dsn, dsn))
    with pytest.raises(BackupError, match="no room"), side_file(small_disk / "b", force=False) as file:
        file.write(bytes(300_000_000))
    assert not list(small_disk.glob("b*"))


async def test_memory_does_not_grow_with_the_database(servers: RealServers, tmp_path: Path) -> None:
    async with own_database(servers) as large, own_database(servers) as target:
        await migrate(large.owner_dsn)
        store = await Store.open(large.dsn)
        for number in range(16):
            events = [turn("acme", f"s{number}", os.urandom(60_000).hex()) for _ in range(50)]
            await store.append("main", [request(event) for event in events], 60)
        await store.close()
        small = await asyncio.to_thread(peak_mb, "backup", "--check", str(await sample(servers, tmp_path)))
        for words, database in (
            (("backup", str(tmp_path / "b")), large),
            (("backup", "--check", str(tmp_path / "b")), large),
            (("restore", str(tmp_path / "b")), target),
        ):
            peak = await asyncio.to_thread(peak_mb, *words, database=database)
            assert peak < small + 60, f"{words}: {peak:.0f} MB instead of {small:.0f} MB"
        assert (tmp_path / "b").stat().st_size > 40_000_000


async def sample(servers: RealServers, folder: Path) -> Path:
    async with own_database(servers) as made:
        await migrate(made.owner_dsn)
        await backed_up(made, folder / "small")
    return folder / "small"


def peak_mb(*words: str, database: Database | None = None) -> float:
    """The most memory a command takes."""
    script = (
        "import resource, sys; from turnlog_cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    more = {"TURNLOG_DATABASE_OWNER_URL": database.owner_dsn} if database else {}
    done = subprocess.run(
        [sys.executable, "-c", script, *words], env=environment(**more), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout.split()[-1]) / (1 if sys.platform == "darwin" else 1024)
