"""No call outlasts its deadline: PostgreSQL and NATS paused or half-open, with connections open and without."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager

import psutil
import pytest

from making import request, turn
from turnlog_bus import Bus, BusSettings, BusUnavailable, StreamName, consume
from turnlog_eventstore import LeadershipSettings, OutcomeUnknown, Store, StoreError, StoreSettings, StoreUnavailable
from turnlog_follow import FollowerLag, Lags
from turnlog_ingest.group_commit import GroupCommit, GroupCommitSettings

DEADLINE_S, SLACK_S = 1.0, 0.5
BRIEF = StoreSettings(pool_connections=2, deadline_s=DEADLINE_S, connect_timeout_s=0.8)


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """SIGSTOP for a server and all its processes."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    try:
        for process in processes:
            os.kill(process.pid, signal.SIGSTOP)
        yield
    finally:
        for process in processes:
            os.kill(process.pid, signal.SIGCONT)


@pytest.fixture
def postgres(servers) -> int:  # type: ignore[no-untyped-def]
    if servers.embedded is None:
        pytest.skip("only servers that the tests started can be paused")
    return int(servers.embedded.pids["postgres"])


@pytest.fixture
def nats(servers) -> int:  # type: ignore[no-untyped-def]
    if servers.embedded is None:
        pytest.skip("only servers that the tests started can be paused")
    return int(servers.embedded.pids["nats"])


@asynccontextmanager
async def blackhole() -> AsyncIterator[int]:
    """A port that accepts and never says anything."""
    writers: list[asyncio.StreamWriter] = []

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with_nothing_said = await reader.read(-1)
        assert with_nothing_said is not None

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


async def ends_with(kind: type[Exception], call: Awaitable[object], limit_s: float = DEADLINE_S) -> None:
    began = time.monotonic()
    with pytest.raises(kind):
        await call
    assert time.monotonic() - began < limit_s + SLACK_S


@pytest.fixture
async def brief(dsn: str) -> AsyncIterator[Store]:
    opened = await Store.open(dsn, BRIEF, LeadershipSettings(lease_s=1.5, heartbeat_s=0.3, retry_s=0.1))
    yield opened
    await opened.close()


async def test_calls_to_a_paused_postgres_end_at_the_deadline_and_the_store_works_afterwards(
    brief: Store, postgres: int, log_name: str, tenant: str
) -> None:
    await asyncio.gather(*(brief.append(log_name, [request(turn(tenant, "s"))]) for _ in range(2)))
    with paused(postgres):
        await ends_with(OutcomeUnknown, brief.append(log_name, [request(turn(tenant, "s"))]))
        reads = [brief.head(log_name) for _ in range(20)]  # ten times as many as there are connections
        await asyncio.gather(*(ends_with(StoreUnavailable, read) for read in reads))
        # All connections are gone, and none can be made: nothing is sent, so nothing is stored.
        await ends_with(StoreUnavailable, brief.append(log_name, [request(turn(tenant, "s"))]))
        await ends_with(StoreUnavailable, brief.tenant_log(tenant))
    async with asyncio.timeout(10):
        while True:
            try:
                await brief.append(log_name, [request(turn(tenant, "s", "after"))])
                break
            except StoreError:
                await asyncio.sleep(0.05)
    events = await brief.read_after(log_name, 0, 9)
    assert [e.position for e in events] == list(range(1, len(events) + 1))


async def test_a_half_open_postgres_is_given_up_at_the_deadline_and_cancelling_leaks_no_place(tenant: str) -> None:
    async with blackhole() as port:
        store = await Store.open(f"postgresql://nobody@127.0.0.1:{port}/none?sslmode=disable", BRIEF)
        await ends_with(StoreUnavailable, store.append("main", [request(turn(tenant, "s"))]))
        for _ in range(4):
            task = asyncio.create_task(store.head("main"))
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait({task})
        await ends_with(StoreUnavailable, store.head("main"))
        began = time.monotonic()
        await store.close()
        assert time.monotonic() - began < DEADLINE_S + SLACK_S


async def test_leadership_is_lost_within_the_lease_when_postgres_is_paused_and_comes_back(
    brief: Store, postgres: int, log_name: str
) -> None:
    async with brief.leadership(f"test/{log_name}") as held:
        with paused(postgres):
            async with asyncio.timeout(1.5 + SLACK_S):
                await held.lost.wait()
            waiting = asyncio.create_task(holds(brief, f"test/{log_name}-other"))
            await asyncio.sleep(0.2)
            began = time.monotonic()
            waiting.cancel()
            await asyncio.wait({waiting})
            assert time.monotonic() - began < SLACK_S
    async with asyncio.timeout(10), brief.leadership(f"test/{log_name}"):
        pass


async def holds(store: Store, name: str) -> None:
    async with store.leadership(name):
        raise AssertionError("nobody can lead while PostgreSQL is paused")


async def test_every_request_of_the_group_commit_is_answered_by_its_deadline_while_a_batch_hangs(
    brief: Store, postgres: int, log_name: str, tenant: str
) -> None:
    commit = GroupCommit(brief, log_name, GroupCommitSettings(deadline_s=DEADLINE_S), lambda *_: None)
    running = asyncio.create_task(commit.run())
    await commit.submit(request(turn(tenant, "s")))
    answers: list[asyncio.Task[None]] = []
    with paused(postgres):
        for n in range(30):
            future = commit.submit(request(turn(tenant, "s", str(n))))
            answers.append(asyncio.create_task(ends_with(StoreError, future)))
            await asyncio.sleep(0.05)
        await asyncio.gather(*answers)
    commit.close()
    await running


BUS_CALLS: dict[str, Callable[[Bus, StreamName], Awaitable[object]]] = {
    "client": lambda bus, name: bus.client(),
    "ask": lambda bus, name: bus.ask(),
    "last_sequence": lambda bus, name: bus.last_sequence(name),
    "ensure_stream": lambda bus, name: bus.ensure_stream(name, 1),
    "event_at": lambda bus, name: bus.event_at(name, 1),
}


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    opened = Bus(nats_url, BusSettings(connect_timeout_s=1, call_timeout_s=DEADLINE_S))
    yield opened
    await opened.close()


@pytest.mark.parametrize("call", [name for name in BUS_CALLS if name != "client"])
async def test_calls_to_a_paused_nats_end_at_the_time_out(bus: Bus, nats: int, log_name: str, call: str) -> None:
    name = StreamName(log_name, "f" * 32)
    await bus.ensure_stream(name, 1)
    with paused(nats):
        await ends_with(BusUnavailable, BUS_CALLS[call](bus, name))
    async with asyncio.timeout(10):
        while True:
            try:
                assert await bus.last_sequence(name) == 0
                break
            except BusUnavailable:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("call", list(BUS_CALLS))
async def test_calls_to_a_half_open_nats_end_at_the_time_out_for_all_who_wait(call: str) -> None:
    name = StreamName("x", "f" * 32)
    async with blackhole() as port:
        bus = Bus(f"nats://127.0.0.1:{port}", BusSettings(connect_timeout_s=1, call_timeout_s=DEADLINE_S))
        await asyncio.gather(*(ends_with(BusUnavailable, BUS_CALLS[call](bus, name)) for _ in range(5)))
        began = time.monotonic()
        await bus.close()
        assert time.monotonic() - began < 3


async def test_publishing_more_than_may_be_pending_to_a_paused_nats_ends_at_the_time_out(
    store: Store, bus: Bus, nats: int, log_name: str, tenant: str
) -> None:
    large = [request(turn(tenant, "s", "x" * 250_000)) for _ in range(20)]
    await store.append(log_name, large)
    events = await store.read_after(log_name, 0, 20)
    name = StreamName(log_name, (await store.head(log_name)).incarnation)
    await bus.ensure_stream(name, 1)
    client = await bus.client()
    client._max_pending_size = 1_000_000
    with paused(nats):
        await ends_with(BusUnavailable, bus.publish(name, events))
        await ends_with(BusUnavailable, bus.hint(name))
        await ends_with(BusUnavailable, enters(bus, name))


async def enters(bus: Bus, name: StreamName) -> None:
    async with bus.hints(name, lambda: None):
        raise BusUnavailable("entered, as a subscription needs no answer")


async def test_consuming_from_a_paused_nats_ends_and_closes_in_time(bus: Bus, nats: int, log_name: str) -> None:
    name = StreamName(log_name, "f" * 32)
    await bus.ensure_stream(name, 1)
    async with aclosing(consume(bus, name, 0)) as consuming:
        assert await anext(consuming) == []
        with paused(nats):
            await ends_with(BusUnavailable, until_it_fails(consuming), 3.0)
            began = time.monotonic()
            await consuming.aclose()
            assert time.monotonic() - began < 2 * SLACK_S
            await ends_with(BusUnavailable, anext(consume(bus, name, 0)))


async def until_it_fails(consuming: AsyncIterator[object]) -> None:
    while True:
        await anext(consuming)


async def test_whoever_ends_while_his_lag_is_asked_for_does_not_wait_for_a_postgres_that_says_nothing() -> None:
    async with blackhole() as port:
        store = await Store.open(f"postgresql://turnlog@127.0.0.1:{port}/turnlog")
        lags = Lags(store)
        lags.add(FollowerLag("main", "projector", lambda: True))
        async with lags.kept():
            await asyncio.sleep(0.2)  # it asks
            began = time.monotonic()
        assert time.monotonic() - began < SLACK_S
        await store.close()
