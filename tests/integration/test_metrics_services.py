"""Each service's own /metrics, as a process by itself: without a shared folder."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from conftest import RealServers
from making import new_log
from rolling import Replica, free_port
from scraping import Scrape

TURNS = "/v1/sessions/{session_id}/turns"


async def scraped(url: str) -> Scrape:
    async with httpx.AsyncClient(timeout=20) as http:
        answer = await http.get(f"{url}/metrics")
    assert answer.status_code == 200
    return Scrape(answer.text)


async def until_shown(url: str, name: str, value: float, **labels: str) -> Scrape:
    """Wait until a sample is there with this value."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(httpx.HTTPError):
                found = await scraped(url)
                if [sample.value for sample in found.all(name, **labels)] == [value]:
                    return found
            await asyncio.sleep(0.1)


@asynccontextmanager
async def running(
    servers: RealServers, folder: Path, name: str, log: str, port: int | None = None, **more: str
) -> AsyncIterator[Replica]:
    """A service; `port` is where its readiness is asked for, when that is not its own."""
    environment = {
        "TURNLOG_DATABASE_URL": servers.dsn,
        "TURNLOG_NATS_URL": servers.nats_url,
        "TURNLOG_REDIS_URL": servers.redis_url,
        "TURNLOG_LOG": log,
        "TURNLOG_LOGS": log,
    }
    words = folder / f"{uuid.uuid4().hex}.log"
    replica = Replica(f"turnlog_{name}", environment | more, words, port or free_port())
    try:
        yield await replica.start()
    finally:
        await replica.kill()


@pytest.fixture
async def log(servers: RealServers) -> str:
    return await new_log(servers.owner_dsn)


async def test_ingest_and_query_count_their_own_requests(servers: RealServers, tmp_path: Path, log: str) -> None:
    async with (
        running(servers, tmp_path, "ingest", log) as ingest,
        running(servers, tmp_path, "query", log) as query,
        httpx.AsyncClient(timeout=20) as http,
    ):
        path, body = f"/v1/sessions/s-{log}/turns", {"role": "user", "content": "hello", "turn_id": "t"}
        for _ in range(2):
            assert (await http.post(ingest.url + path, json=body)).status_code == 201
        for _ in range(3):
            assert (await http.get(query.url + path)).status_code == 200
        assert (await http.get(query.url + "/elsewhere")).status_code == 404
        found = await until_shown(ingest.url, "turnlog_relayed_events_total", 1)
        labels = {"service": "ingest", "method": "POST", "route": TURNS, "status": "201"}
        assert found.value("requests_total", **labels) == 2
        assert found.value("requests_latency_seconds_count", **labels) == 2
        assert found.value("memory_turns_stored_total", log=log) == 1
        assert found.value("memory_turns_duplicate_total", log=log) == 1
        assert found.value("turnlog_build_info", service="ingest") == 1
        assert found.value("turnlog_leader", log=log, role="relay") == 1
        assert found.value("turnlog_dependency_up", service="ingest", dependency="postgres") == 1
        assert found.value("process_resident_memory_bytes") > 0
        found = await scraped(query.url)
        assert found.value("requests_total", service="query", route=TURNS, status="200") == 3
        assert found.value("requests_total", service="query", route="unmatched", status="404") == 1
        assert found.value("memory_reads_total") == found.value("memory_read_fallbacks_total") == 3  # no projector here
        assert found.value("requests_in_progress", service="query") == 0
        assert not [s for s in found.samples if s.name.endswith("_created")]


@pytest.mark.parametrize("name", ["projector", "compressor"])
async def test_a_service_without_an_api_serves_its_metrics_on_their_port(
    servers: RealServers, tmp_path: Path, log: str, name: str
) -> None:
    port = free_port()
    async with running(servers, tmp_path, name, log, port, TURNLOG_METRICS_PORT=str(port)) as replica:
        found = await until_shown(replica.url, "turnlog_leader", 1, log=log, role=name)
        assert found.value("turnlog_build_info", service=name) == 1
        await until_shown(replica.url, "turnlog_follower_lag_events", 0, log=log, consumer=name)
        await until_shown(replica.url, f"{name}_lag_events", 0, log=log)
        assert found.value("turnlog_dependency_up", service=name, dependency="postgres") == 1


async def test_an_api_with_a_port_for_metrics_has_them_only_there_until_its_last_answer(
    servers: RealServers, tmp_path: Path, log: str
) -> None:
    port = free_port()
    more = {"TURNLOG_METRICS_PORT": str(port), "TURNLOG_DRAIN_S": "2"}
    async with (
        running(servers, tmp_path, "query", log, **more) as query,
        httpx.AsyncClient(timeout=20) as http,
    ):
        assert (await http.get(f"{query.url}/metrics")).status_code == 404
        assert (await http.get(f"{query.url}/livez")).status_code == 200
        await http.get(f"{query.url}/v1/sessions")
        url = f"http://127.0.0.1:{port}"
        assert (await scraped(url)).value("requests_total", service="query", route="/v1/sessions") == 1
        query.terminate()
        async with asyncio.timeout(10):
            while (await http.get(f"{url}/readyz")).status_code != 503:
                await asyncio.sleep(0.02)
        await http.get(f"{query.url}/v1/sessions")
        assert (await scraped(url)).value("requests_total", service="query", route="/v1/sessions") == 2
        assert await query.ended() == 0


async def test_the_mcp_service_counts_its_endpoint(servers: RealServers, tmp_path: Path, log: str) -> None:
    async with (
        running(servers, tmp_path, "query", log) as query,
        running(servers, tmp_path, "mcp", log, TURNLOG_MCP_API_URL=query.url) as mcp,
        httpx.AsyncClient(timeout=20) as http,
    ):
        ask = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}
        assert (await http.post(f"{mcp.url}/mcp", json=ask, headers=headers)).status_code == 200
        assert (await http.get(f"{mcp.url}/mcp", headers=headers)).status_code == 405
        found = await scraped(mcp.url)
        assert found.value("requests_total", service="mcp", method="POST", route="/mcp", status="200") == 1
        assert found.value("requests_total", service="mcp", method="GET", route="/mcp", status="405") == 1
        assert found.value("turnlog_dependency_up", service="mcp", dependency="api") == 1
