"""A connection that breaks at an awkward moment: what was asked has its answer, and the pool goes on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from turnlog_eventstore import StoreUnavailable
from turnlog_eventstore.connections import Connections, StoreSettings


@pytest.fixture
async def connections(dsn: str) -> AsyncIterator[Connections]:
    """A pool of one, so that a place that is not given back shows."""
    opened = await Connections.open(dsn, StoreSettings(pool_connections=1, deadline_s=2))
    yield opened
    await opened.close()


async def test_a_connection_that_the_server_closed_before_a_write_was_sent_stored_nothing(
    connections: Connections, owner_dsn: str
) -> None:
    pid = await connections.read(lambda c: c.fetchval("select pg_backend_pid()"))

    async def cut(_epoch: str, _left_s: float) -> None:
        owner = await asyncpg.connect(owner_dsn)
        await owner.execute("select pg_terminate_backend($1, 5000)", pid)
        await owner.close()
        await asyncio.sleep(0)  # the loop hears of it

    with pytest.raises(StoreUnavailable):
        await connections.write(lambda c: c.fetchval("select 1"), admit=cut)
    assert await connections.read(lambda c: c.fetchval("select 2")) == 2


@pytest.mark.parametrize("error", [asyncpg.InternalClientError("a free holder"), asyncpg.InterfaceError("closed")])
async def test_a_connection_that_breaks_as_it_is_given_back_costs_no_answer_and_no_place(
    connections: Connections, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    release = asyncpg.Pool.release

    async def breaking(pool: Any, connection: Any, **more: Any) -> None:
        await release(pool, connection, **more)
        raise error

    monkeypatch.setattr(asyncpg.Pool, "release", breaking)
    assert await connections.write(lambda c: c.fetchval("select 1")) == 1
    assert await connections.read(lambda c: c.fetchval("select 2")) == 2


async def test_a_connection_to_a_server_before_is_closed_instead_of_used(connections: Connections) -> None:
    pid, epoch = await connections.read(lambda c: c.fetchval("select pg_backend_pid()")), connections.epoch
    connections.epoch = "another server's"
    assert await connections.read(lambda c: c.fetchval("select pg_backend_pid()")) != pid
    assert connections.epoch == epoch


async def test_a_connection_that_the_pool_took_back_before_it_was_looked_at_is_not_used_either(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connections.read(lambda c: c.fetchval("select 1"))
    pool = connections._pool
    taken_back: list[object] = []

    class Losing:
        """The pool, but the first connection is taken back before its asker has it."""

        release = pool.release
        close = pool.close

        async def acquire(self) -> Any:
            connection = await pool.acquire()
            if not taken_back:
                taken_back.append(connection)
                await pool.release(connection)
            return connection

    monkeypatch.setattr(connections, "_pool", Losing())
    assert await connections.read(lambda c: c.fetchval("select 3")) == 3
    assert len(taken_back) == 1
