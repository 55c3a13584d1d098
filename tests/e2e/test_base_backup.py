"""PostgreSQL's own tools on the real system: a base backup under load, a point in time out of archived WAL, pg_dump."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from system import System, until
from turnlog_embedded.binaries import find_postgres

TOOLS = ("pg_basebackup", "pg_verifybackup", "pg_dump", "pg_restore", "pg_dumpall", "psql")
missing = [name for name in TOOLS if not (find_postgres().bin_dir / name).exists()]
pytestmark = [
    pytest.mark.timeout(300),  # whole systems are started
    pytest.mark.skipif(bool(missing), reason=f"this PostgreSQL comes without {', '.join(missing)}"),
]


@pytest.fixture
def place() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="turnlog-bb-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def tool(name: str, *words: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    command = [str(find_postgres().bin_dir / name), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, **more)
    assert done.returncode == 0, done.stderr
    return done


def reach(system: System) -> tuple[str, ...]:
    """The words by which PostgreSQL's tools reach a running system."""
    return ("-h", str(system.folder / "run"), "-U", "turnlog")


def ask(system: System, query: str) -> str:
    return tool("psql", *reach(system), "-Atc", query, "turnlog").stdout.strip()


@contextmanager
def load(system: System) -> Iterator[list[int]]:
    """Turns stored all the while, each once the one before was acknowledged; the versions acknowledged so far."""
    acknowledged: list[int] = []
    stop = threading.Event()

    def write() -> None:
        with system.client() as client:
            while not stop.is_set():
                acknowledged.append(client.store("load", "user", f"turn {len(acknowledged) + 1}").version)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        until(lambda: len(acknowledged) >= 10, "turns are stored")
        yield acknowledged
    finally:
        stop.set()
        writer.join(30)


def belonging(path: Path, to: Path) -> Path:
    """Hand a folder to whom another belongs: root's servers run as an ordinary account."""
    owner = to.stat()
    for name in (path, *path.rglob("*")):
        os.chown(name, owner.st_uid, owner.st_gid, follow_symlinks=False)
    return path


def version(system: System, session: str = "load") -> int:
    with system.client() as client:
        found: int = client.session(session)["version"]
        return found


def green(system: System) -> None:
    for words in (("rebuild",), ("verify",)):
        done = system.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_base_backup_under_load_loses_no_turn_acknowledged_before_its_end(place: Path) -> None:
    source = System(place / "a").start()
    cluster = place / "b" / "postgres"
    try:
        with load(source) as acknowledged:
            began = len(acknowledged)
            cluster.parent.mkdir()
            tool("pg_basebackup", *reach(source), "-D", str(cluster), "-X", "stream", "-c", "fast")
            ended = len(acknowledged)
            until(lambda: len(acknowledged) > ended + 5, "writes go on")
        tool("pg_verifybackup", str(cluster))
    finally:
        source.stop()
    belonging(place / "b", place / "a" / "postgres")
    restored = System(place / "b").start()
    try:
        green(restored)
        assert version(restored) >= began
        with restored.client() as client:
            found = [turn["content"] for turn in client.turns("load", limit=200)["turns"]]
            newest = version(restored)
            assert found == [f"turn {n}" for n in range(max(1, newest - 199), newest + 1)]
            assert client.store("load", "user", "after").version == newest + 1
    finally:
        restored.stop()


def test_a_point_in_time_is_reached_from_a_base_backup_and_archived_wal(place: Path) -> None:
    archive, base, folder = place / "archive", place / "base", place / "a"
    archive.mkdir(mode=0o777)
    archive.chmod(0o777)
    system = System(folder).start()
    ask(system, "alter system set archive_mode = on")
    ask(system, f"alter system set archive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f'")
    system.stop()
    system.start()
    with system.client() as client:
        client.store("s", "user", "before the base backup")
        tool("pg_basebackup", *reach(system), "-D", str(base), "-X", "none", "-c", "fast")
        client.store("s", "user", "after the base backup")
        ask(system, "select pg_create_restore_point('before the accident')")
        client.store("s", "user", "the accident")
    segment = ask(system, "select pg_walfile_name(pg_switch_wal())")
    until(lambda: (archive / segment).exists(), "the WAL is archived")
    green(system)
    system.stop()

    shutil.rmtree(folder / "postgres")
    with (base / "postgresql.auto.conf").open("a") as conf:
        conf.write(
            f"restore_command = 'cp {archive}/%f %p'\nrecovery_target_name = 'before the accident'\n"
            "recovery_target_action = promote\nhot_standby = off\n"
        )
    (base / "recovery.signal").touch()
    shutil.copytree(base, folder / "postgres", symlinks=True)
    belonging(folder / "postgres", folder / "nats" if (folder / "nats").exists() else folder)
    (folder / "postgres").chmod(0o700)

    system.start()
    try:
        url = f"{system.url}/v1/sessions/s/turns"
        answer = httpx.post(url, json={"role": "user", "content": "x", "turn_id": "t"}, trust_env=False)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "log_fenced"), "JetStream remembers more"
        accepted = system.run("logs", "accept", "main", "--yes")
        assert accepted.returncode == 0, accepted.stderr
        until(
            lambda: httpx.post(url, json={"role": "user", "content": "x", "turn_id": "t"}, trust_env=False).is_success,
            "writes",
        )
        green(system)
        with system.client() as client:
            found = [turn["content"] for turn in client.turns("s", min_version=3)["turns"]]
        assert found == ["before the base backup", "after the base backup", "x"]
    finally:
        system.stop()


def test_a_pg_dump_under_load_is_restored_whole(place: Path) -> None:
    source = System(place / "a").start()
    try:
        with load(source) as acknowledged:
            before = len(acknowledged)
            tool("pg_dump", *reach(source), "-Fc", "-f", str(place / "dump"), "turnlog")
        roles = tool("pg_dumpall", *reach(source), "--roles-only").stdout
    finally:
        source.stop()
    refused = System(place / "a").run("restore", str(place / "dump"))
    assert refused.returncode == 2
    assert "pg_restore" in refused.stderr
    target = System(place / "b").start()
    try:
        ask(target, "drop schema turnlog cascade; drop table turnlog_schema_version")
        tool("psql", *reach(target), "turnlog", input=roles)
        tool("pg_restore", *reach(target), "-d", "turnlog", "--single-transaction", str(place / "dump"))
    finally:
        target.stop()
    target.start()
    try:
        green(target)
        assert version(target) >= before
    finally:
        target.stop()
