"""Leadership on a real PostgreSQL: spread over processes, taken over when one dies or is paused, and shared again."""

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from turnlog_eventstore import LeadershipSettings, Store

QUICK = LeadershipSettings(lease_s=1.5, heartbeat_s=0.3, retry_s=0.1)
CONTENDER = """
import asyncio, sys
from turnlog_eventstore import LeadershipSettings, Store

async def contend(store, name):
    while True:
        async with store.leadership(name) as held:
            print("+", name, flush=True)
            await held.lost.wait()
        print("-", name, flush=True)

async def main():
    quick = LeadershipSettings(lease_s=1.5, heartbeat_s=0.3, retry_s=0.1)
    store = await Store.open(sys.argv[1], leadership_settings=quick)
    async with asyncio.TaskGroup() as tasks:
        for name in sys.argv[2:]:
            tasks.create_task(contend(store, name))

asyncio.run(main())
"""


class Contender:
    """Contends for names in this process and knows what it leads."""

    def __init__(self) -> None:
        self.leads: set[str] = set()

    async def contend(self, store: Store, name: str) -> None:
        while True:
            async with store.leadership(name) as held:
                self.leads.add(name)
                await held.lost.wait()
                self.leads.discard(name)


@asynccontextmanager
async def contending(dsn: str, names: list[str]) -> AsyncIterator[tuple[Store, Contender]]:
    store = await Store.open(dsn, leadership_settings=QUICK)
    contender = Contender()
    tasks = [asyncio.create_task(contender.contend(store, name)) for name in names]
    try:
        yield store, contender
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await store.close()


async def until(true: Callable[[], bool], seconds: float = 8) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)


@pytest.fixture
def names() -> list[str]:
    kind = uuid.uuid4().hex
    return [f"{kind}/{n}" for n in range(4)]


async def holders(owner_dsn: str, names: list[str]) -> dict[str, int]:
    connection = await asyncpg.connect(owner_dsn)
    try:
        rows = await connection.fetch(
            "select n, l.pid from unnest($1::text[]) n join pg_locks l on l.locktype = 'advisory' "
            "and (l.classid::bigint << 32) | l.objid::bigint = hashtextextended(n, 0) and l.mode = 'ExclusiveLock'",
            names,
        )
    finally:
        await connection.close()
    return dict(rows)


async def test_two_processes_lead_half_each_and_one_takes_all_when_the_other_leaves(dsn: str, names: list[str]) -> None:
    async with contending(dsn, names) as (_, first):
        await until(lambda: first.leads == set(names))
        async with contending(dsn, names) as (_, second):
            await until(lambda: len(first.leads) == len(second.leads) == 2)
            assert first.leads | second.leads == set(names)
            before = (set(first.leads), set(second.leads))
            await asyncio.sleep(3 * QUICK.heartbeat_s)
            assert (first.leads, second.leads) == before
        await until(lambda: first.leads == set(names), QUICK.lease_s + QUICK.retry_s)


async def test_a_store_holds_all_its_leaderships_on_one_connection(dsn: str, owner_dsn: str, names: list[str]) -> None:
    async with contending(dsn, names) as (_, alone):
        await until(lambda: alone.leads == set(names))
        assert len(set((await holders(owner_dsn, names)).values())) == 1


async def test_a_lost_session_is_noticed_at_once_and_contended_for_again(
    dsn: str, owner_dsn: str, names: list[str]
) -> None:
    store = await Store.open(dsn, leadership_settings=QUICK)
    connection = await asyncpg.connect(owner_dsn)
    try:
        async with store.leadership(names[0]) as held:
            pid = (await holders(owner_dsn, names))[names[0]]
            await connection.execute("select pg_terminate_backend($1)", pid)
            await asyncio.wait_for(held.lost.wait(), QUICK.heartbeat_s)
        async with asyncio.timeout(5), store.leadership(names[0]):
            assert (await holders(owner_dsn, names))[names[0]] != pid
    finally:
        await connection.close()
        await store.close()


async def test_a_paused_process_loses_all_within_the_lease_and_gets_its_share_back(dsn: str, names: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CONTENDER, dsn, *names, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    theirs: set[str] = set()

    async def listen() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            sign, _, name = line.decode().strip().partition(" ")  # its log is among them, and names nothing of ours
            theirs.add(name) if sign == "+" else theirs.discard(name)

    listening = asyncio.create_task(listen())
    try:
        await until(lambda: theirs == set(names))
        async with contending(dsn, names) as (_, ours):
            await until(lambda: len(theirs) == len(ours.leads) == 2)
            os.kill(process.pid, signal.SIGSTOP)
            await until(lambda: ours.leads == set(names), QUICK.lease_s + QUICK.retry_s + 0.5)
            os.kill(process.pid, signal.SIGCONT)
            await until(lambda: len(theirs) == len(ours.leads) == 2 and not theirs & ours.leads)
            process.kill()
            await until(lambda: ours.leads == set(names), QUICK.retry_s + 1)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await listening


async def test_two_of_one_process_take_turns(dsn: str, names: list[str]) -> None:
    store = await Store.open(dsn, leadership_settings=QUICK)
    order: list[int] = []

    async def once(number: int) -> None:
        async with store.leadership(names[0]):
            order.append(number)
            await asyncio.sleep(0.1)
            order.append(number)

    await asyncio.gather(*(once(n) for n in range(3)))
    assert order in ([a, a, b, b, c, c] for a in range(3) for b in range(3) for c in range(3))
    await store.close()


async def test_waiting_for_leadership_while_postgres_is_away_can_be_cancelled_at_once() -> None:
    store = await Store.open("postgresql://nobody@127.0.0.1:1/none", leadership_settings=QUICK)

    async def wait() -> None:
        async with store.leadership("x/y"):
            raise AssertionError

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.3)
    task.cancel()
    async with asyncio.timeout(1):
        await asyncio.wait({task})
    assert task.cancelled()
    await store.close()
