"""`python -m turnlog_mcp`: its health, what it says when the API is away or slow, and its end."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from speaking import MODERN, Endpoint, call, modern, served
from system import environment

DEADLINE_S = 20.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def start(env: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "turnlog_mcp"], env=env, stderr=subprocess.PIPE)


@asynccontextmanager
async def process(api_url: str, **settings: str) -> AsyncIterator[tuple[Endpoint, "subprocess.Popen[bytes]"]]:
    """The process, serving."""
    port = free_port()
    more = environment(TURNLOG_MCP_API_URL=api_url, TURNLOG_PORT=str(port), **settings)
    started = await asyncio.to_thread(start, more)
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=DEADLINE_S) as http:
            deadline = time.monotonic() + DEADLINE_S
            while True:
                try:
                    await http.get("/livez")
                    break
                except httpx.TransportError:
                    assert started.poll() is None
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.02)
            yield Endpoint(url, http), started
    finally:
        started.kill()
        started.communicate()


async def test_it_speaks_for_the_api_and_leaves_in_order(servers: Any, log_name: str, session_id: str) -> None:
    async with (
        served(servers.dsn, servers.nats_url, log_name) as api,
        process(api.url, TURNLOG_MCP_ALLOWED_HOSTS="memory.example.com") as (endpoint, started),
    ):
        ready = await endpoint.http.get("/readyz")
        assert (ready.status_code, ready.json()["dependencies"]) == (503, {"api": "away"})  # nothing serves its health
        async with endpoint.client(MODERN) as client:
            await client.call_tool("store_memory", {"session_id": session_id, "message": "hello"})
        by_name = await endpoint.ask(modern("tools/list"), {"host": "memory.example.com"})
        assert by_name.status_code == 200
        started.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(started.wait, DEADLINE_S) == 0


def test_without_an_address_it_says_so() -> None:
    command = [sys.executable, "-m", "turnlog_mcp"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 1
    assert "TURNLOG_MCP_API_URL is not set" in done.stderr


@pytest.mark.parametrize(("slow", "known"), [(False, "nothing was stored"), (True, "unknown")])
async def test_an_api_that_is_away_or_silent_is_told_in_time(slow: bool, known: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))  # takes connections, and never answers
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    if not slow:
        listener.close()
    async with process(url, TURNLOG_MCP_CALL_S="0.6") as (endpoint, _):
        assert (await endpoint.http.get("/readyz")).status_code == 503
        began = time.monotonic()
        answer = await endpoint.ask(call("store_memory", agent_id="a", message="hello", turn_id="t-1"))
        read = await endpoint.ask(call("list_sessions"))
        listed = await endpoint.ask(modern("resources/list"))
        assert time.monotonic() - began < 3 * 0.6 + 1
        result = answer.json()["result"]
        assert result["isError"]
        assert known in result["content"][0]["text"]
        assert 'turn_id "t-1"' in result["content"][0]["text"]
        assert "call again" in read.json()["result"]["content"][0]["text"]
        assert listed.json()["error"]["code"] == -32603
        assert "127.0.0.1" not in answer.text + read.text + listed.text
    listener.close()
