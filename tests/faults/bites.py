"""How the tests see that a fault really bites: the servers asked through their proxies, as the services do."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import nats
import redis.asyncio as redis
from nats.errors import Error as NatsError

from faults.world import TENANT_HEADER, World

SILENT_S = 0.6
MARKED_S = 20.0
ENDLESS_BYTES = 2**21
GREETINGS = {"nats": b"", "valkey": b"PING\r\n"}
QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": '{"version": 7, "text": "seven"}'}]}


async def ask(world: World, name: str, patience_s: float = SILENT_S) -> str:
    """What comes back of a plain question through a proxy: "answer", "silence" or "broken"."""
    try:
        async with asyncio.timeout(patience_s):
            if name == "postgres":
                return await _ask_postgres(world, patience_s)
            if name == "model":
                await ask_model(world, patience_s)
                return "answer"
            reader, writer = await asyncio.open_connection("127.0.0.1", world.proxies[name].port)
            try:
                writer.write(GREETINGS.get(name, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"))
                return "answer" if await reader.readline() else "broken"
            finally:
                writer.transport.abort()
    except (TimeoutError, httpx.TimeoutException):
        return "silence"
    except (OSError, httpx.HTTPError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return "broken"


async def _ask_postgres(world: World, patience_s: float) -> str:
    connection = await asyncpg.connect(postgres_through_proxy(world), timeout=patience_s)
    try:
        return "answer" if await connection.fetchval("select 1") == 1 else "broken"
    finally:
        connection.terminate()


def postgres_through_proxy(world: World) -> str:
    """The address that a service would use."""
    return f"postgresql://ingest-1@127.0.0.1:{world.proxies['postgres'].port}/turnlog?sslmode=disable"


async def ask_model(world: World, patience_s: float = SILENT_S) -> tuple[int, bytes]:
    """Status and body of the model's answer, at most some 2 MiB of it. Raises as httpx does."""
    url = f"http://127.0.0.1:{world.proxies['model'].port}/v1/chat/completions"
    body = b""
    async with (
        httpx.AsyncClient(timeout=patience_s) as client,
        client.stream("POST", url, json=QUESTION) as response,
    ):
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > ENDLESS_BYTES:
                break
        return response.status_code, body


async def store(url: str, text: str = "hello", tenant: str = "tenant-a", patience_s: float = 4.0) -> httpx.Response:
    """One turn. Raises as httpx does."""
    async with httpx.AsyncClient(timeout=patience_s) as client:
        body = {"role": "user", "content": text}
        return await client.post(f"{url}/v1/sessions/s/turns", json=body, headers={TENANT_HEADER: tenant})


async def fetch(world: World, query: str) -> Any:
    """A value from PostgreSQL as a superuser, around the proxies."""
    connection = await asyncpg.connect(world.owner_dsn, timeout=5)
    try:
        return await connection.fetchval(query)
    finally:
        connection.terminate()


class Marks:
    """A mark in each server's data: `set` leaves one, `there` says which are there."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def set(self, server: str, mark: str) -> None:
        """Leave a mark."""
        if server == "postgres":
            await fetch(self._world, f"create table mark_{mark} ()")
        elif server == "valkey":
            async with redis.from_url(self._world.redis_url) as client:
                await client.set(f"mark/{mark}", 1)
        else:
            async with self._bus() as bus:
                await bus.jetstream().add_stream(name=f"mark-{mark}", subjects=[f"mark.{mark}"])

    async def there(self, server: str, mark: str) -> bool:
        """Whether it is there."""
        if server == "postgres":
            return await fetch(self._world, f"select to_regclass('mark_{mark}')") is not None
        if server == "valkey":
            async with redis.from_url(self._world.redis_url) as client:
                return bool(await client.exists(f"mark/{mark}"))
        async with self._bus() as bus:
            return f"mark-{mark}" in {info.config.name for info in await bus.jetstream().streams_info()}

    @asynccontextmanager
    async def after_the_copy(self, server: str, mark: str) -> AsyncIterator[None]:
        """Leave a mark meanwhile, as soon as a copy of the server's data was made and it serves again."""

        async def leave() -> None:
            async with asyncio.timeout(MARKED_S):
                while not self._copied(server):
                    await asyncio.sleep(0.01)
                while True:
                    with contextlib.suppress(OSError, NatsError, asyncpg.PostgresError, redis.ConnectionError):
                        await self.set(server, mark)
                        return
                    await asyncio.sleep(0.01)

        leaving = asyncio.create_task(leave())
        try:
            yield
        finally:
            leaving.cancel()
            await asyncio.wait({leaving})
        assert not leaving.cancelled()
        leaving.result()

    def _copied(self, server: str) -> bool:
        kept = {"postgres": "postgres.older", "valkey": "dump.rdb", "nats": "nats"}[server]
        return (self._world.aside / kept).exists() and server not in self._world.held

    @asynccontextmanager
    async def _bus(self) -> AsyncIterator[Any]:
        bus = await nats.connect(self._world.nats_url, allow_reconnect=False, connect_timeout=2)
        try:
            yield bus
        finally:
            await bus.close()


def environment_of(pid: int) -> dict[str, str]:
    """What a process was started with."""
    with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
        words = file.read().split(b"\0")
    return dict(os.fsdecode(word).split("=", 1) for word in words if b"=" in word)
