"""MCP and the life of its process: requests that come before it is loaded, and those under way when it leaves."""

import asyncio
import json
from typing import Any

import httpx

from speaking import call, fitting, in_a_task, served
from turnlog_cli.compose import WithMcp
from turnlog_runtime.asgi import App, Receive, Scope, Send, respond

DEADLINE_S = 10.0


async def test_requests_wait_until_mcp_is_there_and_those_of_the_api_do_not() -> None:
    async def api(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, b"api")

    async def mcp(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, b"mcp")

    both = WithMcp(api)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(both), base_url="http://t") as http:
        asking = asyncio.create_task(http.post("/mcp"))
        assert (await http.get("/v1/sessions")).content == b"api"
        assert not asking.done()
        both.add(mcp)
        async with asyncio.timeout(DEADLINE_S):
            assert (await asking).content == b"mcp"
        assert (await http.post("/mcp/")).content == b"mcp"


async def test_a_request_that_waited_too_long_for_mcp_is_told_to_come_again() -> None:
    async def api(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, b"api")

    both = WithMcp(api, wait_s=0.05)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(both), base_url="http://t") as http:
        answer = await http.post("/mcp")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"]["code"] == "starting"


async def test_a_request_under_way_still_reaches_the_api_when_nothing_listens_any_more(
    servers: Any, log_name: str, session_id: str
) -> None:
    reached, release = asyncio.Event(), asyncio.Event()

    def slow(app: App) -> App:
        async def held(scope: Scope, receive: Receive, send: Send) -> None:
            reached.set()
            await release.wait()
            await app(scope, receive, send)

        return held

    message = call("store_memory", session_id=session_id, message="kept")
    headers = {**fitting(message), "accept": "application/json", "content-type": "application/json"}
    async with asyncio.timeout(DEADLINE_S), httpx.AsyncClient(trust_env=False) as http:
        async with in_a_task(served(servers.dsn, servers.nats_url, log_name, api_gate=slow)) as endpoint:
            url = f"{endpoint.url}/mcp"
            asking = asyncio.create_task(http.post(url, content=json.dumps(message), headers=headers))
            await reached.wait()
            watching = asyncio.create_task(until_nothing_listens(int(endpoint.url.rpartition(":")[2]), release))
        await watching
        answer = (await asking).json()
    assert answer["result"]["structuredContent"]["version"] == 1


async def until_nothing_listens(port: int, then: asyncio.Event) -> None:
    """Set the event once the port is closed."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            then.set()
            return
        writer.close()
        await asyncio.sleep(0.02)
