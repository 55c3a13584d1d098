"""No byte of one tenant reaches another: two tenants do the same things under the same names, whatever they are, and
neither sees a mark of the other in anything that it can read."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from admitting import api, bearer, new_key
from conftest import RealServers
from making import new_log
from projecting import projector_of, running
from turnlog_access.key_format import MintedKey
from turnlog_eventstore import Store
from turnlog_runtime.principal import AUDIT, READ, WRITE

SESSIONS, AGENTS, USERS = ("s1", "s2", "~agent.a1"), ("a1", "a2"), ("u1",)


@dataclass(frozen=True)
class Pair:
    """The API, and a key of each of two tenants by the mark that stands in everything this tenant writes."""

    http: httpx.AsyncClient
    log: str
    keys: dict[str, MintedKey]


@pytest.fixture(scope="module")
async def pair(servers: RealServers) -> AsyncIterator[Pair]:
    log = await new_log(servers.owner_dsn)
    marks = [f"mark{uuid.uuid4().hex}" for _ in range(2)]
    keys = {mark: await new_key(servers.owner_dsn, f"tenant-{mark}", (WRITE, READ, AUDIT)) for mark in marks}
    async with AsyncExitStack() as stack:
        store = await Store.open(servers.dsn)
        stack.push_async_callback(store.close)
        await stack.enter_async_context(running(projector_of(store, servers.redis_url, log)))
        yield Pair(await stack.enter_async_context(api(servers, log)), log, keys)


sessions, agents = st.sampled_from(SESSIONS), st.sampled_from(AGENTS)
steps = st.one_of(
    st.tuples(st.just("store"), sessions, agents),
    st.tuples(st.just("tool"), sessions, agents),
    st.tuples(st.just("load"), sessions, agents),
    st.tuples(st.just("retract"), sessions, agents),
    st.tuples(st.just("compress"), sessions, agents),
)


async def do(pair: Pair, mark: str, step: tuple[str, str, str], number: int) -> set[str]:
    """One step of a tenant; the tasks that it began."""
    kind, session, agent = step
    shown = bearer(pair.keys[mark])
    turn = {"role": "user", "content": f"{mark} says {number}", "agent_id": agent, "user_id": "u1", "name": mark}
    turn |= {"metadata": {mark: mark}, "turn_id": f"t{number}"}
    path, answer = f"/v1/sessions/{session}", None
    if kind == "store":
        answer = await pair.http.post(f"{path}/turns", json=turn, headers=shown)
    elif kind == "tool":
        body = {"agent_id": agent, "message": f"{mark} tells {number}"}
        answer = await pair.http.post("/tools/store_memory", json=body, headers=shown)
    elif kind == "load":
        line = httpx.Request("POST", "http://x", json=turn | {"session_id": "s1"}).content
        answer = await pair.http.post("/v1/turns", content=line + b"\n", headers=shown)
    elif kind == "retract":
        params = {"from_version": 1, "to_version": 1, "reason": mark}
        answer = await pair.http.delete(f"{path}/turns", params=params, headers=shown)
    else:
        answer = await pair.http.post(f"{path}/compress", headers=shown)
        if answer.status_code == 202:
            return {answer.json()["task_id"]}
    assert answer.status_code in (200, 201, 404, 409, 422), answer.text
    return set()


def reads(log: str, tasks: set[str]) -> list[tuple[str, str, dict[str, Any] | None]]:
    """Every way to read."""
    found: list[tuple[str, str, dict[str, Any] | None]] = [
        ("GET", path, None)
        for session in SESSIONS
        for path in (
            f"/v1/sessions/{session}",
            *(f"/v1/sessions/{session}/{what}" for what in (
                "turns", "turns?limit=1000&after_version=0", "turns?agent_id=a1", "turns?before_version=9", "summary",
                "context?format=text", "context?format=openai&max_tokens=200", "context?format=anthropic")),
        )
    ]  # fmt: skip
    found += [("GET", f"/v1/sessions?{query}", None) for query in ("", "agent_id=a1", "user_id=u1", "limit=1")]
    found += [("GET", f"/v1/tasks/{task}", None) for task in tasks]
    found += [("GET", f"/v1/logs/{log}/events?limit=1000", None), ("GET", f"/v1/logs/{log}", None)]
    for tool in ("get_recent_turns", "get_compressed_memory"):
        found += [("POST", f"/tools/{tool}", {"agent_id": agent}) for agent in AGENTS]
        found += [("POST", f"/tools/{tool}", {"agent_id": "a1", "session_id": s}) for s in SESSIONS]
    return found


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
@given(st.lists(st.tuples(st.integers(0, 1), steps), min_size=1, max_size=12))
async def test_no_byte_of_one_tenant_reaches_another(
    pair: Pair, history: list[tuple[int, tuple[str, str, str]]]
) -> None:
    marks, tasks = list(pair.keys), set[str]()
    for number, (who, step) in enumerate(history):
        tasks |= await do(pair, marks[who], step, number)
    for mark, stranger in (marks, marks[::-1]):
        own, shown = 0, bearer(pair.keys[mark])
        asked = reads(pair.log, tasks)
        answers = await asyncio.gather(
            *(pair.http.request(method, path, json=body, headers=shown) for method, path, body in asked)
        )
        for (_, path, _), answer in zip(asked, answers, strict=True):
            assert answer.status_code in (200, 404), (path, answer.text)
            assert stranger not in answer.text, (path, answer.text)
            assert stranger not in str(answer.headers), path
            own += mark in answer.text
        assert own or not any(marks[who] == mark and step[0] in ("store", "tool") for who, step in history)
