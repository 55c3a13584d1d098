"""The life of `turnlog up`: who holds a folder, what is refused, what dies and comes back, what a kill leaves."""

import asyncio
import shutil
import socket
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from system import System, command_line, environment, gone, turnlog, until
from turnlog_cli.addresses import Addresses
from turnlog_cli.verifying import run_verify
from turnlog_runtime.settings import SharedSettings

pytestmark = pytest.mark.faults


def agrees(system: System, conversations: Any) -> None:
    """Every turn is there, from whichever store answers, and read models and log agree."""
    with system.client() as client:
        for session, sent in conversations.by_session.items():
            assert client.session(session)["version"] == len(sent)
            read = client.turns(session, limit=50, min_version=len(sent))["turns"]
            assert [turn["content"] for turn in read] == [turn["content"] for turn in sent[-50:]]
    report = asyncio.run(run_verify(Addresses(**system.addresses()), SharedSettings(), "main"))
    assert report.ok, report.differences


def test_a_second_up_names_the_holder(loaded: System) -> None:
    done = loaded.run("up", "--port", "0")
    assert done.returncode == 2
    assert f"process {loaded.process.pid} since" in done.stderr
    assert loaded.url in done.stderr


def test_a_misspelt_variable_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    done = turnlog("up", "--data-dir", str(tmp_path), env=environment(TURNLOG_DATABSE_URL="postgresql://x"))
    assert done.returncode == 2
    assert "TURNLOG_DATABSE_URL: did you mean TURNLOG_DATABASE_URL?" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "example.org"])
def test_a_host_that_others_can_reach_is_refused_without_credentials(tmp_path: Path, host: str) -> None:
    done = turnlog("up", "--data-dir", str(tmp_path), env=environment(TURNLOG_HOST=host))
    assert done.returncode == 2
    assert f"TURNLOG_HOST={host} is refused with TURNLOG_AUTH=off" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = turnlog("up", "--data-dir", str(tmp_path / "data"), "--port", str(port))
    assert done.returncode == 2
    assert f"port {port} is taken" in done.stderr
    assert not (tmp_path / "data" / "postgres").exists()


@pytest.mark.parametrize("name", ["api", "projector", "compressor"])
def test_a_killed_service_comes_back(loaded: System, conversations: Any, name: str) -> None:
    module = {"api": "turnlog_cli.api"}.get(name, f"turnlog_{name}")
    before = loaded.find(module)
    before.kill()
    loaded.event("died", name=name)
    until(
        lambda: [p for p in loaded.tree()[1:] if module in command_line(p) and p.pid != before.pid], f"{name} is back"
    )
    agrees(loaded, conversations)


@pytest.mark.parametrize(("name", "command"), [("nats", "nats-server"), ("valkey", "valkey"), ("postgres", "postgres")])
def test_a_killed_server_comes_back(loaded: System, conversations: Any, name: str, command: str) -> None:
    loaded.find(command).kill()
    loaded.event("server_back", name=name)
    agrees(loaded, conversations)


def test_everything_killed_at_once_loses_nothing(loaded: System, conversations: Any) -> None:
    loaded.kill_everything()
    agrees(loaded.start(), conversations)


def test_ctrl_c_leaves_no_process_and_nats_and_valkey_may_lose_everything(loaded: System, conversations: Any) -> None:
    tree = loaded.interrupt()
    assert [p for p in tree if not gone(p)] == []
    assert loaded.process.returncode == 0
    assert not (loaded.folder / "run" / "addresses.json").exists()
    for name in ("nats", "valkey"):
        shutil.rmtree(loaded.folder / name)
    agrees(loaded.start(), conversations)


def test_a_killed_parent_leaves_no_orphans(loaded: System, conversations: Any) -> None:
    tree = loaded.kill_up()
    psutil.wait_procs(tree, timeout=20)
    until(lambda: all(map(gone, tree)), "every process has ended")
    agrees(loaded.start(), conversations)


def test_verify_is_red_after_one_byte_was_changed_in_postgres(loaded: System) -> None:
    dsn = loaded.addresses()["database_owner_url"]
    asyncio.run(flip_a_byte(dsn))
    done = loaded.run("verify")
    assert done.returncode == 1
    assert "main:3: payload hash" in done.stdout
    asyncio.run(flip_a_byte(dsn))
    assert asyncio.run(run_verify(Addresses(**loaded.addresses()), SharedSettings(), "main")).ok


async def flip_a_byte(dsn: str) -> None:
    """Change one byte of the third event's payload, as only a superuser can; twice changes nothing."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("set session_replication_role = replica")
        await connection.execute(
            "update turnlog.events set payload = set_byte(payload, 20, get_byte(payload, 20) # 1)"
            " where log = 'main' and position = 3"
        )
    finally:
        await connection.close()
