"""Everything that is read for one tenant, behind the second wall (`as_tenant.py`): each call a short transaction that
can see the rows of this tenant and no others. Every method raises `StoreUnavailable`, within its deadline.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from turnlog_events.event import Event
from turnlog_eventstore.as_tenant import Sight, of_tenant, of_tenant_in_log, seeing
from turnlog_eventstore.connections import Connections
from turnlog_eventstore.observer import Observer
from turnlog_eventstore.statements import statement

MAX_VERSION = 2**63 - 1


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session as listed; `position` is that of its first event, by which sessions are ordered."""

    session_id: str
    log: str
    position: int
    created_at_us: int


@dataclass(frozen=True, slots=True)
class Members:
    """Who was seen in a session, in the order first seen."""

    agents: tuple[str, ...]
    users: tuple[str, ...]


class TenantReads:
    """Reads of one tenant at a time."""

    def __init__(self, connections: Connections, observer: Observer | None = None) -> None:
        self._connections, self._observer = connections, observer

    async def tenant_log(self, tenant: str, deadline_s: float | None = None) -> tuple[str | None, bool]:
        """The log the tenant is assigned to (None: to none), and whether it has a session and so can never move."""
        rows = await self._seen(of_tenant(tenant), "tenant_log", tenant, deadline_s=deadline_s)
        return rows[0][0], rows[0][1]

    async def session_version(self, tenant: str, session_id: str) -> int:
        """The session's head version; 0 when there is no such session."""
        row = await self._one("session_version", tenant, session_id)
        return row[0] if row else 0

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
    ) -> list[Event]:
        """Turns with after_version < version < before_version, ALWAYS in ascending order; when there are more than
        `limit`, the newest ones (or with `newest_first=False` the oldest). Retracted turns are among them."""
        name = "turns_newest" if newest_first else "turns_oldest"
        before = MAX_VERSION if before_version is None else before_version
        events = await self._events_of(name, tenant, session_id, after_version, before, limit, agent_id)
        return events[::-1] if newest_first else events

    async def marks(self, tenant: str, session_id: str) -> list[Event]:
        """The session's events that are not turns (summaries, retractions, compression tasks), in order."""
        return await self._events_of("marks", tenant, session_id)

    async def session(self, tenant: str, session_id: str) -> SessionRow | None:
        """The session, or None."""
        row = await self._one("session", tenant, session_id)
        return SessionRow(*row) if row else None

    async def sessions(
        self,
        tenant: str,
        *,
        limit: int,
        agent_id: str | None = None,
        user_id: str | None = None,
        before_position: int | None = None,
    ) -> list[SessionRow]:
        """Sessions, newest first, whose first event lies before `before_position`."""
        before = MAX_VERSION if before_position is None else before_position
        if agent_id is not None:
            rows = await self._all("sessions_of_agent", tenant, before, limit, agent_id, user_id)
        elif user_id is not None:
            rows = await self._all("sessions_of_user", tenant, before, limit, user_id)
        else:
            rows = await self._all("sessions_newest", tenant, before, limit)
        return [SessionRow(*row) for row in rows]

    async def members(self, tenant: str, session_id: str) -> Members:
        """The agents and users of a session; both empty when there is no such session."""
        rows = await self._all("members", tenant, session_id)
        return Members(tuple(r[1] for r in rows if r[0]), tuple(r[1] for r in rows if not r[0]))

    async def agent_seen(self, tenant: str, agent_id: str) -> bool:
        """Whether the agent stands in any session."""
        row = await self._one("agent_seen", tenant, agent_id)
        return bool(row and row[0])

    async def task_events(self, tenant: str, task_id: str) -> list[Event]:
        """The events of a compression task, in order; empty when there is no such task."""
        return await self._events_of("task_events", tenant, task_id)

    async def task_started(self, tenant: str, task_id: str) -> bool:
        """Whether a compressor has taken the task up."""
        row = await self._one("task_started", tenant, task_id)
        return bool(row and row[0])

    async def tenant_events(self, tenant: str, log: str, after: int, limit: int) -> list[Event]:
        """The tenant's events of a log after a position, in order."""
        rows = await self._seen(of_tenant_in_log(tenant, log), "audit_tenant", tenant, log, after, limit)
        return [Event(*row) for row in rows]

    async def _one(self, name: str, tenant: str, *arguments: Any) -> Any:
        rows = await self._all(name, tenant, *arguments)
        return rows[0] if rows else None

    async def _events_of(self, name: str, tenant: str, *arguments: Any) -> list[Event]:
        return [Event(*row) for row in await self._all(name, tenant, *arguments)]

    async def _all(self, name: str, tenant: str, *arguments: Any) -> list[Any]:
        return await self._seen(of_tenant(tenant), name, tenant, *arguments)

    async def _seen(self, sight: Sight, name: str, *arguments: Any, deadline_s: float | None = None) -> list[Any]:
        def asked(connection: Any) -> Any:
            return seeing(sight, connection, lambda c: c.fetch(statement(name), *arguments))

        with self._observer.reading(name) if self._observer is not None else nullcontext():
            rows: list[Any] = await self._connections.read(asked, deadline_s)
        return rows
