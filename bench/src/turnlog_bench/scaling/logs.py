"""Further logs, tenants that live in them, and the model of a slow flush."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from turnlog_bench.material import tenant_of
from turnlog_bench.stack import LOG, Stack
from turnlog_eventstore import Administration

TENANTS = 16
"""So many tenants write; they are spread evenly over the logs."""


def names(count: int) -> list[str]:
    """The names of so many logs; the first is the default one."""
    return [LOG, *(f"log-{number}" for number in range(2, count + 1))][:count]


async def create(stack: Stack, logs: Sequence[str], place: str) -> None:
    """Create those of the logs that are missing, and spread the tenants of a place over all of them."""
    owner = await Administration.open(stack.servers.postgres_dsn)
    try:
        there = {row.log for row in await owner.logs()}
        for log in logs:
            if log not in there:
                await owner.create_log(log)
        for number in range(TENANTS):
            await owner.assign(tenant_of(place, number), logs[number % len(logs)])
    finally:
        await owner.close()


@asynccontextmanager
async def slow_flush(stack: Stack, delay_ms: float) -> AsyncIterator[None]:
    """Until left, each flush of PostgreSQL's log begins so much later, whoever waits for it waiting along.

    A model of a disk across a network: PostgreSQL sleeps (`commit_delay`) while it holds the lock of the flush, as it
    would while such a disk works. It flatters a little: who commits during the sleep is flushed with it, and would have
    to wait for the next flush of a real disk.
    """
    await _configure(stack, [f"alter system set commit_delay = {round(1000 * delay_ms)}", _ALONE_TOO])
    try:
        yield
    finally:
        await _configure(stack, ["alter system reset commit_delay", "alter system reset commit_siblings"])


_ALONE_TOO = "alter system set commit_siblings = 0"


async def _configure(stack: Stack, statements: Sequence[str]) -> None:
    connection = await asyncpg.connect(stack.servers.postgres_dsn)
    try:
        for statement in (*statements, "select pg_reload_conf()"):
            await connection.execute(statement)
    finally:
        await connection.close()
    await stack.until(
        lambda: _reloaded(stack, "commit_delay" in statements[0] and " set " in statements[0]), 10, "a reload"
    )


async def _reloaded(stack: Stack, delayed: bool) -> bool:
    """Whether new sessions have the delay, or none."""
    connection = await asyncpg.connect(stack.servers.postgres_dsn)
    try:
        return bool(await connection.fetchval("select current_setting('commit_delay')::int > 0")) is delayed
    finally:
        await connection.close()
