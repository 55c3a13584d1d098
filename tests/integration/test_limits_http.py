"""Limits through real HTTP: a burst is 429 with what to do, another tenant does not notice, and loads stop in order."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from conftest import RealServers
from making import new_log
from rolling import Replica
from turnlog_events.ids import new_id

TURN = {"role": "user", "content": "My flight is on Friday."}
REQUESTS, TURNS, COMPRESSIONS = 40, 2_000, 3


@pytest.fixture(scope="module")
async def url(servers: RealServers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Ingest with small limits, the tenant taken from a header."""
    log = await new_log(servers.owner_dsn)
    folder: Path = tmp_path_factory.mktemp("limits-http")
    environment = {
        "TURNLOG_DATABASE_URL": servers.dsn,
        "TURNLOG_NATS_URL": servers.nats_url,
        "TURNLOG_REDIS_URL": servers.redis_url,
        "TURNLOG_LOG": log,
        "TURNLOG_LOGS": log,
        "TURNLOG_TENANT_HEADER": "x-tenant",
        "TURNLOG_LIMIT_KEY_REQUESTS_PER_MINUTE": str(REQUESTS),
        "TURNLOG_LIMIT_TENANT_TURNS_PER_MINUTE": str(TURNS),
        "TURNLOG_LIMIT_TENANT_COMPRESSIONS_PER_HOUR": str(COMPRESSIONS),
        "TURNLOG_LIMIT_REDIS_DEADLINE_S": "1",
    }
    replica = await Replica("turnlog_ingest", environment, folder / "ingest.log").start()
    yield replica.url
    await replica.kill()


class Tenant:
    """A fresh tenant's client."""

    def __init__(self, url: str) -> None:
        self.http = httpx.AsyncClient(base_url=url, headers={"x-tenant": f"t-{new_id()}"})

    async def store(self, count: int = 1) -> httpx.Response:
        body = TURN if count == 1 else {"turns": [TURN] * count}
        return await self.http.post("/v1/sessions/s/turns", json=body)

    async def load(self, lines: int) -> list[dict[str, object]]:
        content = "\n".join(json.dumps({"session_id": "s", **TURN}) for _ in range(lines))
        answer = await self.http.post("/v1/turns", content=content, timeout=30)
        return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture
async def noisy(url: str) -> AsyncIterator[Tenant]:
    tenant = Tenant(url)
    yield tenant
    await tenant.http.aclose()


@pytest.fixture
async def quiet(url: str) -> AsyncIterator[Tenant]:
    tenant = Tenant(url)
    yield tenant
    await tenant.http.aclose()


async def test_a_burst_is_429_and_another_tenant_is_unaffected(noisy: Tenant, quiet: Tenant) -> None:
    burst = asyncio.gather(*(noisy.store() for _ in range(2 * REQUESTS)))
    calm = [await quiet.store() for _ in range(10)]
    answers = await burst
    assert {answer.status_code for answer in calm} == {201}
    stored = [answer for answer in answers if answer.status_code == 201]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(stored) + len(refused) == 2 * REQUESTS
    assert REQUESTS <= len(stored) <= REQUESTS + 2
    error = refused[0].json()["error"]
    assert refused[0].headers["content-type"] == "application/problem+json"
    assert (error["type"], error["code"]) == ("rate_limit", "rate_limited")
    assert f"{REQUESTS} requests a minute for each credential" in error["message"]
    assert 1 <= int(refused[0].headers["retry-after"]) <= 120
    assert refused[0].headers["request-id"]


async def test_every_answer_says_what_is_allowed_and_about_what_is_left(noisy: Tenant) -> None:
    answer = await noisy.store(3)
    assert answer.headers["ratelimit-policy"] == (
        f'"requests-key";q={REQUESTS};w=60, "turns-tenant";q={TURNS};w=60;qu="turnlog-turns"'
    )
    requests, turns = answer.headers["ratelimit"].split(", ")
    assert requests.startswith(f'"requests-key";r={REQUESTS - 1};t=')
    assert turns.startswith(f'"turns-tenant";r={TURNS - 3};t=')
    wrong = await noisy.http.post("/v1/sessions/s/turns", json={"role": "nobody"})
    assert wrong.status_code == 422
    assert wrong.headers["ratelimit"].startswith('"requests-key";r=')


async def test_turns_cost_what_they_are_and_a_refused_request_stores_nothing(noisy: Tenant) -> None:
    answers = [await noisy.store(700) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [201, 201, 429, 429]
    assert "turns a minute for each tenant" in answers[-1].json()["error"]["message"]
    assert (await noisy.store(300)).status_code == 201


async def test_a_load_stops_at_the_window_that_a_limit_refuses(noisy: Tenant) -> None:
    results = await noisy.load(3_500)
    assert [line["line"] for line in results] == list(range(1, 3_501))
    assert {line["status"] for line in results[:TURNS]} == {"stored"}
    codes = [line["error"]["code"] for line in results[TURNS:]]  # type: ignore[index]
    assert codes == ["rate_limited"] + ["not_tried"] * 1_499
    assert "try again in" in results[TURNS]["error"]["message"]  # type: ignore[index]


async def test_a_storm_of_compressions_is_capped(noisy: Tenant, quiet: Tenant) -> None:
    for tenant in (noisy, quiet):
        assert (await tenant.store()).status_code == 201
    storm = await asyncio.gather(*(noisy.http.post("/v1/sessions/s/compress") for _ in range(20)))
    statuses = [answer.status_code for answer in storm]
    assert COMPRESSIONS <= statuses.count(202) <= COMPRESSIONS + 2
    refused = next(answer for answer in storm if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) > 60
    assert "compressions an hour" in refused.json()["error"]["message"]
    assert (await quiet.http.post("/v1/sessions/s/compress")).status_code == 202
