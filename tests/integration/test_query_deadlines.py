"""Reads while PostgreSQL is paused: what Redis has is answered at once, everything else within the deadline."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from projecting import append
from querying import Api, client_of, fresh, hubs, in_background, problem_in, redis_api, said, summarised, until
from turnlog_eventstore import Store, StoreSettings, TenantLogs
from turnlog_query import Limits, QueryDeps, create_app
from turnlog_runtime.health import Check, Health
from turnlog_runtime.tenants import tenant_header_gate

LIMITS = Limits(read_s=1.0, confirm_s=0.2, older_s=0.5, watch_s=0.05, look_s=0.3)
SLACK_S = 0.5


@asynccontextmanager
async def half_open(store_settings: StoreSettings = StoreSettings(deadline_s=1.5)) -> AsyncIterator[Store]:
    """A store on a server that takes connections and never says a word."""
    writers: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.read()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    store = await Store.open(f"postgresql://turnlog@127.0.0.1:{port}/turnlog?sslmode=disable", store_settings)
    try:
        yield store
    finally:
        await store.close()
        for writer in writers:
            writer.close()
        server.close()


@pytest.fixture
async def redis(store: Store, redis_url: str, log_name: str) -> AsyncIterator[Api]:
    async with redis_api(store, redis_url, log_name, window_turns=5) as api:
        yield api


@asynccontextmanager
async def paused(redis: Api) -> AsyncIterator[httpx.AsyncClient]:
    """The read API with the read models of `redis` and a PostgreSQL that does not answer."""
    async with half_open() as store:
        deps = QueryDeps(store, redis.deps.views, hubs(store), redis.log, LIMITS)
        async with client_of(create_app(deps)) as client:
            yield client


async def timed(client: httpx.AsyncClient, path: str, **post: Any) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    response = await (client.post(path, json=post) if post else client.get(path))
    return response, time.monotonic() - began


async def test_what_redis_can_answer_does_not_wait_for_a_paused_postgres(redis: Api) -> None:
    s, agent = fresh(), fresh("agent")
    await redis.add(said(s, agent_id=agent), said(s, agent_id=agent), summarised(s, 1, 1))
    async with paused(redis) as client:
        for path in ("", "/turns", "/turns?min_version=2", "/turns?min_version=2&wait_ms=900", "/summary", "/context"):
            response, took_s = await timed(client, f"/v1/sessions/{s}{path}")
            assert response.status_code == 200, response.text
            assert took_s < LIMITS.confirm_s + 0.2, path
        response, took_s = await timed(client, "/tools/get_recent_turns", agent_id=agent, session_id=s)
        assert response.status_code == 200, response.text
        assert took_s < LIMITS.confirm_s + 0.2


async def test_the_head_of_a_session_does_not_ask_a_postgres_that_is_known_to_be_away(redis: Api) -> None:
    s = fresh()
    await redis.add(said(s))

    class Unasked:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    store: Any = Unasked()
    deps = QueryDeps(store, redis.deps.views, hubs(store), redis.log, LIMITS)
    deps.watch.away = True
    async with client_of(create_app(deps)) as client:
        head = (await client.get(f"/v1/sessions/{s}")).json()
    assert head["read_model"]["stored_version"] is None
    assert head["stale"] is True


async def test_a_context_whose_older_turns_postgres_holds_back_is_made_of_what_redis_has(redis: Api) -> None:
    s = fresh()
    await redis.add(*(said(s, f"turn {n}") for n in range(1, 11)))
    async with paused(redis) as client:
        response, took_s = await timed(client, f"/v1/sessions/{s}/context")
    assert response.json()["left_out"] == {"from_version": 1, "to_version": 5}
    assert response.json()["stale"] is True
    assert took_s < LIMITS.read_s


@pytest.mark.parametrize("path", ["", "/turns", "/turns?min_version=1&wait_ms=0", "/summary", "/context", "/events"])
async def test_what_only_a_paused_postgres_has_is_refused_at_the_deadline(redis: Api, path: str) -> None:
    async with paused(redis) as client:
        response, took_s = await timed(client, f"/v1/sessions/{fresh()}{path}")
    assert problem_in(response, 503) == ("deadline_exceeded", None)
    assert response.headers["retry-after"] == "1"
    assert LIMITS.read_s <= took_s < LIMITS.read_s + SLACK_S


async def test_the_wait_asked_for_comes_on_top_of_the_deadline(redis: Api) -> None:
    s = fresh()
    await redis.add(said(s))
    async with paused(redis) as client:
        response, took_s = await timed(client, f"/v1/sessions/{s}/turns?min_version=2&wait_ms=600")
    assert response.status_code == 503
    assert LIMITS.read_s + 0.6 <= took_s < LIMITS.read_s + 0.6 + SLACK_S


async def test_a_version_that_redis_gets_meanwhile_is_answered_though_postgres_is_paused(redis: Api) -> None:
    s = fresh()
    await redis.add(said(s))
    async with paused(redis) as client:
        waiting = asyncio.create_task(timed(client, f"/v1/sessions/{s}/turns?min_version=2&wait_ms=5000"))
        await asyncio.sleep(0.05)
        await append(redis.store, redis.log, [said(s)])
        response, took_s = await waiting
    assert (response.json()["version"], response.json()["source"]) == (2, "redis")
    assert took_s < 2.0


async def test_a_version_never_stored_is_said_at_once_while_redis_is_waited_for(redis: Api) -> None:
    s = fresh()
    await redis.add(said(s))
    response, took_s = await timed(redis.client, f"/v1/sessions/{s}/turns?min_version=9&wait_ms=5000")
    assert problem_in(response, 409) == ("version_not_reached", "min_version")
    assert took_s < 2.0


async def test_the_watch_notices_a_half_open_postgres_within_its_own_bound(redis: Api) -> None:
    async with half_open() as store:
        deps = QueryDeps(store, redis.deps.views, hubs(store), redis.log, LIMITS)
        began = time.monotonic()
        async with in_background(deps):
            await until(lambda: deps.watch.away)
        assert time.monotonic() - began < LIMITS.watch_s + LIMITS.look_s + SLACK_S


async def test_the_watch_tells_the_read_models_of_every_log_served_before_it_calls_postgres_back(
    store: Store, redis: Api
) -> None:
    seen: list[tuple[str, str, bool]] = []

    class Views:
        def saw(self, log: str, incarnation: str, epoch: str) -> None:
            seen.append((log, epoch, deps.watch.away))

    views: Any = Views()
    deps = QueryDeps(store, views, hubs(store), redis.log, LIMITS)
    deps.watch.serve("main")
    deps.watch.away = True
    await deps.watch.look()
    epoch = (await store.head("main")).epoch
    assert seen == [(redis.log, epoch, True), ("main", epoch, True)]
    assert not deps.watch.away


async def test_the_read_models_of_a_log_that_postgres_does_not_know_any_more_are_forgotten(
    store: Store, redis: Api
) -> None:
    """A backup from before the log began was restored."""
    forgotten: list[str] = []

    class Views:
        def forget(self, log: str) -> None:
            forgotten.append(log)

    views: Any = Views()
    deps = QueryDeps(store, views, hubs(store), "never-began", LIMITS)
    await deps.watch.look()
    assert forgotten == ["never-began"]
    assert not deps.watch.away


async def test_readiness_is_said_within_its_bound_while_a_dependency_is_half_open() -> None:
    async with half_open() as store:

        async def stubborn() -> None:
            while True:
                try:
                    await asyncio.sleep(3)
                    return
                except asyncio.CancelledError:
                    continue  # as nats-py does

        checks = {"postgres": Check(lambda: store.head("main")), "nats": Check(stubborn, needed=False)}
        leaving = asyncio.Event()
        health = Health(create_app(QueryDeps(store, None, hubs(store))), checks, leaving)
        async with client_of(health) as client:
            response, took_s = await timed(client, "/readyz")
            assert (response.status_code, response.json()["dependencies"]) == (
                503,
                {"postgres": "away", "nats": "away"},
            )
            assert took_s < 1.5
            leaving.set()
            response, took_s = await timed(client, "/readyz")
            assert (response.status_code, response.json()["status"]) == (503, "draining")
            assert took_s < 0.2
            await asyncio.sleep(2)  # the stubborn one ends by itself


async def test_tenants_are_read_in_their_own_logs(store: Store, redis: Api) -> None:
    class Assigned(TenantLogs):
        def known(self, tenant: str) -> str | None:
            return {"here": redis.log, "elsewhere": "another"}.get(tenant)

    deps = QueryDeps(store, redis.deps.views, hubs(store), "main", LIMITS, Assigned(store, "main"))
    async with client_of(create_app(deps, tenant_header_gate("x-tenant"))) as client:
        for tenant, log, status in (("here", redis.log, 200), ("elsewhere", redis.log, 404), ("here", "main", 404)):
            response = await client.get(f"/v1/logs/{log}/events", headers={"x-tenant": tenant})
            assert response.status_code == status, (tenant, log)
    assert (await deps.reading("here")) is deps.known_reading("here")
    assert deps.known_reading("elsewhere") is not deps.known_reading("here")
