"""Rolling deploys with real processes: no request fails while replicas come and go, while the schema is one version
ahead, or because the database is migrated late."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson

from conftest import RealServers
from projecting import append
from querying import fresh, said
from rolling import Connection, Replica, Replicas, replicas
from turnlog_eventstore import Store

CLIENTS = 12


def environment(servers: RealServers, log: str, **more: str) -> dict[str, str]:
    return {
        "TURNLOG_DATABASE_URL": servers.dsn,
        "TURNLOG_NATS_URL": servers.nats_url,
        "TURNLOG_REDIS_URL": servers.redis_url,
        "TURNLOG_LOG": log,
        "TURNLOG_LOGS": log,
        "TURNLOG_TENANT_HEADER": "",
        **more,
    }


class Load:
    """Clients that call without a pause until they are stopped. Any failure of a connection fails the test."""

    def __init__(self, targets: Replicas, calls: Callable[[Connection, int, int], Awaitable[Replica]]) -> None:
        self._targets, self._calls = targets, calls
        self._stop = asyncio.Event()
        self.answered: dict[int, int] = {}
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> "Load":
        await self._group.__aenter__()
        for client in range(CLIENTS):
            self._group.create_task(self._client(client))
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._stop.set()
        await self._group.__aexit__(*error)

    async def _client(self, client: int) -> None:
        connection = Connection(self._targets)
        number = 0
        while not self._stop.is_set():
            replica = await self._calls(connection, client, number)
            self.answered[replica.port] = self.answered.get(replica.port, 0) + 1
            number += 1
        await connection.close()

    async def more(self, count: int, replica: Replica | None = None) -> None:
        """Wait for so many more answers (of one replica)."""

        def answered() -> int:
            return self.answered.get(replica.port, 0) if replica is not None else sum(self.answered.values())

        wanted = answered() + count
        async with asyncio.timeout(30):
            while answered() < wanted:
                await asyncio.sleep(0.01)


async def roll(load: Load, targets: Replicas, old: Replica, new: Replica) -> None:
    """Start `new` beside, then end `old`, which must leave in order."""
    await new.start()
    targets.all.append(new)
    await load.more(50)
    old.terminate()
    assert await old.ended() == 0, old.log()
    targets.all.remove(old)
    await load.more(50, new)


async def test_writes_go_on_without_a_failure_while_replicas_are_replaced(
    servers: RealServers, log_name: str, store: Store, tmp_path: Path
) -> None:
    sessions = [fresh() for _ in range(CLIENTS)]
    stored: list[set[str]] = [set() for _ in range(CLIENTS)]

    async def write(connection: Connection, client: int, number: int) -> Replica:
        turn = {"role": "user", "content": f"turn {number}", "turn_id": f"t{number}"}
        path = f"/v1/sessions/{sessions[client]}/turns"
        status, body, who = await connection.call("POST", path, orjson.dumps(turn))
        assert status == 201, body
        stored[client].add(f"t{number}")
        return who

    async with replicas("turnlog_ingest", environment(servers, log_name), tmp_path, 3) as (one, two, three):
        targets = Replicas(one, two)
        async with Load(targets, write) as load:
            await load.more(100)
            await roll(load, targets, one, three)
    for session, ids in zip(sessions, stored, strict=True):
        turns = await store.turns("default", session, limit=10_000)
        assert {turn.key for turn in turns} == ids
        assert [turn.version for turn in turns] == list(range(1, len(ids) + 1))


async def test_reads_go_on_without_a_failure_while_replicas_are_replaced(
    servers: RealServers, log_name: str, store: Store, tmp_path: Path
) -> None:
    session = fresh()
    await append(store, log_name, [said(session) for _ in range(3)])

    async def read(connection: Connection, client: int, number: int) -> Replica:
        status, body, who = await connection.call("GET", f"/v1/sessions/{session}/turns")
        assert status == 200, body
        return who

    async with replicas("turnlog_query", environment(servers, log_name), tmp_path, 3) as (one, two, three):
        targets = Replicas(one, two)
        async with Load(targets, read) as load:
            await load.more(100)
            await roll(load, targets, one, three)


async def test_a_leaving_replica_says_so_still_takes_requests_and_ends_their_connections(
    servers: RealServers, log_name: str, tmp_path: Path
) -> None:
    slow = environment(servers, log_name, TURNLOG_DRAIN_S="1.5")
    async with replicas("turnlog_ingest", slow, tmp_path, 2) as (one, _):
        kept, path = Connection(Replicas(one)), f"/v1/sessions/{fresh()}/turns"
        for _ in range(2):
            assert (await kept.call("POST", path, b'{"role":"user","content":"before"}'))[0] == 201
        assert (kept.connects, kept.open) == (1, True)
        one.terminate()
        async with asyncio.timeout(1.0):
            while (await kept.call("GET", "/readyz"))[0] != 503:
                pass
        status, body, _ = await kept.call("POST", path, b'{"role":"user","content":"while leaving"}')
        assert (status, kept.open) == (201, False), body
        assert orjson.loads((await kept.call("GET", "/readyz"))[1])["status"] == "draining"
        assert await one.ended() == 0


async def test_the_relay_is_handed_over_within_a_second_or_so(
    servers: RealServers, log_name: str, tmp_path: Path
) -> None:
    slow = environment(servers, log_name, TURNLOG_DRAIN_S="5")
    async with replicas("turnlog_ingest", slow, tmp_path, 2) as (one, two):

        def leads(replica: Replica) -> bool:
            return "relay_leading" in replica.log()

        async with asyncio.timeout(10):
            while not (leads(one) or leads(two)):
                await asyncio.sleep(0.02)
        leader, other = (one, two) if leads(one) else (two, one)
        leader.terminate()
        began = time.monotonic()
        async with asyncio.timeout(10):
            while not leads(other):
                await asyncio.sleep(0.02)
        assert time.monotonic() - began < 2.0  # the drain itself lasts 5 s
