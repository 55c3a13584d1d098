"""A server that leaves answers every request that reached it: on kept connections, on new ones that wait at its
listener, and on those that were opened but had said nothing yet."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn

from turnlog_runtime.asgi import Receive, Scope, Send, respond
from turnlog_runtime.connection import Connection
from turnlog_runtime.leaving import LINGER_S, Server
from turnlog_runtime.lifecycle import serving

REQUEST = b"GET / HTTP/1.1\r\nhost: t\r\n\r\n"
DEADLINE_S = 5.0


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.2 if scope["path"] == "/slow" else 0.001)
    await respond(send, 200, b"{}")


@asynccontextmanager
async def started() -> AsyncIterator[tuple[Server, socket.socket, int]]:
    """A server at work, its listener and port; it has ended on leaving."""
    config = uvicorn.Config(app, lifespan="off", http=Connection, log_config=None, timeout_graceful_shutdown=2)
    server, listener = Server(config), socket.create_server(("127.0.0.1", 0))
    serving_task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server, listener, listener.getsockname()[1]
    finally:
        server.should_exit = True
        await serving_task
        listener.close()


def connected(port: int) -> socket.socket:
    """A connection made without letting the server's event loop run."""
    made = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    made.setblocking(False)
    return made


async def answer(connection: socket.socket) -> bytes:
    """What comes until the end of an answer; empty when the connection is closed without one."""
    loop, found = asyncio.get_running_loop(), b""
    async with asyncio.timeout(DEADLINE_S):
        while not found.endswith(b"\r\n\r\n{}"):
            data = await loop.sock_recv(connection, 4096)
            if not data:
                break
            found += data
    return found


async def asked(connection: socket.socket) -> bytes:
    connection.send(REQUEST)
    return await answer(connection)


async def test_connections_that_wait_at_the_listener_are_answered() -> None:
    async with started() as (server, listener, port):
        server.leave()
        waiting = [connected(port) for _ in range(5)]
        for connection in waiting:
            connection.send(REQUEST)
        leaving = asyncio.create_task(server.shutdown([listener]))
        for connection in waiting:
            found = await answer(connection)
            assert found.startswith(b"HTTP/1.1 200 OK")
            assert b"connection: close" in found
            connection.close()
        await leaving
        with pytest.raises(ConnectionRefusedError):
            connected(port)


async def test_a_request_whose_bytes_wait_in_a_kept_connection_is_answered_and_idle_ones_are_closed() -> None:
    async with started() as (server, listener, port):
        busy, idle = connected(port), connected(port)
        for connection in (busy, idle):
            assert b"200 OK" in await asked(connection)
        server.leave()
        busy.send(REQUEST)
        began = time.monotonic()
        leaving = asyncio.create_task(server.shutdown([listener]))
        assert b"connection: close" in await answer(busy)
        assert await answer(idle) == b""
        assert time.monotonic() - began < LINGER_S / 2
        await leaving
        busy.close()
        idle.close()


@pytest.mark.parametrize("first", [b"", REQUEST[:10]])
async def test_a_connection_that_has_not_said_all_yet_may_still_ask(first: bytes) -> None:
    async with started() as (server, listener, port):
        connection = connected(port)
        connection.send(first)
        await asyncio.sleep(0.05)
        server.leave()
        leaving = asyncio.create_task(server.shutdown([listener]))
        await asyncio.sleep(LINGER_S / 3)
        connection.send(REQUEST[len(first) :])
        assert b"200 OK" in await answer(connection)
        await leaving
        connection.close()


async def test_a_request_under_way_is_answered_and_its_connection_ends() -> None:
    async with started() as (server, listener, port):
        connection = connected(port)
        connection.send(REQUEST.replace(b"/ ", b"/slow ", 1))
        await asyncio.sleep(0.05)
        server.leave()
        leaving = asyncio.create_task(server.shutdown([listener]))
        assert b"connection: close" in await answer(connection)
        await leaving
        connection.close()


async def test_while_it_drains_requests_are_taken_and_each_answer_ends_its_connection() -> None:
    drained = asyncio.Event()

    async def serve() -> None:
        async with serving(app, "127.0.0.1", port, 2.0, drain_s=0.4):
            up.set()
            await leave.wait()
        drained.set()

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    up, leave = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(serve())
        await up.wait()
        kept = connected(port)
        assert b"connection: close" not in await asked(kept)
        leave.set()
        await asyncio.sleep(0.05)
        assert b"connection: close" in await asked(kept)
        new = connected(port)
        assert b"connection: close" in await asked(new)
        assert not drained.is_set()
        kept.close()
        new.close()
