"""The fence on real servers: a PostgreSQL that lost its tail takes no write, and never reaches the stream."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from making import request, turn
from turnlog_bus import Bus, StreamMissing, StreamName
from turnlog_eventstore import Administration, LogHead, Store, Stored, StoreUnavailable
from turnlog_follow.fence import Fence, Fenced, FenceWatch
from turnlog_ingest.relay import Relay, RelaySettings

FAST = RelaySettings(poll_s=0.1, retry_s=0.1, retry_max_s=0.1)


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    connected = Bus(nats_url)
    yield connected
    await connected.close()


@pytest.fixture
async def stream(store: Store, bus: Bus, log_name: str, tenant: str) -> StreamName:
    """The stream of a log with five events, all of them published."""
    await store.append(log_name, [request(turn(tenant, "s", str(n))) for n in range(5)])
    name = StreamName(log_name, (await store.head(log_name)).incarnation)
    await bus.ensure_stream(name, 1)
    await bus.publish(name, await store.read_after(log_name, 0, 9))
    return name


async def lose_tail(owner_dsn: str, log: str, after: int) -> None:
    """What a restore of an older backup does to a log."""
    connection = await asyncpg.connect(owner_dsn)
    try:
        async with connection.transaction():
            await connection.execute("set local session_replication_role = replica")
            await connection.execute("delete from turnlog.events where log = $1 and position > $2", log, after)
    finally:
        await connection.close()


async def end_of(bus: Bus, name: StreamName) -> int | None:
    try:
        return await bus.last_sequence(name)
    except StreamMissing:
        return None


def watch(store: Store, bus: Bus, log: str) -> FenceWatch:
    return FenceWatch(store, bus, log, Fence(log), every_s=0.1)


@asynccontextmanager
async def running(*watches: FenceWatch) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.create_task(w.run(stop)) for w in watches]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def until_fenced(*watches: FenceWatch, fenced: bool = True) -> None:
    async with asyncio.timeout(10):
        while any((w.fence.reason is not None) != fenced for w in watches):
            await asyncio.sleep(0.02)


async def test_every_replica_refuses_writes_while_the_stream_is_ahead_and_takes_them_when_the_tail_is_back(
    store: Store, bus: Bus, owner_dsn: str, log_name: str, tenant: str, stream: StreamName
) -> None:
    replicas = [watch(store, bus, log_name) for _ in range(2)]
    lost = await store.read_after(log_name, 3, 9)
    async with running(*replicas):
        await lose_tail(owner_dsn, log_name, 3)
        await until_fenced(*replicas)
        for replica in replicas:
            assert replica.fence.reason is not None
            assert "lost its tail" in replica.fence.reason
            with pytest.raises(Fenced):
                await replica.append(log_name, [request(turn(tenant, "s"))])
        await put_back(owner_dsn, lost)
        await until_fenced(*replicas, fenced=False)
    (stored,) = await replicas[0].append(log_name, [request(turn(tenant, "s"))])
    assert isinstance(stored, Stored)


async def put_back(owner_dsn: str, events: list) -> None:  # type: ignore[type-arg]
    connection = await asyncpg.connect(owner_dsn)
    try:
        for e in events:
            await connection.execute(
                "insert into turnlog.events (log, position, event_id, tenant, session_id, version, type, "
                "schema_version, key, recorded_at_us, payload, payload_sha256, chain_hash) values "
                "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
                e.log, e.position, e.event_id, e.tenant, e.session_id, e.version, e.type, e.schema_version,
                e.key, e.recorded_at_us, e.payload, e.payload_sha256, e.chain_hash,
            )  # fmt: skip
    finally:
        await connection.close()


async def test_the_very_first_append_to_a_server_waits_for_the_comparison(
    store: Store, bus: Bus, owner_dsn: str, log_name: str, tenant: str, stream: StreamName
) -> None:
    await lose_tail(owner_dsn, log_name, 3)
    fresh = watch(store, bus, log_name)  # of a process that has just started, its watch has not looked yet
    with pytest.raises(Fenced):
        await fresh.append(log_name, [request(turn(tenant, "s"))])
    assert (await store.head(log_name)).position == 3


async def test_a_restarted_postgres_is_compared_again_before_the_next_append(
    store: Store, bus: Bus, owner_dsn: str, log_name: str, tenant: str, stream: StreamName
) -> None:
    replica = watch(store, bus, log_name)
    await replica.append(log_name, [request(turn(tenant, "s", "six"))])
    await lose_tail(owner_dsn, log_name, 3)
    replica._admitted = "the server before it was restored"
    with pytest.raises(Fenced):
        await replica.append(log_name, [request(turn(tenant, "s"))])
    assert (await store.head(log_name)).position == 3


async def test_an_overtaken_stream_is_told_by_its_hash_and_the_relay_leaves_it_alone(
    store: Store, bus: Bus, owner_dsn: str, log_name: str, tenant: str, stream: StreamName
) -> None:
    """While NATS could not be asked, a restored PostgreSQL was written to beyond what the stream holds."""
    at_end = await bus.event_at(stream, 5)
    await lose_tail(owner_dsn, log_name, 3)
    await store.append(log_name, [request(turn(tenant, "s", f"other {n}")) for n in range(6)])
    replica = watch(store, bus, log_name)
    relay = Relay(store, bus, log_name, FAST, replica)
    task = asyncio.create_task(relay.run(asyncio.Event()))
    await until_fenced(replica)
    assert replica.fence.reason is not None
    assert "differ at position 5" in replica.fence.reason
    assert await bus.last_sequence(stream) == 5
    assert await bus.event_at(stream, 5) == at_end
    task.cancel()
    await asyncio.wait({task})


async def test_a_relay_that_leads_meanwhile_publishes_nothing_of_another_history(
    store: Store, bus: Bus, owner_dsn: str, log_name: str, tenant: str, stream: StreamName
) -> None:
    replica = watch(store, bus, log_name)
    relay = Relay(store, bus, log_name, FAST, replica)
    task = asyncio.create_task(relay.run(asyncio.Event()))
    await store.append(log_name, [request(turn(tenant, "s", "six"))])
    async with asyncio.timeout(10):
        while await bus.last_sequence(stream) != 6:
            await asyncio.sleep(0.02)
    connection = await asyncpg.connect(owner_dsn)
    try:
        async with connection.transaction():
            await connection.execute("set local session_replication_role = replica")
            await connection.execute("delete from turnlog.events where log = $1 and position > 3", log_name)
            await connection.execute("set local session_replication_role = origin")
            other = await Store.open(owner_dsn)
            appending = asyncio.create_task(
                other.append(log_name, [request(turn(tenant, "s", f"other {n}")) for n in range(6)])
            )
        await appending
        await other.close()
    finally:
        await connection.close()
    await until_fenced(replica)
    assert await bus.last_sequence(stream) == 6
    task.cancel()
    await asyncio.wait({task})


async def test_accepting_the_log_lifts_the_fence_and_begins_a_new_stream(
    store: Store, bus: Bus, owner_dsn: str, log_name: str, tenant: str, stream: StreamName
) -> None:
    await lose_tail(owner_dsn, log_name, 3)
    replica = watch(store, bus, log_name)
    relay = Relay(store, bus, log_name, FAST, replica)
    task = asyncio.create_task(relay.run(asyncio.Event()))
    async with running(replica):
        await until_fenced(replica)
        owner = await Administration.open(owner_dsn)
        fresh = StreamName(log_name, await owner.accept(log_name))
        await owner.close()
        await until_fenced(replica, fenced=False)
        await replica.append(log_name, [request(turn(tenant, "s", "after"))])
        async with asyncio.timeout(10):
            while replica.stream != fresh or await end_of(bus, fresh) != 4:
                await asyncio.sleep(0.05)
    assert await bus.last_sequence(stream) == 5
    task.cancel()
    await asyncio.wait({task})


async def test_without_nats_writes_go_on_at_once_after_one_short_wait(store: Store, log_name: str, tenant: str) -> None:
    away = Bus("nats://127.0.0.1:1")
    replica = watch(store, away, log_name)
    began = time.monotonic()
    for _ in range(3):
        (stored,) = await replica.append(log_name, [request(turn(tenant, "s"))])
        assert isinstance(stored, Stored)
    assert time.monotonic() - began < 1.5
    await replica.close()
    await away.close()


async def test_an_append_without_time_left_for_the_comparison_stores_nothing(
    store: Store, bus: Bus, log_name: str, tenant: str, stream: StreamName
) -> None:
    replica = watch(store, bus, log_name)
    with pytest.raises(StoreUnavailable):
        await replica.append(log_name, [request(turn(tenant, "s"))], 0.0)
    assert (await store.head(log_name)).position == 5


class Postgres:
    """The store as it is when its pool also holds connections to the server before: `heads` answers for the head."""

    def __init__(self, store: Store, *heads: str | None) -> None:
        """Of each look at the head the epoch found; None: no answer. When they are used up: the server's own."""
        self._store, self._heads = store, list(heads)

    async def head(self, log: str) -> LogHead:
        epoch = self._heads.pop(0) if self._heads else ""
        if epoch is None:
            await asyncio.sleep(3600)
        head = await self._store.head(log)
        return replace(head, epoch=epoch) if epoch else head

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_an_append_is_not_let_through_by_a_comparison_that_postgres_holds_up(
    store: Store, bus: Bus, owner_dsn: str, log_name: str, tenant: str, stream: StreamName
) -> None:
    await lose_tail(owner_dsn, log_name, 3)
    replica = watch(Postgres(store, None), bus, log_name)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        await replica.append(log_name, [request(turn(tenant, "s"))], 2.5)
    assert (await store.head(log_name)).position == 3
    with pytest.raises(Fenced):
        await replica.append(log_name, [request(turn(tenant, "s"))])
    await replica.close()


async def test_a_comparison_made_with_the_server_before_does_not_count(
    store: Store, bus: Bus, log_name: str, tenant: str, stream: StreamName
) -> None:
    postgres = Postgres(store, "before", "before", "before", "before")
    replica = watch(postgres, bus, log_name)  # type: ignore[arg-type]
    (stored,) = await replica.append(log_name, [request(turn(tenant, "s"))])
    assert isinstance(stored, Stored)
    assert not postgres._heads, "compared again until it was with the server that the append went to"
