"""`turnlog logs` and `turnlog tenants` on real servers: what they print, and how they refuse."""

import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from making import request, turn
from system import environment
from turnlog_bus import Bus, StreamName
from turnlog_eventstore import Store

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(servers: Any) -> Run:
    addresses = {"TURNLOG_DATABASE_OWNER_URL": servers.owner_dsn, "NATS_URL": servers.nats_url}

    def command(*words: str, **more: str) -> "subprocess.CompletedProcess[str]":
        environ = environment(**{**addresses, **more})
        line = [sys.executable, "-m", "turnlog_cli", *words]
        return subprocess.run(line, capture_output=True, text=True, check=False, env=environ, timeout=60)

    return command


def facts(done: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_log_is_created_and_a_tenant_assigned_and_both_are_listed(run: Run, tenant: str) -> None:
    name = f"new-{uuid.uuid4().hex[:12]}"
    assert run("logs", "create", name).returncode == 0
    assert facts(run("tenants", "assign", tenant, name, "--json")) == [{"tenant": tenant, "log": name}]
    assert facts(run("tenants", "assign", tenant, name, "--json"))
    listed = {row["log"]: row for row in facts(run("logs", "list", "--json"))}
    assert (listed[name]["position"], listed[name]["tenants"], listed[name]["fenced"]) == (0, 1, False)
    assert name in run("tenants", "list").stdout
    assert [row["log"] for row in facts(run("tenants", "list", "--json")) if row["tenant"] == tenant] == [name]


async def test_refusals_say_what_to_do(run: Run, store: Store, log_name: str, tenant: str) -> None:
    await store.append(log_name, [request(turn(tenant, "s"))])
    for words, told in [
        (("logs", "create", log_name), "exists already"),
        (("logs", "create", "Bad Name"), "no name for a log"),
        (("tenants", "assign", tenant, log_name), "before its first write"),
        (("tenants", "assign", "new-tenant", "no-such-log"), "turnlog logs list"),
        (("tenants", "assign", "bad/tenant", log_name), "is no tenant"),
        (("logs", "accept", "no-such-log", "--yes"), "turnlog logs list"),
        (("logs", "accept", log_name), "--yes"),
    ]:
        done = run(*words)
        assert (done.returncode, told in done.stderr) == (2, True), (words, done.stderr)
        assert "Traceback" not in done.stderr
    away = run("logs", "list", TURNLOG_DATABASE_OWNER_URL="postgresql://nobody@127.0.0.1:1/none")
    assert (away.returncode, "cannot be reached" in away.stderr) == (2, True), away.stderr


async def test_a_fenced_log_is_shown_and_accepting_it_needs_a_yes(
    run: Run, store: Store, nats_url: str, log_name: str, tenant: str
) -> None:
    await store.append(log_name, [request(turn(tenant, "s"))])
    before = await store.head(log_name)
    bus = Bus(nats_url)
    await bus.ensure_stream(StreamName(log_name, before.incarnation), 50)
    await bus.close()
    (row,) = [row for row in facts(run("logs", "list", "--json")) if row["log"] == log_name]
    assert (row["stream_end"], row["fenced"]) == (49, True)
    assert "writes are refused" in run("logs", "list").stdout
    told = run("logs", "accept", log_name)
    assert "lost for good" in told.stderr.replace("\n", " ")
    assert (await store.head(log_name)).incarnation == before.incarnation
    (accepted,) = facts(run("logs", "accept", log_name, "--yes", "--json"))
    assert (await store.head(log_name)).incarnation == accepted["incarnation"] != before.incarnation
    (row,) = [row for row in facts(run("logs", "list", "--json")) if row["log"] == log_name]
    assert row["fenced"] is False
