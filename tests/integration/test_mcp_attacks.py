"""Hostile and broken MCP requests over real HTTP: what each is answered, and that nothing else happens."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from making import new_log
from speaking import HANDSHAKE, Endpoint, call, fitting, handshake, in_a_task, modern, served
from turnlog_mcp.api import HttpApi
from turnlog_mcp.app import create_app
from turnlog_mcp.door import Allowed
from turnlog_runtime.asgi import App, Receive, Scope, Send, header
from turnlog_runtime.principal import ANYBODY, Gate, identify
from turnlog_runtime.problems import Problem

TENANT = "x-tenant"
LIST = modern("tools/list")
TWICE = json.dumps(LIST).replace('"method": "tools/list"', '"method": "tools/call", "method": "tools/list"').encode()

CASES: list[tuple[str, Any, dict[str, str | None], int, int | str | None]] = [
    ("a good request", LIST, {}, 200, None),
    ("a good request before the handshake", handshake("tools/list"), {}, 200, None),
    ("the origin of a page elsewhere", LIST, {"origin": "https://evil.example"}, 403, "foreign_origin"),
    ("no origin at all, as a sandboxed page says", LIST, {"origin": "null"}, 403, "foreign_origin"),
    ("an origin that only begins well", LIST, {"origin": "http://localhost.evil.example"}, 403, "foreign_origin"),
    ("the origin of a page here", LIST, {"origin": "http://localhost:6274"}, 200, None),
    ("a host that was made to point here", LIST, {"host": "evil.example"}, 421, "foreign_host"),
    ("a host that only begins well", LIST, {"host": "127.0.0.1.evil.example:80"}, 421, "foreign_host"),
    ("a host with a user in it", LIST, {"host": "evil.example@127.0.0.1"}, 400, "malformed_request"),
    ("this machine by name", LIST, {"host": "LOCALHOST:8080"}, 200, None),
    ("a foreign host before the handshake", handshake("tools/list"), {"host": "evil.example"}, 421, "foreign_host"),
    ("a head of another version", modern("tools/list"), {"mcp-protocol-version": HANDSHAKE}, 400, -32020),
    ("a head without a version", LIST, {"mcp-protocol-version": None}, 400, -32020),
    ("a head of another method", LIST, {"mcp-method": "tools/call"}, 400, -32020),
    ("a head without a method", LIST, {"mcp-method": None}, 400, -32020),
    ("a head of another tool", call("list_sessions"), {"mcp-name": "store_memory"}, 400, -32020),
    ("a version that nobody speaks", modern("tools/list", "1999-01-01"), {}, 400, -32022),
    ("a version that nobody speaks, in the head alone", LIST, {"mcp-protocol-version": "1999-01-01"}, 400, -32020),
    ("a method that there is not", modern("tools/destroy"), {}, 404, -32601),
    ("a tool that there is not", call("drop_table"), {}, 400, -32602),
    ("a resource that there is not", modern("resources/read", uri="turnlog://sessions/none/context"), {}, 400, -32602),
    ("a resource of the machine", modern("resources/read", uri="file:///etc/passwd"), {}, 400, -32602),
    ("a way out of the sessions", modern("resources/read", uri="turnlog://sessions/../context"), {}, 400, -32602),
    ("a slash in an id", modern("resources/read", uri="turnlog://sessions/a%2Fb/context"), {}, 400, -32602),
    ("a cursor of somebody else", modern("resources/list", cursor="AAAA"), {}, 400, -32602),
    ("no JSON", b"{", {}, 400, -32700),
    ("one name twice", TWICE, {}, 400, -32700),
    ("a number that is none", b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}', {}, 400, -32700),
    ("a well without a bottom", b"[" * 100_000, {}, 400, -32700),
    ("a batch", [LIST, LIST], {"mcp-protocol-version": HANDSHAKE}, 400, -32602),
    ("a compressed body", LIST, {"content-encoding": "gzip"}, 415, "unsupported_encoding"),
    ("no JSON by its type", LIST, {"content-type": "text/plain"}, 400, None),
]


@pytest.fixture(scope="module")
async def endpoint(servers: Any) -> AsyncIterator[Endpoint]:
    log = await new_log(servers.owner_dsn)
    async with in_a_task(served(servers.dsn, servers.nats_url, log, tenant_header=TENANT)) as found:
        yield found


def code_of(body: Any) -> int | str | None:
    """The JSON-RPC code of an error, or the code of a problem."""
    found: int | str | None = body.get("error", {}).get("code")
    return found


@pytest.mark.parametrize(("name", "message", "headers", "status", "code"), CASES, ids=[case[0] for case in CASES])
async def test_what_is_answered(
    endpoint: Endpoint, name: str, message: Any, headers: dict[str, str | None], status: int, code: int | str | None
) -> None:
    answer = await endpoint.ask(message, {TENANT: "default", **headers})
    assert answer.status_code == status, answer.text
    if code is not None:
        assert code_of(answer.json()) == code, answer.text
    assert answer.headers["request-id"]


async def test_a_body_that_is_too_large_is_refused_while_it_is_read() -> None:
    """In this process: over a socket the client may still be sending when it is refused."""
    api = HttpApi("http://nowhere.invalid", httpx.AsyncHTTPTransport(), 1)
    made = create_app(api, allowed=Allowed(), call_s=1, body_max_bytes=10_000, answer_max_chars=1_000)
    async with made as app, httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        for headers in ({}, {"transfer-encoding": "chunked"}):
            answer = await http.post("/mcp", content=b" " * 10_001, headers=headers)
            assert (answer.status_code, code_of(answer.json())) == (413, "body_too_large")
        elsewhere = await http.post("/mcp/more", content=b"{}")
        assert (elsewhere.status_code, code_of(elsewhere.json())) == (404, "route_not_found")
    await api.close()


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS"])
@pytest.mark.parametrize("version", [None, HANDSHAKE, "2026-07-28"])
async def test_only_post_is_taken_and_nothing_hangs(endpoint: Endpoint, method: str, version: str | None) -> None:
    async with asyncio.timeout(5):
        headers: dict[str, str | None] = {TENANT: "default", "mcp-protocol-version": version}
        answer = await endpoint.ask(b"", headers, method=method)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_a_foreign_session_answers_as_one_that_never_was(endpoint: Endpoint, session_id: str) -> None:
    uri = f"turnlog://sessions/{session_id}/turns"
    reads = [modern("resources/read", uri=uri), call("get_context", session_id=session_id), call("list_sessions")]
    before = [(await endpoint.ask(read, {TENANT: "theirs"})).content for read in reads]
    stored = await endpoint.ask(call("store_memory", session_id=session_id, message="ours"), {TENANT: "ours"})
    assert stored.json()["result"]["structuredContent"]["version"] == 1
    assert b"ours" in (await endpoint.ask(reads[0], {TENANT: "ours"})).content
    assert [(await endpoint.ask(read, {TENANT: "theirs"})).content for read in reads] == before


async def test_a_call_that_its_client_gave_up_and_repeats_is_one_turn(endpoint: Endpoint, session_id: str) -> None:
    """The connection is closed after more and more of the time that a call takes: before, while and after it is
    stored."""
    port = int(endpoint.url.rpartition(":")[2])
    for delay_ms in range(12):
        turn_id = f"t-{delay_ms}"
        message = call("store_memory", session_id=session_id, message="once", turn_id=turn_id)
        request = endpoint.http.build_request(
            "POST", "/mcp", content=json.dumps(message).encode(), headers={TENANT: "a"}
        )
        await give_up(port, _bytes(request, message), delay_ms / 1000)
        again = (await endpoint.ask(message, {TENANT: "a"})).json()["result"]["structuredContent"]
        assert (again["turn_id"], again["version"]) == (turn_id, delay_ms + 1)
    turns = await endpoint.ask(call("get_recent_turns", session_id=session_id, limit=100), {TENANT: "a"})
    found = turns.json()["result"]["structuredContent"]["turns"]
    assert [turn["turn_id"] for turn in found] == [f"t-{n}" for n in range(12)]


def _bytes(request: Any, message: dict[str, Any]) -> bytes:
    headers = (
        dict(request.headers) | fitting(message) | {"content-type": "application/json", "accept": "application/json"}
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + request.content


async def give_up(port: int, request: bytes, after_s: float) -> None:
    """Send a request and reset the connection after a while."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    await asyncio.sleep(after_s)
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    writer.transport.abort()


def only(token: str, resource: str) -> Gate:
    """A gate that knows one token, for one resource."""

    def gate(app: App) -> App:
        async def checked(scope: Scope, receive: Receive, send: Send) -> None:
            if header(scope, b"authorization") != f"Bearer {token}":
                challenge = f'Bearer resource_metadata="{resource}"'
                raise Problem(
                    401, "unauthenticated", "this token is not for us", headers={"www-authenticate": challenge}
                )
            identify(scope, ANYBODY)
            await app(scope, receive, send)

        return checked

    return gate


@pytest.mark.parametrize("at_the_door", [True, False], ids=["at the door of MCP", "by the API alone"])
@pytest.mark.parametrize(
    "message",
    [modern("server/discover"), call("list_sessions"), handshake("initialize"), modern("resources/list")],
    ids=["discover", "call", "initialize", "resources"],
)
async def test_a_token_for_another_resource_is_401(
    servers: Any, log_name: str, message: dict[str, Any], at_the_door: bool
) -> None:
    """Where MCP runs apart from the stores only the API can check a credential; its refusal is the client's 401."""
    if message["method"] == "initialize":
        message = handshake(
            "initialize", protocolVersion=HANDSHAKE, capabilities={}, clientInfo={"name": "t", "version": "1"}
        )
    gate = only("good", "https://memory.example/.well-known")
    gates: dict[str, Any] = {"api_gate": gate, "mcp_gate": gate if at_the_door else None}
    async with served(servers.dsn, servers.nats_url, log_name, **gates) as endpoint:
        for headers in ({}, {"authorization": "Bearer of-another-resource"}):
            refused = await endpoint.ask(message, dict(headers))
            assert refused.status_code == 401
            assert (
                refused.headers["www-authenticate"] == 'Bearer resource_metadata="https://memory.example/.well-known"'
            )
        assert (await endpoint.ask(message, {"authorization": "Bearer good"})).status_code == 200


async def test_space_around_a_heads_value_is_no_part_of_it(endpoint: Endpoint) -> None:
    message = call("list_sessions")
    request = endpoint.http.build_request("POST", "/mcp", content=json.dumps(message).encode(), headers={TENANT: "a"})
    sent = _bytes(request, message).replace(b"mcp-name: list_sessions\r\n", b"mcp-name: \t list_sessions \t \r\n")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(endpoint.url.rpartition(":")[2]))
    writer.write(sent)
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    writer.close()
    await writer.wait_closed()


async def test_no_call_of_another_shows_in_an_answer(endpoint: Endpoint, session_id: str) -> None:
    """Many tenants at once, over the one pool: each reads only what it wrote."""

    async def one(tenant: str) -> None:
        headers: dict[str, str | None] = {TENANT: tenant}
        await endpoint.ask(call("store_memory", session_id=session_id, message=f"of {tenant}"), headers)
        read = await endpoint.ask(call("get_recent_turns", session_id=session_id), headers)
        turns = read.json()["result"]["structuredContent"]["turns"]
        assert [turn["content"] for turn in turns] == [f"of {tenant}"]

    await asyncio.gather(*(one(f"tenant-{n}-{session_id}") for n in range(20)))
