"""The one connection on which a process holds its leaderships: session-level advisory locks.

A name is held by an exclusive lock on it (which every release has used), and contended for by a shared lock on
`turnlog.want/<name>`, so that pg_locks shows who is there to any role. PostgreSQL ends the session when it stays idle
for a lease, as that of a paused process does; all its locks pass on then.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import asyncpg

from turnlog_eventstore.connections import Connection
from turnlog_eventstore.statements import statement


@dataclass(frozen=True, slots=True)
class Seen:
    """A name as PostgreSQL shows it; replicas are backend pids."""

    name: str
    holder: int | None
    contenders: frozenset[int]


class LeaderSession:
    """An open session; unusable after any failure."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.pid = int(connection.get_server_pid())
        self.locked: set[str] = set()
        self._contending: set[str] = set()

    @classmethod
    async def open(cls, dsn: str, lease_s: float) -> "LeaderSession":
        """Connect, within about half a lease. Raises what asyncpg raises, or `TimeoutError`."""
        return cls(await _connect(dsn, lease_s))

    def on_end(self, ended: Callable[[], None]) -> None:
        """Call `ended` when the connection closes, whoever closed it."""
        self.connection.add_termination_listener(lambda _: ended())

    async def contend(self, names: Iterable[str]) -> None:
        """Contend for exactly these names."""
        wanted = set(names)
        if new := wanted - self._contending:
            await self.connection.fetch(statement("contend"), list(new))
        if gone := self._contending - wanted:
            await self.connection.fetch(statement("withdraw"), list(gone))
        self._contending = wanted

    async def look(self, names: Iterable[str]) -> list[Seen]:
        """Who holds and who contends for these names."""
        rows = await self.connection.fetch(statement("leaders"), list(names))
        return [Seen(name, holder, frozenset(contenders)) for name, holder, contenders in rows]

    async def try_lock(self, name: str) -> bool:
        """Take the name unless somebody holds it."""
        if not await self.connection.fetchval("select pg_try_advisory_lock(hashtextextended($1, 0))", name):
            return False
        self.locked.add(name)
        return True

    async def unlock(self, name: str) -> None:
        """Let the name go."""
        await self.connection.fetchval("select pg_advisory_unlock(hashtextextended($1, 0))", name)
        self.locked.discard(name)

    def close(self) -> None:
        """End the session, and with it everything it holds, without waiting for the server."""
        self.connection.terminate()


async def _connect(dsn: str, lease_s: float) -> Connection:
    """A connection that PostgreSQL ends when it stays idle. Left on the way, it is closed once it stands."""
    connecting = asyncio.ensure_future(
        asyncpg.connect(
            dsn,
            timeout=lease_s / 2,
            server_settings={
                "application_name": "turnlog leader",
                "idle_session_timeout": str(int(lease_s * 1000)),
            },
        )
    )
    try:
        done, _ = await asyncio.wait({connecting}, timeout=lease_s / 2 + 0.5)
    except asyncio.CancelledError:
        connecting.add_done_callback(_close_late)
        raise
    if not done:
        connecting.add_done_callback(_close_late)
        raise TimeoutError
    return connecting.result()


def _close_late(connecting: "asyncio.Future[asyncpg.Connection[Any]]") -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().terminate()
