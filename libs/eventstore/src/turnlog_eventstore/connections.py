"""A pool whose every step is bounded, also when PostgreSQL is paused or half-open.

asyncpg's own time-outs send a cancel request and wait for the server to take it, which a paused server never does.
Here the wait is ours: at the deadline the connection is terminated (its socket closed) and never used again. A connect
that takes too long is left to end by itself (cancelled, it could leak its socket) and keeps its place until then.

Each new connection says which server it reached (`epoch`), so that a PostgreSQL that was restarted, restored or
replaced is noticed before the first statement goes there.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from turnlog_eventstore.errors import StoreUnavailable
from turnlog_eventstore.failures import CONNECTION_ERRORS, not_connected, read_failure, write_failure
from turnlog_eventstore.statements import statement

Connection: TypeAlias = "asyncpg.Connection[Any] | PoolConnectionProxy[Any]"
T = TypeVar("T")
Admit: TypeAlias = Callable[[str, float], Awaitable[None]]
"""Called with a connection's epoch and the seconds left before a write is sent there; raises to refuse it."""

_FAILURES = (*CONNECTION_ERRORS, asyncpg.PostgresError)
_NEVER = 2**62


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Limits of the store's connections. `role` is what every session runs as: it can append, never change."""

    pool_connections: int = 8
    connect_timeout_s: float = 3.0
    deadline_s: float = 5.0
    role: str = "turnlog_app"
    statement_cache_size: int = 100


class _Dated(asyncpg.Connection):
    """A connection that knows which server it reached."""

    __slots__ = ("epoch",)
    epoch: str


class Connections:
    """A bounded pool of connections to one PostgreSQL. `epoch` is that of the newest connection ("" before any)."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._pool: asyncpg.Pool[Any]
        self._slots = asyncio.Semaphore(settings.pool_connections)
        self._listeners: list[Callable[[str], None]] = []
        self.epoch = ""

    @classmethod
    async def open(cls, dsn: str, settings: StoreSettings) -> "Connections":
        """A pool that connects when first used. Raises ValueError for an address that is none."""
        connections = cls(settings)
        connections._pool = await asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=settings.pool_connections,
            max_queries=_NEVER,  # asyncpg would close the connection politely then, and wait for a paused server
            timeout=settings.connect_timeout_s,
            max_inactive_connection_lifetime=300,
            statement_cache_size=settings.statement_cache_size,
            server_settings={"role": settings.role, "application_name": "turnlog"},
            connection_class=_Dated,
            init=connections._learn_epoch,
            reset=_keep_session,
        )
        return connections

    async def close(self) -> None:
        """Close all connections, by force after the deadline."""
        closing = asyncio.ensure_future(self._pool.close())
        done, _ = await asyncio.wait({closing}, timeout=self._settings.deadline_s)
        if not done:
            self._pool.terminate()
            closing.cancel()
        closing.add_done_callback(_forget)

    def on_epoch(self, heard: Callable[[str], None]) -> None:
        """Call `heard` with the epoch whenever a new connection reaches another server than the one before."""
        self._listeners.append(heard)

    @asynccontextmanager
    async def connection(self, deadline_s: float) -> AsyncIterator["PoolConnectionProxy[Any]"]:
        """A connection of the pool, to the server that was reached last: one to a server before it is closed instead.
        Raises `StoreUnavailable` when none can be had in time; nothing was sent then."""
        ends_at = time.monotonic() + deadline_s
        connection = await self._acquire(deadline_s)
        for _ in range(self._settings.pool_connections):
            if epoch_of(connection) == self.epoch:
                break
            _end(connection)
            await self._release(connection)
            connection = await self._acquire(ends_at - time.monotonic())
        try:
            yield connection
        finally:
            await self._release(connection)

    async def _release(self, connection: "PoolConnectionProxy[Any]") -> None:
        try:
            # It can break just as it is given back: asyncpg has closed it then, and what was asked has its answer.
            with contextlib.suppress(TimeoutError, *_FAILURES):
                await self._pool.release(connection)
        finally:
            self._slots.release()

    async def read(self, query: Callable[[Connection], Awaitable[T]], deadline_s: float | None = None) -> T:
        """Run a read within the deadline (seconds, in all). Raises `StoreUnavailable` or `SchemaMissing`."""
        ends_at = time.monotonic() + (self._settings.deadline_s if deadline_s is None else deadline_s)
        async with self.connection(ends_at - time.monotonic()) as connection:
            try:
                return await within(connection, query(connection), ends_at - time.monotonic())
            except (TimeoutError, *_FAILURES) as error:
                raise read_failure(error) from error

    async def write(
        self,
        query: Callable[[Connection], Awaitable[T]],
        deadline_s: float | None = None,
        admit: Admit | None = None,
    ) -> T:
        """Run one committing statement within the deadline (seconds, in all). Raises `StoreUnavailable` (not done),
        `OutcomeUnknown`, `StatementFailed` (not done), or what `admit` raises (not done)."""
        ends_at = time.monotonic() + (self._settings.deadline_s if deadline_s is None else deadline_s)
        async with self.connection(ends_at - time.monotonic()) as connection:
            if admit is not None:
                await admit(epoch_of(connection), ends_at - time.monotonic())
            if _is_gone(connection):
                raise StoreUnavailable("the connection to PostgreSQL closed before anything was sent")
            try:
                return await within(connection, query(connection), ends_at - time.monotonic())
            except (TimeoutError, *_FAILURES) as error:
                raise write_failure(error) from error

    async def _acquire(self, deadline_s: float) -> "PoolConnectionProxy[Any]":
        ends_at = time.monotonic() + deadline_s
        try:
            async with asyncio.timeout(deadline_s):
                await self._slots.acquire()
        except TimeoutError:
            raise StoreUnavailable("all connections to PostgreSQL are busy") from None
        getting = asyncio.ensure_future(self._pool.acquire())
        try:
            done, _ = await asyncio.wait({getting}, timeout=max(0.0, ends_at - time.monotonic()))
        except asyncio.CancelledError:
            getting.add_done_callback(self._give_back)
            raise
        if not done:
            getting.add_done_callback(self._give_back)
            raise StoreUnavailable("no connection to PostgreSQL within the deadline")
        try:
            return getting.result()
        except (TimeoutError, *_FAILURES) as error:
            self._slots.release()
            raise not_connected(error) from error
        except BaseException:
            self._slots.release()
            raise

    def _give_back(self, getting: "asyncio.Future[Any]") -> None:
        """A connection came after its asker had left: close it, as giving it back would take another wait."""
        if not getting.cancelled() and getting.exception() is None:
            _end(getting.result())
        self._slots.release()

    async def _learn_epoch(self, connection: Connection) -> None:
        found: str = await within(connection, connection.fetchval(statement("epoch")), self._settings.connect_timeout_s)
        connection.epoch = found  # type: ignore[union-attr]
        if found != self.epoch:
            self.epoch = found
            for heard in self._listeners:
                heard(found)


def epoch_of(connection: Connection) -> str:
    """Which server a pooled connection reached."""
    return str(getattr(connection, "epoch", ""))


async def within(connection: Connection, call: Awaitable[T], deadline_s: float) -> T:
    """The result of `call`, or `TimeoutError` at the deadline with the connection terminated.

    Cancellation terminates the connection too: a reply still under way must never meet the next query.
    """
    task = asyncio.ensure_future(call)
    try:
        done, _ = await asyncio.wait({task}, timeout=max(0.0, deadline_s))
    except asyncio.CancelledError:
        _abandon(connection, task)
        raise
    if not done:
        _abandon(connection, task)
        raise TimeoutError
    return task.result()


def _is_gone(connection: Connection) -> bool:
    """Whether the server closed it; asyncpg's pool takes such a connection back from whoever holds it, and then refuses
    even this question."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True


def _end(connection: Connection) -> None:
    """Close it at once, if the pool has not taken it back already."""
    if not _is_gone(connection):
        connection.terminate()


def _abandon(connection: Connection, task: "asyncio.Future[Any]") -> None:
    _end(connection)
    task.add_done_callback(_forget)


def _forget(task: "asyncio.Future[Any]") -> None:
    """Take the outcome, which nobody waits for any more, so that it is not reported as never retrieved."""
    if not task.cancelled():
        task.exception()


async def _keep_session(_: Connection) -> None:
    """Instead of asyncpg's RESET ALL round trip at each release: no query of ours changes the session."""


__all__ = ["Admit", "Connection", "Connections", "StoreSettings", "epoch_of", "within"]
