"""The embedded servers as `turnlog up` uses them: real processes, real kills, one data folder each."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import nats
import psutil
import pytest
import redis.asyncio as redis

from turnlog_embedded import (
    EmbeddedError,
    FolderInUse,
    ForeignMajor,
    NotServed,
    ServerFailed,
    Servers,
    ServerSpec,
    hold,
    start,
)

ONLY_POSTGRES = ServerSpec(nats=False, valkey=False)
ONLY_NATS = ServerSpec(postgres=False, valkey=False)
ONLY_VALKEY = ServerSpec(postgres=False, nats=False)
WAIT_S = 30.0


@contextlib.asynccontextmanager
async def started(data_dir: Path, spec: ServerSpec | None = None) -> AsyncIterator[Servers]:
    servers = await start(data_dir, spec or ServerSpec())
    try:
        yield servers
    finally:
        await servers.stop()


@contextlib.asynccontextmanager
async def postgres(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def write_everywhere(servers: Servers) -> None:
    async with postgres(servers.postgres_dsn) as connection:
        await connection.execute("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('turn')")
    async with redis.from_url(servers.redis_url) as cache:
        await cache.set("kept", "turn")
    bus = await nats.connect(servers.nats_url)
    stream = bus.jetstream()
    await stream.add_stream(name="kept", subjects=["kept.>"])
    await stream.publish("kept.1", b"turn")
    await bus.close()


async def read_everywhere(servers: Servers) -> list[object]:
    async with postgres(servers.postgres_dsn) as connection:
        row = await connection.fetchval("SELECT word FROM kept")
    async with redis.from_url(servers.redis_url) as cache:
        value = await cache.get("kept")
    bus = await nats.connect(servers.nats_url)
    message = await bus.jetstream().get_msg("kept", 1)
    await bus.close()
    return [row, value, message.data]


KEPT = ["turn", b"turn", b"turn"]


def lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def until_there(path: Path) -> None:
    """Wait for a file that another process makes: nothing else tells when it has got so far."""
    async with asyncio.timeout(WAIT_S):
        while not path.exists():
            await asyncio.sleep(0.001)


@contextlib.contextmanager
def parent_process(script: str, data_dir: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that runs a script over a data folder; killed at the end, whatever happens."""
    command = [sys.executable, "-c", textwrap.dedent(script), str(data_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


HOLDS = """
    import sys
    from pathlib import Path
    from turnlog_embedded import hold
    with hold(Path(sys.argv[1])) as holder:
        holder.note(port=8123)
        print("held", flush=True)
        sys.stdin.read()
"""
FORKS = """
    import os, sys
    from pathlib import Path
    from turnlog_embedded import hold
    holder = hold(Path(sys.argv[1]))
    child = os.fork()
    if child == 0:
        print(os.getpid(), flush=True)  # by the child: it has run what is to run after a fork
        sys.stdin.read()  # outlives the holder until its own end of input
        os._exit(0)
    os.waitpid(child, 0)
"""
SERVES = """
    import asyncio, sys
    from pathlib import Path
    import turnlog_embedded.servers as servers
    if {by_watchdog}:
        servers.kernel_ends_orphans = lambda: False
    async def main():
        running = await servers.start(Path(sys.argv[1]))
        print(*running.pids.values(), flush=True)
        print(running.postgres_dsn, flush=True)
        await running.wait_exit()
    asyncio.run(main())
"""


# --- the hold -------------------------------------------------------------------------------------------


def test_a_second_holder_is_told_who_holds_the_folder_and_where_it_serves(tmp_path: Path) -> None:
    with parent_process(HOLDS, tmp_path) as holder:
        assert line_of(holder) == "held"
        with pytest.raises(FolderInUse) as refused:
            hold(tmp_path)
    assert (refused.value.pid, refused.value.port) == (holder.pid, 8123)
    assert refused.value.started_at is not None
    assert str(holder.pid) in str(refused.value)
    assert "http://127.0.0.1:8123" in str(refused.value)


def test_a_killed_holder_frees_the_folder_at_once(tmp_path: Path) -> None:
    with parent_process(HOLDS, tmp_path) as holder:
        assert line_of(holder) == "held"
        holder.kill()
        holder.wait()
        hold(tmp_path).release()


def test_a_forked_child_does_not_keep_the_folder_of_a_killed_holder(tmp_path: Path) -> None:
    with parent_process(FORKS, tmp_path) as holder:
        child = int(line_of(holder))
        holder.kill()
        holder.wait()
        assert lives(child)
        hold(tmp_path).release()


def test_a_hold_ends_with_its_block_and_excludes_this_process_too(tmp_path: Path) -> None:
    with hold(tmp_path / "new"), pytest.raises(FolderInUse):
        hold(tmp_path / "new")
    hold(tmp_path / "new").release()
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


# --- start, stop, restart -------------------------------------------------------------------------------


async def test_a_warm_restart_keeps_what_was_written(tmp_path: Path) -> None:
    async with started(tmp_path / "data") as servers:
        await write_everywhere(servers)
        assert set(servers.pids) == {"postgres", "nats", "valkey"}
        old = servers.pids
    assert not any(lives(pid) for pid in old.values())
    async with started(tmp_path / "data") as servers:
        assert await read_everywhere(servers) == KEPT


async def test_postgres_is_durable_checksummed_and_serves_only_its_socket(tmp_path: Path) -> None:
    wanted = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "server_encoding": "UTF8",
        "listen_addresses": "",
        "wal_level": "replica",
        "jit": "off",
    }
    async with started(tmp_path, ONLY_POSTGRES) as servers, postgres(servers.postgres_dsn) as connection:
        found = {name: await connection.fetchval(f"SHOW {name}") for name in wanted}
        assert found == wanted
        assert await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")


async def test_the_services_role_is_no_superuser_and_in_the_same_database(tmp_path: Path) -> None:
    async with started(tmp_path, ONLY_POSTGRES) as servers, postgres(servers.postgres_app_dsn) as connection:
        row = await connection.fetchrow(
            "SELECT rolsuper, current_user, current_database() FROM pg_roles WHERE rolname = current_user"
        )
        assert tuple(row or ()) == (False, "turnlog_app", "turnlog")


async def test_nothing_in_the_folder_is_open_to_others(tmp_path: Path) -> None:
    async with started(tmp_path / "data") as servers:
        places = [tmp_path / "data", *(tmp_path / "data" / name for name in ("run", "logs"))]
        places += [servers.data_dir_of(name) for name in ("postgres", "nats", "valkey")]
        assert [place.stat().st_mode & 0o077 for place in places] == [0] * len(places)
        secret = tmp_path / "data" / "run" / "nats.secret"
        assert secret.stat().st_mode & 0o777 == 0o600


async def test_nats_refuses_a_client_without_the_secret(tmp_path: Path) -> None:
    async with started(tmp_path, ONLY_NATS) as servers:
        address = urlsplit(servers.nats_url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
            answers = await asyncio.wait_for(reader.read(), WAIT_S)  # to the end: it hangs up
        finally:
            writer.close()
            await writer.wait_closed()
    assert b"-ERR 'Authorization Violation'" in answers
    assert b"PONG" not in answers


async def test_an_address_stays_the_same_over_a_restart(tmp_path: Path) -> None:
    async with started(tmp_path) as servers:
        await write_everywhere(servers)
        before = (servers.postgres_dsn, servers.nats_url, servers.redis_url)
        for name in ("postgres", "nats", "valkey"):
            await servers.restart(name)
        assert (servers.postgres_dsn, servers.nats_url, servers.redis_url) == before
        assert await read_everywhere(servers) == KEPT


async def test_sockets_that_needed_a_shorter_path_leave_nothing_behind(tmp_path: Path) -> None:
    async with started(tmp_path / ("d" * 120), ONLY_VALKEY) as servers:
        socket = Path(servers.redis_url.removeprefix("unix://").partition("?")[0])
        assert socket.is_socket()
        assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert not socket.parent.exists()


async def test_stop_may_be_called_twice_and_frees_the_folder(tmp_path: Path) -> None:
    servers = await start(tmp_path, ONLY_VALKEY)
    with pytest.raises(FolderInUse):
        await start(tmp_path, ONLY_VALKEY)
    await servers.stop()
    await servers.stop()
    assert servers.pids == {}
    hold(tmp_path).release()


async def test_start_stands_on_a_hold_this_process_already_has_and_leaves_it(tmp_path: Path) -> None:
    with hold(tmp_path):
        async with started(tmp_path, ONLY_VALKEY):
            pass
        with pytest.raises(FolderInUse):
            hold(tmp_path)


async def test_the_address_of_a_server_left_out_is_refused(tmp_path: Path) -> None:
    async with started(tmp_path, ONLY_VALKEY) as servers:
        assert set(servers.pids) == {"valkey"}
        with pytest.raises(NotServed):
            _ = servers.postgres_dsn


async def test_servers_started_in_a_thread_outlive_that_thread(tmp_path: Path) -> None:
    made: list[Servers] = []
    thread = threading.Thread(target=lambda: made.append(asyncio.run(start(tmp_path, ONLY_VALKEY))))
    thread.start()
    await asyncio.to_thread(thread.join)
    try:
        async with redis.from_url(made[0].redis_url) as cache:
            assert await cache.ping()
    finally:
        await made[0].stop()


async def test_cancelling_a_start_leaves_no_server_and_no_hold(tmp_path: Path) -> None:
    starting = asyncio.ensure_future(start(tmp_path, ServerSpec()))
    await until_there(tmp_path / "run" / "valkey.lock")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    hold(tmp_path).release()
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]


@pytest.mark.parametrize("name", ["two words", "Füße-日本", 'it\'s "quoted" $HOME \\ #1', "a,b", "deep/" + "d" * 120])
async def test_any_folder_name_serves(tmp_path: Path, name: str) -> None:
    data_dir = tmp_path / name
    async with started(data_dir) as servers:
        await write_everywhere(servers)
    async with started(data_dir) as servers:
        assert await read_everywhere(servers) == KEPT


# --- kills ----------------------------------------------------------------------------------------------


@pytest.mark.faults
@pytest.mark.parametrize("by_watchdog", [False, True], ids=["kernel", "watchdog"])
async def test_a_killed_parent_leaves_no_orphans_and_the_next_start_works(tmp_path: Path, by_watchdog: bool) -> None:
    if not by_watchdog and sys.platform != "linux":
        pytest.skip("the kernel ends orphans on Linux only")
    with parent_process(SERVES.format(by_watchdog=by_watchdog), tmp_path) as parent:
        pids = [int(word) for word in line_of(parent).split()]
        assert len(pids) == 3
        assert all(lives(pid) for pid in pids)
        parent.kill()
        parent.wait()
        async with started(tmp_path) as servers:  # waits for what is still stopping
            assert not any(lives(pid) for pid in pids)
            await write_everywhere(servers)


@pytest.mark.faults
async def test_an_orphan_that_hangs_is_killed_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turnlog_embedded.server_lock.PATIENCE_S", 0.1)
    monkeypatch.setattr("turnlog_embedded.server_lock.MERCY_S", 0.2)
    with parent_process(SERVES.format(by_watchdog=False), tmp_path) as parent:
        pids = [int(word) for word in line_of(parent).split()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        parent.kill()
        parent.wait()
        async with started(tmp_path) as servers:
            assert not any(lives(pid) for pid in pids)
            await write_everywhere(servers)


@pytest.mark.faults
async def test_a_killed_parent_loses_no_acknowledged_row(tmp_path: Path) -> None:
    with parent_process(SERVES.format(by_watchdog=False), tmp_path) as parent:
        assert line_of(parent)
        connection = await asyncpg.connect(line_of(parent))
        await connection.execute("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('turn')")
        parent.kill()
        parent.wait()
        connection.terminate()
        async with started(tmp_path, ONLY_POSTGRES) as servers, postgres(servers.postgres_dsn) as again:
            assert await again.fetchval("SELECT word FROM kept") == "turn"


@pytest.mark.faults
async def test_ctrl_c_in_the_terminal_does_not_reach_the_servers(tmp_path: Path) -> None:
    async with started(tmp_path) as servers:
        assert os.getpgid(0) not in {os.getpgid(pid) for pid in servers.pids.values()}


@pytest.mark.faults
@pytest.mark.parametrize("name", ["postgres", "nats", "valkey"])
async def test_a_server_that_dies_is_reported_and_can_be_started_again(tmp_path: Path, name: str) -> None:
    spec = ServerSpec(**{other: other == name for other in ("postgres", "nats", "valkey")})
    async with started(tmp_path, spec) as servers:
        waiting = asyncio.ensure_future(servers.wait_exit())
        pid = servers.pids[name]
        os.kill(pid, signal.SIGKILL)
        assert await asyncio.wait_for(waiting, WAIT_S) == name
        assert servers.pids == {}
        await servers.start_one(name)
        assert servers.pids[name] != pid

        servers.kill(name)
        assert await asyncio.wait_for(servers.wait_exit(), WAIT_S) == name
        await servers.start_one(name)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(servers.wait_exit(), 0.05)  # it runs again: nothing to report


async def test_a_server_told_to_stop_is_not_reported_and_its_data_can_be_wiped(tmp_path: Path) -> None:
    async with started(tmp_path) as servers:
        await write_everywhere(servers)
        for name in ("nats", "valkey", "postgres"):
            await servers.stop_one(name)
            shutil.rmtree(servers.data_dir_of(name))
            await servers.start_one(name)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(servers.wait_exit(), 0.05)
        await write_everywhere(servers)  # would fail if anything were left


@pytest.mark.faults
async def test_a_first_start_killed_while_the_cluster_is_made_leaves_nothing_half_made(
    tmp_path: Path,
) -> None:
    with parent_process(SERVES.format(by_watchdog=False), tmp_path) as parent:
        await until_there(tmp_path / "postgres.new" / "PG_VERSION")
        parent.kill()
        parent.wait()
    assert not (tmp_path / "postgres").exists()
    async with started(tmp_path) as servers:
        await write_everywhere(servers)
    assert not (tmp_path / "postgres.new").exists()


async def test_a_pid_file_whose_pid_was_given_again_does_not_stop_the_start(tmp_path: Path) -> None:
    async with started(tmp_path, ONLY_POSTGRES) as servers:
        cluster = servers.data_dir_of("postgres")
    (cluster / "postmaster.pid").write_text(f"{os.getppid()}\n{cluster}\n1\n5432\n\n\n")
    async with started(tmp_path, ONLY_POSTGRES) as servers, postgres(servers.postgres_dsn) as connection:
        assert await connection.fetchval("SELECT 1") == 1


# --- refusals -------------------------------------------------------------------------------------------


async def test_a_cluster_of_another_major_version_is_refused_with_advice(tmp_path: Path) -> None:
    async with started(tmp_path, ONLY_POSTGRES) as servers:
        cluster = servers.data_dir_of("postgres")
    have = int((cluster / "PG_VERSION").read_text())
    (cluster / "PG_VERSION").write_text("15\n")
    control = (cluster / "global" / "pg_control").read_bytes()
    with pytest.raises(ForeignMajor, match="pg_dumpall") as refused:
        await start(tmp_path, ServerSpec())
    assert (refused.value.found, refused.value.have) == (15, have)
    assert (cluster / "global" / "pg_control").read_bytes() == control
    hold(tmp_path).release()  # refused, and nothing left running or held


async def test_a_server_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    async with started(tmp_path, ONLY_POSTGRES) as servers:
        cluster = servers.data_dir_of("postgres")
    with (cluster / "postgresql.auto.conf").open("a") as settings:
        settings.write("shared_buffers = 'nonsense'\n")
    with pytest.raises(ServerFailed) as failed:
        await start(tmp_path, ONLY_POSTGRES)
    assert failed.value.name == "postgres"
    assert "shared_buffers" in failed.value.log_tail
    assert "shared_buffers" in str(failed.value)


async def test_a_folder_with_other_files_in_the_clusters_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "letters.txt").write_text("mine")
    with pytest.raises(ServerFailed, match="move them away"):
        await start(tmp_path, ONLY_POSTGRES)
    assert (tmp_path / "postgres" / "letters.txt").read_text() == "mine"


# --- root and others ------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
async def test_root_runs_servers_as_an_ordinary_user_and_opens_no_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    async with started(closed / "data") as servers:
        users = {psutil.Process(pid).uids().effective for pid in servers.pids.values()}
        assert 0 not in users
        assert len(users) == 1
        await write_everywhere(servers)
    found = closed.stat()
    assert (found.st_mode & 0o777, found.st_uid) == (0o700, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
async def test_a_folder_of_an_ordinary_user_stays_theirs_when_root_starts_it(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    os.chown(folder, 65534, 65534)
    async with started(folder) as servers:
        users = {psutil.Process(pid).uids().effective for pid in servers.pids.values()}
        assert users == {65534}
    owners = {path.lstat().st_uid for path in folder.rglob("*")}
    assert owners == {65534}  # so that the owner can go on without root


def test_every_error_of_the_package_can_be_caught_as_one() -> None:
    assert all(issubclass(kind, EmbeddedError) for kind in (FolderInUse, ForeignMajor, NotServed, ServerFailed))
