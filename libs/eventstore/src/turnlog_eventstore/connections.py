"""A pool whose every step is bounded, also when PostgreSQL is paused or half-open.

asyncpg's own time-outs send a cancel request and wait for the server to take it, which a paused server never does.
Here the wait is ours: at the deadline the connection is terminated (its socket closed) and never used again.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from turnlog_eventstore.errors import OutcomeUnknown, SchemaMissing, StatementFailed, StoreUnavailable

Connection: TypeAlias = "asyncpg.Connection[Any] | PoolConnectionProxy[Any]"
T = TypeVar("T")

_CONNECTION_ERRORS = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_REFUSALS = (
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DiskFullError,
    asyncpg.OutOfMemoryError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.LockNotAvailableError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.QueryCanceledError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.PostgresIOError,
)
_MISSING = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError, asyncpg.UndefinedFunctionError)


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Limits of the store's connections. `role` is what every session runs as: it can append, never change."""

    pool_connections: int = 8
    connect_timeout_s: float = 3.0
    deadline_s: float = 5.0
    role: str = "turnlog_app"
    statement_cache_size: int = 100


class Connections:
    """A bounded pool of connections to one PostgreSQL."""

    def __init__(self, pool: "asyncpg.Pool[Any]", settings: StoreSettings) -> None:
        self._pool = pool
        self._settings = settings

    @classmethod
    async def open(cls, dsn: str, settings: StoreSettings) -> "Connections":
        """A pool that connects when first used. Raises ValueError for an address that is none."""
        pool = await asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=settings.pool_connections,
            timeout=settings.connect_timeout_s,
            max_inactive_connection_lifetime=300,
            statement_cache_size=settings.statement_cache_size,
            server_settings={"role": settings.role, "application_name": "turnlog"},
            reset=_keep_session,
        )
        return cls(pool, settings)

    async def close(self) -> None:
        """Close all connections, by force after the deadline."""
        done, _ = await asyncio.wait({asyncio.ensure_future(self._pool.close())}, timeout=self._settings.deadline_s)
        if not done:
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self, deadline_s: float) -> AsyncIterator[Connection]:
        """A connection of the pool. Raises `StoreUnavailable` when none can be had in time."""
        try:
            connection = await self._pool.acquire(timeout=deadline_s)
        except TimeoutError:
            raise StoreUnavailable("no connection to PostgreSQL within the deadline") from None
        except _CONNECTION_ERRORS + _REFUSALS as error:
            raise StoreUnavailable(f"PostgreSQL cannot be reached: {_brief(error)}") from error
        try:
            yield connection
        finally:
            await self._pool.release(connection)

    async def read(self, query: Callable[[Connection], Awaitable[T]], deadline_s: float | None = None) -> T:
        """Run a read within the deadline (seconds). Raises `StoreUnavailable` or `SchemaMissing`."""
        limit_s = self._settings.deadline_s if deadline_s is None else deadline_s
        async with self.connection(limit_s) as connection:
            try:
                return await within(connection, query(connection), limit_s)
            except TimeoutError:
                raise StoreUnavailable("PostgreSQL did not answer within the deadline") from None
            except _MISSING as error:
                raise SchemaMissing(f"{_brief(error)}: run `turnlog migrate`") from error
            except _CONNECTION_ERRORS + _REFUSALS as error:
                raise StoreUnavailable(f"PostgreSQL failed: {_brief(error)}") from error

    async def write(self, query: Callable[[Connection], Awaitable[T]], deadline_s: float | None = None) -> T:
        """Run one committing statement. Raises `StoreUnavailable` (not done) or `OutcomeUnknown`."""
        limit_s = self._settings.deadline_s if deadline_s is None else deadline_s
        async with self.connection(limit_s) as connection:
            try:
                return await within(connection, query(connection), limit_s)
            except TimeoutError:
                raise OutcomeUnknown("PostgreSQL did not answer within the deadline") from None
            except _MISSING as error:
                raise SchemaMissing(f"{_brief(error)}: run `turnlog migrate`") from error
            except _REFUSALS as error:
                raise StoreUnavailable(f"PostgreSQL refused: {_brief(error)}") from error
            except _CONNECTION_ERRORS as error:
                raise OutcomeUnknown(f"the connection to PostgreSQL broke: {_brief(error)}") from error
            except (asyncpg.PostgresError, asyncpg.DataError) as error:
                raise StatementFailed(_brief(error), error.sqlstate or "") from error


async def within(connection: Connection, call: Awaitable[T], deadline_s: float) -> T:
    """The result of `call`, or `TimeoutError` at the deadline with the connection terminated.

    Cancellation terminates the connection too: a reply still under way must never meet the next query.
    """
    task = asyncio.ensure_future(call)
    try:
        done, _ = await asyncio.wait({task}, timeout=deadline_s)
    except asyncio.CancelledError:
        _abandon(connection, task)
        raise
    if not done:
        _abandon(connection, task)
        raise TimeoutError
    return task.result()


def _abandon(connection: Connection, task: "asyncio.Future[Any]") -> None:
    connection.terminate()
    task.add_done_callback(lambda t: t.cancelled() or t.exception())


async def _keep_session(_: Connection) -> None:
    """Instead of asyncpg's RESET ALL round trip at each release: no query of ours changes the session."""


def _brief(error: BaseException) -> str:
    """The error without its query or parameters: those may hold content."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(": ")
