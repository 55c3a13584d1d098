"""What the read API asks of PostgreSQL, Redis and the follower: the part of their libraries that it uses."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from turnlog_events.event import Event
from turnlog_eventstore import LogHead, SessionRow
from turnlog_views import HeadView, SessionView, TurnsView


class EventReads(Protocol):
    """PostgreSQL. Every call raises `StoreUnavailable` within its deadline; see `turnlog_eventstore.Store`."""

    async def head(self, log: str) -> LogHead: ...
    async def session_version(self, tenant: str, session_id: str) -> int: ...
    async def turns(
        self,
        tenant: str,
        session_id: str,
        *,
        limit: int,
        after_version: int = 0,
        before_version: int | None = None,
        newest_first: bool = True,
        agent_id: str | None = None,
    ) -> list[Event]: ...
    async def marks(self, tenant: str, session_id: str) -> list[Event]: ...
    async def session(self, tenant: str, session_id: str) -> SessionRow | None: ...
    async def sessions(
        self,
        tenant: str,
        *,
        limit: int,
        agent_id: str | None = None,
        user_id: str | None = None,
        before_position: int | None = None,
    ) -> list[SessionRow]: ...
    async def agent_seen(self, tenant: str, agent_id: str) -> bool: ...
    async def task_events(self, tenant: str, task_id: str) -> list[Event]: ...
    async def task_started(self, tenant: str, task_id: str) -> bool: ...
    async def audit(self, log: str, *, tenant: str | None, after: int, limit: int) -> list[Event]: ...


class ViewReads(Protocol):
    """Redis. None means "cannot say", never "empty"; no call raises; see `turnlog_views.ViewReader`."""

    @property
    def why(self) -> str:
        """Why the call that answered None last did so: `miss`, `stale` or `away`."""

    async def turns(self, tenant: str, log: str, session_id: str, limit: int) -> TurnsView | None: ...
    async def session(self, tenant: str, log: str, session_id: str) -> SessionView | None: ...
    async def head(self, tenant: str, log: str, session_id: str) -> HeadView | None: ...
    def saw(self, log: str, incarnation: str, epoch: str) -> None: ...
    def forget(self, log: str) -> None: ...


class EventBatch(Protocol):
    """A contiguous part of a log, possibly empty."""

    @property
    def events(self) -> Sequence[Event]: ...


class Follows(Protocol):
    """The follower; see `turnlog_follow.Follower`."""

    def batches(self, after: int) -> AsyncIterator[EventBatch]: ...


class LogOfTenant(Protocol):
    """Which log a tenant lives in; see `turnlog_eventstore.TenantLogs`."""

    def known(self, tenant: str) -> str | None:
        """The log, if it can be said without asking."""

    async def of(self, tenant: str) -> str:
        """The log. Raises `StoreError` when PostgreSQL must be asked and is away."""
