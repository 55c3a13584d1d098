"""MCP for the tests: the endpoint beside the API on the servers under test, at a real port, and requests by hand."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from turnlog_bus import Bus
from turnlog_cli.compose import OneApi, WithMcp
from turnlog_eventstore import Store
from turnlog_ingest.service import ingest
from turnlog_mcp.api import HttpApi
from turnlog_mcp.server import memory_server
from turnlog_mcp.service import api_of, mcp
from turnlog_query.service import query
from turnlog_runtime.lifecycle import serving
from turnlog_runtime.principal import Gate, open_gate
from turnlog_runtime.settings import IngestSettings, McpSettings, QuerySettings

T = TypeVar("T")
MODERN, HANDSHAKE = "2026-07-28", "2025-11-25"
_META = "io.modelcontextprotocol"


@dataclass(frozen=True)
class Endpoint:
    """A served API with MCP."""

    url: str
    http: httpx.AsyncClient

    async def ask(
        self, message: Any, headers: dict[str, str | None] | None = None, path: str = "/mcp", method: str = "POST"
    ) -> httpx.Response:
        """Send one message by hand: with the headers that fit it, changed by those given (None: left out)."""
        sent = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
        sent |= fitting(message) if isinstance(message, dict) else {}
        for name, value in (headers or {}).items():
            sent.pop(name, None)
            sent |= {name: value} if value is not None else {}
        content = message if isinstance(message, bytes) else json.dumps(message).encode()
        return await self.http.request(method, path, content=content if method == "POST" else None, headers=sent)

    @asynccontextmanager
    async def client(self, mode: str, **headers: str) -> AsyncIterator[Client]:
        """The SDK's client, connected over HTTP."""
        http = httpx2.AsyncClient(headers=headers)
        async with http, Client(streamable_http_client(f"{self.url}/mcp", http_client=http), mode=mode) as client:
            yield client


def modern(method: str, version: str = MODERN, **params: Any) -> dict[str, Any]:
    """A request of the stateless protocol."""
    meta = {
        f"{_META}/protocolVersion": version,
        f"{_META}/clientCapabilities": {},
        f"{_META}/clientInfo": {"name": "tests", "version": "1"},
    }
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}


def handshake(method: str, **params: Any) -> dict[str, Any]:
    """A request of the protocol with a handshake."""
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    """A call of a tool."""
    return modern("tools/call", name=tool, arguments=arguments)


def fitting(message: dict[str, Any]) -> dict[str, str]:
    """The headers that say what the message says."""
    params = message.get("params", {})
    version = params.get("_meta", {}).get(f"{_META}/protocolVersion")
    if version is None:
        return {"mcp-protocol-version": HANDSHAKE}
    named = params.get("name") or params.get("uri")
    return {"mcp-protocol-version": version, "mcp-method": message["method"]} | ({"mcp-name": named} if named else {})


@asynccontextmanager
async def in_process(url: str, mode: str, answer_max_chars: int) -> AsyncIterator[Client]:
    """The SDK's client, connected to a server in this process that calls the API at an address."""
    api = HttpApi(url, httpx.AsyncHTTPTransport(), 10)
    try:
        async with Client(memory_server(api, answer_max_chars), mode=mode) as client:
            yield client
    finally:
        await api.close()


@asynccontextmanager
async def in_a_task(made: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """What a context manager gives, entered and left in one task: pytest leaves a fixture in another one."""
    ready, leave = asyncio.get_running_loop().create_future(), asyncio.Event()

    async def hold() -> None:
        async with made as found:
            ready.set_result(found)
            await leave.wait()

    holding = asyncio.create_task(hold())
    await asyncio.wait({holding, ready}, return_when=asyncio.FIRST_COMPLETED)
    if holding.done():
        holding.result()
    try:
        yield ready.result()
    finally:
        leave.set()
        await holding


@asynccontextmanager
async def served(
    dsn: str, nats_url: str, log: str, *, api_gate: Gate | None = None, mcp_gate: Gate | None = None, **more: Any
) -> AsyncIterator[Endpoint]:
    """The write and the read API and MCP on one port, as `turnlog up` has them; `more` are settings."""
    settings = {"log": log, "logs": log, **more}
    async with AsyncExitStack() as stack:
        stores = [await Store.open(dsn) for _ in range(2)]
        for store in stores:
            stack.push_async_callback(store.close)
        bus = Bus(nats_url)
        stack.push_async_callback(bus.close)
        stop = asyncio.Event()
        writes = await stack.enter_async_context(ingest(stores[0], bus, IngestSettings(**settings), stop, api_gate))
        reads = await stack.enter_async_context(query(stores[1], None, QuerySettings(**settings), stop, api_gate))
        api, speaking = OneApi(writes, reads, api_gate or open_gate), McpSettings(**settings)
        tools = await stack.enter_async_context(mcp(api_of(speaking, api), speaking, mcp_gate))
        both = WithMcp(api)
        both.add(tools)
        port = await stack.enter_async_context(serving(both, "127.0.0.1", 0, 2))
        url = f"http://127.0.0.1:{port}"
        yield Endpoint(url, await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False)))
