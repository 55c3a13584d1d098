"""`turnlog doctor` and `turnlog config` on a real system that is broken in one way after the other."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from redis import Redis

from system import System, environment, turnlog, until
from turnlog_bus import Bus, StreamName
from turnlog_cli.doctor import examine
from turnlog_runtime.settings import SharedSettings, read

LONGEST_S = 45.0
"""How long doctor may take where a server is paused, on a machine that is busy with other tests."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    running = System(tmp_path_factory.mktemp("doctor") / "data").start()
    with running.client() as client:
        for number in range(5):
            client.store("s", "user", f"turn {number}")
    well(running)
    yield running
    running.stop()


def examined(system: System) -> list[dict[str, Any]]:
    """What doctor finds, in a thread of its own as tests may have a loop of their own."""
    settings = read(SharedSettings, {"TURNLOG_AUTH": "off"}).settings
    assert settings is not None
    with ThreadPoolExecutor(1) as thread:
        return [f.as_fact() for f in thread.submit(examine, settings, system.folder, None, None).result()]


def wrong(system: System) -> dict[str, dict[str, Any]]:
    """What is bad, by subject."""
    found = {finding["subject"]: finding for finding in examined(system) if finding["state"] == "bad"}
    for finding in found.values():
        assert finding["means"].endswith(".")
        assert finding["advice"]
        assert finding["read"].startswith("docs/operate.md#")
    return found


def well(system: System) -> None:
    deadline = time.monotonic() + 90
    while found := wrong(system):
        assert time.monotonic() < deadline, found


@contextmanager
def paused(*processes: psutil.Process) -> Iterator[None]:
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


async def owner(system: System, *statements: str) -> None:
    connection = await asyncpg.connect(system.addresses()["database_owner_url"])
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def redis_of(system: System) -> "Redis":
    return Redis.from_url(system.addresses()["redis_url"])


def test_a_paused_nats_is_told_in_time_and_nothing_else_is_wrong(system: System) -> None:
    with paused(system.find("nats-server")):
        began = time.monotonic()
        found = wrong(system)
        assert time.monotonic() - began < LONGEST_S
        assert system.run("doctor").returncode == 1
    assert {*found} == {"NATS"}
    assert "Writes and reads go on." in found["NATS"]["means"]
    well(system)


def test_a_paused_valkey_is_told_in_time_and_nothing_else_is_wrong(system: System) -> None:
    with paused(system.find("valkey-server")):
        began = time.monotonic()
        found = wrong(system)
        assert time.monotonic() - began < LONGEST_S
    assert {*found} == {"Redis"}
    assert "PostgreSQL answers every read, slower" in found["Redis"]["means"]
    well(system)


def test_a_paused_postgres_is_told_in_time(system: System) -> None:
    server = psutil.Process(int((system.folder / "postgres" / "postmaster.pid").read_text().split()[0]))
    with paused(server, *server.children(recursive=True)):
        began = time.monotonic()
        found = wrong(system)
        assert time.monotonic() - began < LONGEST_S
    assert "503" in found["PostgreSQL"]["means"]
    well(system)


def test_servers_that_swallow_everything_are_told_in_time(tmp_path: Path) -> None:
    with ExitStack() as stack:
        ports = []
        for _ in range(4):
            silent = stack.enter_context(socket.socket())
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            ports.append(silent.getsockname()[1])
        given = {
            "DATABASE_URL": f"postgresql://u:hunter2@127.0.0.1:{ports[0]}/x",
            "NATS_URL": f"nats://u:hunter2@127.0.0.1:{ports[1]}",
            "REDIS_URL": f"redis://:hunter2@127.0.0.1:{ports[2]}",
        }
        began = time.monotonic()
        words = ("doctor", "--json", "--data-dir", str(tmp_path), "--url", f"http://127.0.0.1:{ports[3]}")
        done = turnlog(*words, env=environment(**given))
        assert time.monotonic() - began < LONGEST_S
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {f["subject"] for f in found if f["state"] == "bad"} == {"API", "PostgreSQL", "NATS", "Redis"}
    assert (done.returncode, "hunter2" in done.stdout + done.stderr) == (1, False)


async def test_settings_of_postgres_that_lose_turns_are_told(system: System) -> None:
    await owner(system, "alter system set fsync = off", "select pg_reload_conf()")
    try:
        found = until(lambda: wrong(system), "fsync=off is told")
        assert "fsync=off" in found["PostgreSQL"]["text"]
        assert "alter system set fsync = on" in found["PostgreSQL"]["advice"]
    finally:
        await owner(system, "alter system reset fsync", "select pg_reload_conf()")
    well(system)


async def test_a_database_that_takes_no_writes_is_told(system: System) -> None:
    await owner(system, "alter system set default_transaction_read_only = on", "select pg_reload_conf()")
    try:
        assert "read_only is on" in until(lambda: wrong(system), "told")["PostgreSQL"]["text"]
    finally:
        undo = ("set default_transaction_read_only = off", "alter system reset default_transaction_read_only")
        await owner(system, *undo, "select pg_reload_conf()")
    well(system)


def test_a_redis_that_evicts_what_it_likes_is_told(system: System) -> None:
    with redis_of(system) as redis:
        redis.config_set("maxmemory", "1gb")
        redis.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert "maxmemory-policy is allkeys-lru" in wrong(system)["Redis"]["text"]
        finally:
            redis.config_set("maxmemory-policy", "noeviction")
            redis.config_set("maxmemory", "0")
    well(system)


def test_a_compressor_and_a_projector_that_stand_still_are_told(system: System) -> None:
    with paused(system.find("turnlog_compressor"), system.find("turnlog_projector")):
        with system.client() as client:
            until(lambda: client.store("s", "user", "one more") and "read models" in wrong(system), "told")
        found = until(lambda: (f := wrong(system)).get("leaders") and f, "nobody leads")
        assert found["leaders"]["text"].startswith("main: nobody is the ")
        assert "does not move" in found["read models"]["text"]
        assert found["read models"]["lag"] >= 1
    well(system)


def test_a_wiped_redis_is_noticed_and_heals(system: System) -> None:
    with paused(system.find("turnlog_projector")), redis_of(system) as redis:
        redis.flushall()
        (models,) = [finding for finding in examined(system) if finding["subject"] == "read models"]
        assert models["state"] in ("note", "bad")
        assert "PostgreSQL" in models["means"]
    well(system)


async def test_a_fenced_log_is_told_with_the_way_out(system: System) -> None:
    turned = next(finding for finding in examined(system) if finding["subject"] == "log")
    bus = Bus(system.addresses()["nats_url"])
    name = StreamName("main", turned["incarnation"])
    client = await bus.client()
    await client.jetstream().delete_stream(name.stream)
    with paused(system.find("turnlog_cli.api")):
        await bus.ensure_stream(name, turned["position"] + 50)
        found = wrong(system)
    await bus.close()
    assert found["stream"]["fenced"] is True
    assert "`turnlog logs accept main`" in found["stream"]["advice"]
    assert system.run("logs", "accept", "main", "--yes").returncode == 0
    well(system)


def test_words_fit_a_pipe_and_a_wrong_setting_is_told(system: System) -> None:
    told = system.run("doctor").stdout
    assert "all is well" in told or "nothing needs somebody" in told
    done = turnlog("config", env={"TURNLOG_PORT": "x", "TURNLOG_MODEL_PROVIDER": "openai", "PATH": "/usr/bin:/bin"})
    assert (done.returncode, done.stdout) == (2, "")
    assert "2 settings are wrong:" in done.stderr
    assert "TURNLOG_MODEL_NAME is not set" in done.stderr


def test_config_shows_what_counts_and_where_it_came_from(system: System, tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql://app:hunter2@db/turnlog\n")
    given = {"DATABASE_URL_FILE": str(secret), "TURNLOG_PORT": "9000", "TURNLOG_API_KEY": "tl_hunter2", "PATH": "/bin"}
    done = turnlog("config", "--json", "--data-dir", str(tmp_path), env=given)
    assert done.returncode == 0, done.stderr
    rows = {row["variable"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert rows["TURNLOG_DATABASE_URL"]["value"] == "postgresql://app:********@db/turnlog"
    assert rows["TURNLOG_DATABASE_URL"]["origin"] == f"file {secret} (DATABASE_URL_FILE)"
    assert (rows["TURNLOG_PORT"]["value"], rows["TURNLOG_PORT"]["origin"]) == ("9000", "environment")
    assert rows["TURNLOG_DATA_DIR"]["origin"] == "command line"
    assert (rows["TURNLOG_HOST"]["origin"], rows["TURNLOG_HOST"]["changed"]) == ("default", False)
    assert rows["TURNLOG_API_KEY"]["value"] == "********"
    changed = turnlog("config", "--changed", env=given).stdout
    assert ("TURNLOG_PORT = 9000" in changed, "TURNLOG_HOST" in changed) == (True, False)
    assert "hunter2" not in done.stdout + changed
    of_up = system.run("config", "--service", "query").stdout
    assert f"turnlog up in {system.folder}" in of_up
    assert "TURNLOG_MODEL_NAME" not in of_up
