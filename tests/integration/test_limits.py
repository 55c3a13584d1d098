"""Limits on a real Valkey: shared by processes, kept in keys that expire, and never a reason to fail or to hang."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from faults.servers import pause, resume
from turnlog_embedded import Servers, ServerSpec, start
from turnlog_events.ids import new_id
from turnlog_limits.counter import PREFIX, RedisCounter, subject_of
from turnlog_limits.leases import Account, Leases, Refused
from turnlog_limits.limit import Limit

DEADLINE_S = 0.05
RETRY_S = 0.2


def limit(amount: int, lot_max: int, *, window_s: int = 60, local: int = 0) -> Limit:
    return Limit("requests-key", "requests", "key", amount, window_s, local or amount, lot_max)


@asynccontextmanager
async def process(url: str, deadline_s: float = 1.0) -> AsyncIterator[Leases]:
    """One process's leases, renewed in the background."""
    counter = RedisCounter(url, deadline_s)
    leases = Leases(counter, retry_s=RETRY_S)
    await leases.open()
    task = asyncio.create_task(leases.run())
    try:
        yield leases
    finally:
        task.cancel()
        await asyncio.wait({task})
        await counter.close()


async def let_in(leases: Leases, account: Account, times: int) -> int:
    """How many of so many requests pass."""
    passed = 0
    for _ in range(times):
        try:
            await leases.charge([account], 1)
        except Refused:
            continue
        passed += 1
        await asyncio.sleep(0)
    return passed


async def test_two_processes_share_a_limit(redis_url: str) -> None:
    shared, subject = limit(500, 10), subject_of(new_id(), "key")
    async with process(redis_url) as one, process(redis_url) as two:
        accounts = [Account(shared, subject), Account(shared, subject)]
        passed = await asyncio.gather(let_in(one, accounts[0], 1_000), let_in(two, accounts[1], 1_000))
    assert 500 - 2 * 10 <= sum(passed) <= 500 + 2 * 2 * 10
    assert min(passed) > 100


async def test_one_tenants_use_is_not_anothers(redis_url: str) -> None:
    own = limit(50, 2)
    async with process(redis_url) as leases:
        noisy, quiet = Account(own, subject_of(new_id(), "k")), Account(own, subject_of(new_id(), "k"))
        assert await let_in(leases, noisy, 200) < 60
        assert await let_in(leases, quiet, 40) == 40


async def test_its_keys_expire(redis_url: str) -> None:
    subject = subject_of(new_id(), "key")
    account = Account(limit(50, 5, window_s=1), subject)

    async def keys_left(redis: "Redis") -> list[bytes]:
        return [key async for key in redis.scan_iter(f"{PREFIX}:*{subject}*")]

    async with process(redis_url) as leases, Redis.from_url(redis_url) as redis, asyncio.timeout(15):
        while len(keys := await keys_left(redis)) < 2:  # this window's and that of the one before
            await let_in(leases, account, 5)
        assert {0 < await redis.pttl(key) <= 2_000 for key in keys} == {True}
        while await keys_left(redis):
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
async def valkey(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """A Valkey of one's own, to be paused and killed."""
    folder: Path = tmp_path_factory.mktemp("limits")
    servers = await start(folder / "data", ServerSpec(postgres=False, nats=False))
    yield servers
    await servers.stop()


@pytest.mark.faults
@pytest.mark.parametrize("how", ["paused", "killed"])
async def test_without_redis_nothing_hangs_each_process_counts_alone_and_then_all_together_again(
    valkey: Servers, how: str
) -> None:
    account = Account(limit(10_000, 20, local=100), subject_of(new_id(), "k"))
    async with process(valkey.redis_url, DEADLINE_S) as leases:
        assert await let_in(leases, account, 50) == 50
        stopped = pause(valkey.pids["valkey"]) if how == "paused" else []
        if how == "killed":
            valkey.kill("valkey")
        passed, longest_s = 0, 0.0
        for _ in range(400):
            began = time.monotonic()
            passed += await let_in(leases, account, 1)
            longest_s = max(longest_s, time.monotonic() - began)
        resume(stopped)
        if how == "killed":
            await valkey.start_one("valkey")
        assert longest_s < DEADLINE_S + 0.15
        assert 100 - 2 * 20 <= passed <= 100 + 2 * 2 * 20
        deadline = time.monotonic() + 5
        while await let_in(leases, account, 50) < 50:
            assert time.monotonic() < deadline, "not shared again"
            await asyncio.sleep(0.02)
