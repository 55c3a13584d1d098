"""Leadership: one holder of a name at a time, by a session-level advisory lock on a connection of its own.

A lock is only liveness (what a leader writes is fenced where it is written). A leader that is paused stops its
heartbeat, PostgreSQL ends its idle session (`idle_session_timeout`), and a stand-by takes over.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from turnlog_eventstore.connections import Connection, within


@dataclass(frozen=True, slots=True)
class LeadershipSettings:
    """A dead or paused leader is replaced after at most `lease_s` + `retry_s`."""

    lease_s: float = 6.0
    heartbeat_s: float = 1.5
    retry_s: float = 0.5


@dataclass(slots=True)
class Leadership:
    """Held leadership. `lost` is set when it may have passed to another: stop, then ask again."""

    name: str
    lost: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def leadership(
    dsn: str, name: str, settings: LeadershipSettings = LeadershipSettings()
) -> AsyncIterator[Leadership]:
    """Wait until this process leads `name`; give it up on leaving. Waits for ever while PostgreSQL is away."""
    connection = await _win(dsn, name, settings)
    held = Leadership(name)
    heart = asyncio.create_task(_beat(connection, held, settings))
    try:
        yield held
    finally:
        heart.cancel()
        connection.terminate()
        await asyncio.wait({heart})


async def _win(dsn: str, name: str, settings: LeadershipSettings) -> Connection:
    connection: Connection | None = None
    try:
        while True:
            try:
                connection = connection or await _connect(dsn, settings)
                query = connection.fetchval("select pg_try_advisory_lock(hashtextextended($1, 0))", name)
                if await within(connection, query, settings.lease_s / 2):
                    return connection
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if connection is not None:
                    connection.terminate()
                connection = None
            await asyncio.sleep(settings.retry_s)
    except asyncio.CancelledError:
        if connection is not None:
            connection.terminate()
        raise


async def _connect(dsn: str, settings: LeadershipSettings) -> Connection:
    """A connection that PostgreSQL ends when it stays idle. Cancelled on the way, it is closed once it stands."""
    connecting = asyncio.ensure_future(
        asyncpg.connect(
            dsn,
            timeout=settings.lease_s / 2,
            server_settings={
                "application_name": "turnlog leader",
                "idle_session_timeout": str(int(settings.lease_s * 1000)),
            },
        )
    )
    try:
        await asyncio.wait({connecting})
    except asyncio.CancelledError:
        connecting.add_done_callback(_close_late)
        raise
    return connecting.result()


def _close_late(connecting: "asyncio.Future[asyncpg.Connection[Any]]") -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().terminate()


async def _beat(connection: Connection, held: Leadership, settings: LeadershipSettings) -> None:
    try:
        while True:
            await asyncio.sleep(settings.heartbeat_s)
            await within(connection, connection.fetchval("select 1"), settings.lease_s / 2)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        held.lost.set()
