"""The ground on which one scenario runs once: real servers and a log of its own, as seen by the forked process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import asyncpg
from redis.asyncio import Redis

from faults.steps.killer import exempt
from turnlog_bus import Bus
from turnlog_eventstore import LeadershipSettings, Store
from turnlog_eventstore.connections import StoreSettings

WAIT_S = 15.0
POLL_S = 0.01
_LEADERSHIP = {"retry_s": 0.02, "spread_s": 0.1}


class NeverHeld(Exception):
    """The operation did not come to its end in time."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Of the servers: a database that is the walk's own, and a Redis database that is the lane's own."""

    owner_dsn: str
    dsn: str
    nats_url: str
    redis_url: str


@dataclass(slots=True)
class Ground:
    """`tell` passes a fact out of the process at once, so that it is known after the process was killed;
    `answers` are the acknowledgements that the crashed process had got."""

    addresses: Addresses
    log: str
    tell: Callable[[str, Any], None]
    answers: dict[str, Any] = field(default_factory=dict)

    @property
    def tenant(self) -> str:
        """The tenant of everything that is written."""
        return f"tenant-{self.log}"

    async def make_log(self) -> None:
        """Add the log, empty, and empty the lane's Redis database."""
        connection = await asyncpg.connect(self.addresses.owner_dsn)
        try:
            await connection.execute("insert into turnlog.logs (log) values ($1)", self.log)
        finally:
            await connection.close()
        async with Redis.from_url(self.addresses.redis_url) as redis:
            await redis.flushdb()

    def acknowledge(self, name: str, answer: Any) -> None:
        """A client has its answer: what it says must hold from now on."""
        self.tell("answer", [name, answer])

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """An event store on the application role that asks for leadership often."""
        quick = {f.name: _LEADERSHIP[f.name] for f in fields(LeadershipSettings) if f.name in _LEADERSHIP}
        opened = await Store.open(self.addresses.dsn, StoreSettings(), LeadershipSettings(**quick))
        try:
            yield opened
        finally:
            await opened.close()

    @asynccontextmanager
    async def bus(self) -> AsyncIterator[Bus]:
        """NATS."""
        bus = Bus(self.addresses.nats_url)
        try:
            yield bus
        finally:
            await bus.close()

    async def until(self, holds: Callable[[Store], Awaitable[bool]]) -> None:
        """Wait until something holds, seen from outside: what looks is no part of the operation, so its awaits are no
        crash points. Raises `NeverHeld` after `WAIT_S`."""
        with exempt():
            looking = asyncio.create_task(self._look(holds))
        try:
            await looking
        except TimeoutError:
            raise NeverHeld(f"after {WAIT_S} s the work is not done: {holds.__qualname__}") from None

    async def _look(self, holds: Callable[[Store], Awaitable[bool]]) -> None:
        async with self.store() as store, asyncio.timeout(WAIT_S):
            while not await holds(store):
                await asyncio.sleep(POLL_S)
