"""Each hot query uses its index, without a sort or a sequential scan, on an empty table and on a filled one: as the
role that asks it, so behind the policies of row-level security."""

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from making import request, turn
from turnlog_eventstore import Store
from turnlog_eventstore.as_tenant import Sight, of_tenant, of_tenant_in_log
from turnlog_eventstore.statements import statement
from turnlog_migrations import migrate

FOLLOWERS = ("read_after", "head", "standings")
HOT: dict[str, tuple[tuple[Any, ...], str]] = {
    "read_after": (("main", 10, 100), "events_pkey"),
    "audit_tenant": (("t", "main", 10, 100), "events_by_tenant"),
    "turns_newest": (("t", "s", 0, 2**62, 20, None), "events_by_version"),
    "turns_oldest": (("t", "s", 0, 2**62, 20, None), "events_by_version"),
    "session_version": (("t", "s"), "events_by_version"),
    "marks": (("t", "s"), "events_marks"),
    "task_events": (("t", "task"), "events_by_task"),
    "head": (("main",), "events_pkey"),
    "standings": ((["main", "eu"], [10, -1]), "events_pkey"),
    "sessions_newest": (("t", 100, 20), "sessions_newest"),
    "sessions_of_agent": (("t", 100, 20, "a", None), "session_agents_newest"),
    "sessions_of_user": (("t", 100, 20, "u"), "session_users_newest"),
    "session": (("t", "s"), "sessions_pkey"),
    "tenant_log": (("t",), "tenants_pkey"),
    "members": (("t", "s"), "session_agents_pkey"),
    "agent_seen": (("t", "a"), "session_agents_newest"),
    "task_started": (("t", "task"), "task_runs_pkey"),
}
SMALL = ("session", "head", "tenant_log", "agent_seen", "task_started", "members")
"""Queries of tables that are so small here that reading them whole would be right."""


def sight_of(name: str) -> Sight | None:
    """As whom the store asks this."""
    if name in FOLLOWERS:
        return None
    return of_tenant_in_log("t", "main") if name == "audit_tenant" else of_tenant("t")


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(n for child in plan.get("Plans", ()) for n in nodes(child))]


@pytest.fixture(scope="module", params=["empty", "filled"])
async def planner(request: pytest.FixtureRequest, servers: Any) -> AsyncIterator[Any]:
    """A database of its own: plans follow the statistics, and in a shared one those follow what ran before."""
    name = f"turnlog_plans_{uuid.uuid4().hex[:8]}"
    owner = await asyncpg.connect(servers.owner_dsn)
    await owner.execute(f"create database {name}")
    await migrate(of_database(servers.owner_dsn, name))
    connection = await asyncpg.connect(of_database(servers.owner_dsn, name))
    if request.param == "filled":
        await fill(of_database(servers.dsn, name))
        await connection.execute("analyze turnlog.events, turnlog.sessions, turnlog.session_agents")
    await connection.execute("set plan_cache_mode = force_generic_plan")
    yield connection
    await connection.close()
    await owner.execute(f"drop database {name} with (force)")
    await owner.close()


def of_database(dsn: str, name: str) -> str:
    """The address of another database on the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def fill(dsn: str) -> None:
    store = await Store.open(dsn)
    for start in range(0, 6000, 500):
        turns = [
            turn("t", f"s{n % 300}", agent_id=f"a{n % 7}", user_id=f"u{n % 11}") for n in range(start, start + 500)
        ]
        await store.append("main", [request(t) for t in turns])
    await store.close()


@pytest.mark.parametrize("name", HOT)
async def test_hot_query_uses_its_index(planner: Any, name: str) -> None:
    arguments, index = HOT[name]
    await planner.execute("set enable_seqscan = off" if name in SMALL else "reset enable_seqscan")
    sight = sight_of(name)
    await planner.execute(sight.opening() if sight is not None else "begin; set local role turnlog_app")
    prepared = await planner.prepare(statement(name))
    plan = (await prepared.explain(*arguments))[0]["Plan"]
    await planner.execute("rollback")
    found = nodes(plan)
    used = {n.get("Index Name") for n in found}
    kinds = {n["Node Type"] for n in found}
    assert index in used, json.dumps(plan, indent=1)
    assert "Sort" not in kinds or name == "members", json.dumps(plan, indent=1)
    assert not any(n["Node Type"] == "Seq Scan" and n["Relation Name"] == "events" for n in found), plan


async def test_the_appends_look_for_tenants_of_other_logs_is_an_index_scan(planner: Any) -> None:
    await planner.execute("set enable_seqscan = off")  # as the function sets it
    look = "select exists (select from turnlog.tenants t where t.tenant = any ($1::text[]) and t.log <> $2::text)"
    plan = (await (await planner.prepare(look)).explain(["t", "u"], "main"))[0]["Plan"]
    assert [n.get("Index Name") for n in nodes(plan) if "Relation Name" in n] == ["tenants_pkey"], plan
