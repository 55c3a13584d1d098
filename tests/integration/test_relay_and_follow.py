"""Relay and follower on real PostgreSQL and NATS: sequence is position, nothing skipped, whatever NATS forgets."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace

import pytest
from nats.js.errors import NotFoundError

from making import request, turn
from turnlog_bus import Bus, StreamMissing, StreamName, WrongSequence
from turnlog_eventstore import Store
from turnlog_follow import Batch, Follower, FollowSettings
from turnlog_follow.fence import Fence, FenceWatch
from turnlog_ingest.relay import Relay, RelaySettings

FAST = RelaySettings(poll_s=0.1, retry_s=0.1)
FOLLOW = FollowSettings(tick_s=0.2, retry_s=0.2, poll_s=0.05)


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    connected = Bus(nats_url)
    yield connected
    await connected.close()


@asynccontextmanager
async def relaying(store: Store, bus: Bus, log: str, fence: Fence | None = None) -> AsyncIterator[Relay]:
    relay = Relay(store, bus, log, FAST, FenceWatch(store, bus, log, fence or Fence(log)))
    task = asyncio.create_task(relay.run(asyncio.Event()))
    try:
        yield relay
    finally:
        task.cancel()
        await asyncio.wait({task})


async def stream_of(store: Store, log: str) -> StreamName:
    return StreamName(log, (await store.head(log)).incarnation)


async def until_published(bus: Bus, name: StreamName, position: int) -> None:
    async with asyncio.timeout(15):
        while True:
            with suppress(StreamMissing, NotFoundError):
                if await bus.last_sequence(name) >= position:
                    return
            await asyncio.sleep(0)


async def append(store: Store, log: str, tenant: str, count: int, relay: Relay | None = None) -> None:
    requests = [request(turn(tenant, f"s{n % 3}", str(n))) for n in range(count)]
    results = await store.append(log, requests)
    if relay is not None:
        relay.committed(requests, results)


async def take(follower: Follower, after: int, up_to: int) -> list[Batch]:
    batches: list[Batch] = []
    async with asyncio.timeout(15), aclosing(follower.batches(after)) as following:
        async for batch in following:
            batches.append(batch)
            if batch.last >= up_to:
                return batches
    raise AssertionError


def positions(batches: list[Batch]) -> list[int]:
    return [e.position for b in batches for e in b.events]


async def test_sequence_n_is_position_n(store: Store, bus: Bus, log_name: str, tenant: str) -> None:
    name = await stream_of(store, log_name)
    async with relaying(store, bus, log_name) as relay:
        for _ in range(5):
            await append(store, log_name, tenant, 7, relay)
        await until_published(bus, name, 35)
    for event in await store.read_after(log_name, 0, 100):
        assert await bus.event_at(name, event.position) == event


async def test_events_nobody_told_of_are_published_too(store: Store, bus: Bus, log_name: str, tenant: str) -> None:
    async with relaying(store, bus, log_name):
        await append(store, log_name, tenant, 3)
        await until_published(bus, await stream_of(store, log_name), 3)


async def test_a_lost_stream_is_made_anew_and_ends_at_the_head(
    store: Store, bus: Bus, log_name: str, tenant: str
) -> None:
    name = await stream_of(store, log_name)
    await append(store, log_name, tenant, 10)
    async with relaying(store, bus, log_name) as relay:
        await until_published(bus, name, 10)
        await (await bus.client()).jetstream().delete_stream(name.stream)
        await append(store, log_name, tenant, 4, relay)
        await until_published(bus, name, 14)
        last = (await store.read_after(log_name, 13, 1))[0]
        assert await bus.event_at(name, 14) == last


async def test_a_lost_tail_is_published_again(store: Store, bus: Bus, log_name: str, tenant: str) -> None:
    name = await stream_of(store, log_name)
    await append(store, log_name, tenant, 9)
    events = await store.read_after(log_name, 0, 9)
    assert await bus.ensure_stream(name, 1) == 0
    assert await bus.publish(name, events[:4]) == 4
    async with relaying(store, bus, log_name):
        await until_published(bus, name, 9)
    assert await bus.event_at(name, 9) == events[8]


async def test_a_late_relay_is_fenced_and_stores_nothing(store: Store, bus: Bus, log_name: str, tenant: str) -> None:
    name = await stream_of(store, log_name)
    await append(store, log_name, tenant, 6)
    events = await store.read_after(log_name, 0, 6)
    await bus.ensure_stream(name, 1)
    await bus.publish(name, events)
    for late in (events[3:], events[5:]):
        with pytest.raises(WrongSequence):
            await bus.publish(name, late)
    assert await bus.last_sequence(name) == 6


async def test_writes_are_fenced_while_the_stream_is_ahead_of_the_log(
    store: Store, bus: Bus, log_name: str, tenant: str
) -> None:
    name = await stream_of(store, log_name)
    await append(store, log_name, tenant, 2)
    await bus.ensure_stream(name, 50)
    fence = Fence()
    async with relaying(store, bus, log_name, fence), asyncio.timeout(10):
        while fence.reason is None:
            await asyncio.sleep(0)
    assert "lost its tail" in fence.reason


async def test_a_follower_yields_every_event_once_in_order_from_any_position(
    store: Store, bus: Bus, log_name: str, tenant: str
) -> None:
    await append(store, log_name, tenant, 20)
    async with relaying(store, bus, log_name) as relay:
        follower = Follower(store, bus, log_name, FOLLOW)
        batches: list[Batch] = []
        async with asyncio.timeout(20), aclosing(follower.batches(5)) as following:
            async for batch in following:
                batches.append(batch)
                if batch.last < 80:
                    await append(store, log_name, tenant, 5, relay)
                else:
                    break
    assert positions(batches) == list(range(6, batches[-1].last + 1))
    assert any(b.from_bus for b in batches)
    assert all(a.last == b.after for a, b in itertools.pairwise(batches))


async def test_without_nats_the_follower_reads_postgres(store: Store, log_name: str, tenant: str) -> None:
    away = Bus("nats://127.0.0.1:1")
    await append(store, log_name, tenant, 4)
    batches = await take(Follower(store, away, log_name, FOLLOW), 0, 4)
    assert positions(batches) == [1, 2, 3, 4]
    await append(store, log_name, tenant, 2)
    assert positions(await take(Follower(store, None, log_name, FOLLOW), 4, 6)) == [5, 6]
    await away.close()


async def test_a_silent_stream_is_noticed_and_postgres_read(store: Store, bus: Bus, log_name: str, tenant: str) -> None:
    """The stream exists but nobody relays: the head moves and nothing comes."""
    await bus.ensure_stream(await stream_of(store, log_name), 1)
    follower = Follower(store, bus, log_name, FOLLOW)
    got: list[int] = []
    moved = False
    async with asyncio.timeout(15), aclosing(follower.batches(0)) as following:
        async for batch in following:
            got += [e.position for e in batch.events]
            if not moved:
                await append(store, log_name, tenant, 3)
                moved = True
            if len(got) == 3:
                break
    assert got == [1, 2, 3]


async def test_a_forged_message_is_not_believed(store: Store, bus: Bus, log_name: str, tenant: str) -> None:
    """Somebody publishes an event of their own on the stream's subject: the chain hash does not follow."""
    name = await stream_of(store, log_name)
    await append(store, log_name, tenant, 2)
    real = await store.read_after(log_name, 0, 2)
    await bus.ensure_stream(name, 1)
    await bus.publish(name, real)
    follower = Follower(store, bus, log_name, FOLLOW)
    got: list[object] = []
    async with asyncio.timeout(15), aclosing(follower.batches(0)) as following:
        async for batch in following:
            got += batch.events
            if batch.last == 2 and not batch.events:
                forged = replace(real[1], position=3, version=9, payload=b'{"content":"forged","role":"user"}')
                await bus.publish(name, [forged])
                await append(store, log_name, tenant, 1)
            if batch.last == 3:
                break
    assert got == await store.read_after(log_name, 0, 3)
