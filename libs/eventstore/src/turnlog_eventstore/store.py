"""The store: everything that is asked of PostgreSQL, each call one statement and bounded in time.

Services hold one `Store` each. Events go in through `append` only; nothing here can change one.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from turnlog_events.event import Event
from turnlog_events.hashing import GENESIS
from turnlog_eventstore.append import Appended, AppendRequest, Stored, parameters, results
from turnlog_eventstore.connections import Admit, Connections, StoreSettings
from turnlog_eventstore.errors import StatementFailed, UnknownLog
from turnlog_eventstore.known_members import KnownMembers
from turnlog_eventstore.leadership import Leadership, Leaderships, LeadershipSettings
from turnlog_eventstore.statements import statement

MAX_VERSION = 2**63 - 1
_UNDEFINED_OBJECT = "42704"


@dataclass(frozen=True, slots=True)
class LogHead:
    """A log's last event (position 0 and 32 zero bytes while it is empty) and its incarnation (32 hex digits).

    `epoch` names the running PostgreSQL (its start in microseconds): another one means that the server was restarted,
    restored or replaced by its standby, so that what was derived before must be held to the log again.
    """

    log: str
    incarnation: str
    position: int
    chain_hash: bytes
    epoch: str = ""


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


class Store:
    """The event log in PostgreSQL. Reads raise `StoreUnavailable`; see each write for its errors."""

    def __init__(self, dsn: str, connections: Connections, leadership_settings: LeadershipSettings) -> None:
        self._connections = connections
        self._leaderships = Leaderships(dsn, leadership_settings)
        self._members = KnownMembers()

    @classmethod
    async def open(
        cls,
        dsn: str,
        settings: StoreSettings = StoreSettings(),
        leadership_settings: LeadershipSettings = LeadershipSettings(),
    ) -> "Store":
        """A store that connects when first used."""
        return cls(dsn, await Connections.open(dsn, settings), leadership_settings)

    async def close(self) -> None:
        """Let go of all leaderships and close all connections."""
        await self._leaderships.close()
        await self._connections.close()

    @property
    def epoch(self) -> str:
        """The running PostgreSQL as the newest connection found it, as in `LogHead.epoch`; "" before any."""
        return self._connections.epoch

    def on_epoch(self, heard: Callable[[str], None]) -> None:
        """Call `heard` with the epoch whenever a new connection reaches another server than the one before."""
        self._connections.on_epoch(heard)

    async def append(
        self,
        log: str,
        requests: Sequence[AppendRequest],
        deadline_s: float | None = None,
        admit: Admit | None = None,
    ) -> list[Appended]:
        """Append requests in one transaction; one result per request, in order.

        `admit` is asked before anything is sent, with the epoch of the server that would store it. No (tenant, session,
        key) may stand in `requests` twice. Raises `StoreUnavailable` (nothing stored), `OutcomeUnknown` (retry with the
        same keys), `UnknownLog`, `StatementFailed`, or what `admit` raises.
        """
        arguments = parameters(log, requests, self._members)
        try:
            rows = await self._connections.write(lambda c: c.fetch(statement("append"), *arguments), deadline_s, admit)
        except StatementFailed as error:
            if error.sqlstate == _UNDEFINED_OBJECT:
                raise UnknownLog(log) from None
            raise
        appended = results(log, requests, rows)
        for request, result in zip(requests, appended, strict=True):
            if isinstance(result, Stored):
                self._members.learn(request.events)
        return appended

    async def read_after(self, log: str, position: int, limit: int) -> list[Event]:
        """Up to `limit` events after `position`, contiguous and in order."""
        return await self._events("read_after", log, position, limit)

    async def head(self, log: str) -> LogHead:
        """The log's head. Raises `UnknownLog`."""
        row = await self._row("head", log)
        if row is None:
            raise UnknownLog(log)
        return LogHead(log, row[0], row[1] or 0, row[2] or GENESIS, row[3])

    async def logs(self) -> list[str]:
        """The names of all logs."""
        return [row[0] for row in await self._rows("logs")]

    async def tenant_log(self, tenant: str, deadline_s: float | None = None) -> tuple[str | None, bool]:
        """The log the tenant is assigned to (None: to none), and whether it has a session and so can never move."""
        rows = await self._connections.read(lambda c: c.fetch(statement("tenant_log"), tenant), deadline_s)
        return rows[0][0], rows[0][1]

    async def session_version(self, tenant: str, session_id: str) -> int:
        """The session's head version; 0 when there is no such session."""
        row = await self._row("session_version", tenant, session_id)
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
        events = await self._events(name, tenant, session_id, after_version, before, limit, agent_id)
        return events[::-1] if newest_first else events

    async def marks(self, tenant: str, session_id: str) -> list[Event]:
        """The session's events that are not turns (summaries, retractions, compression tasks), in order."""
        return await self._events("marks", tenant, session_id)

    async def session(self, tenant: str, session_id: str) -> SessionRow | None:
        """The session, or None."""
        row = await self._row("session", tenant, session_id)
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
            rows = await self._rows("sessions_of_agent", tenant, before, limit, agent_id, user_id)
        elif user_id is not None:
            rows = await self._rows("sessions_of_user", tenant, before, limit, user_id)
        else:
            rows = await self._rows("sessions_newest", tenant, before, limit)
        return [SessionRow(*row) for row in rows]

    async def members(self, tenant: str, session_id: str) -> Members:
        """The agents and users of a session; both empty when there is no such session."""
        rows = await self._rows("members", tenant, session_id)
        return Members(tuple(r[1] for r in rows if r[0]), tuple(r[1] for r in rows if not r[0]))

    async def agent_seen(self, tenant: str, agent_id: str) -> bool:
        """Whether the agent stands in any session."""
        row = await self._row("agent_seen", tenant, agent_id)
        return bool(row and row[0])

    async def task_events(self, tenant: str, task_id: str) -> list[Event]:
        """The events of a compression task, in order; empty when there is no such task."""
        return await self._events("task_events", tenant, task_id)

    async def task_started(self, tenant: str, task_id: str) -> bool:
        """Whether a compressor has taken the task up."""
        row = await self._row("task_started", tenant, task_id)
        return bool(row and row[0])

    async def start_task(self, tenant: str, task_id: str) -> None:
        """Record that a compressor takes the task up. Safe to repeat."""
        await self._connections.write(lambda c: c.execute(statement("start_task"), tenant, task_id))

    async def audit(self, log: str, *, tenant: str | None, after: int, limit: int) -> list[Event]:
        """The log after a position, in order: one tenant's events, or with None everybody's."""
        if tenant is None:
            return await self.read_after(log, after, limit)
        return await self._events("audit_tenant", tenant, log, after, limit)

    async def checkpoint(self, log: str, consumer: str) -> int:
        """How far `consumer` has come; 0 at first."""
        row = await self._row("checkpoint", log, consumer)
        return row[0] if row else 0

    async def save_checkpoint(self, log: str, consumer: str, position: int) -> None:
        """Record how far `consumer` has come; a lower position than before is ignored."""
        await self._connections.write(lambda c: c.execute(statement("save_checkpoint"), log, consumer, position))

    def leadership(self, name: str) -> AbstractAsyncContextManager[Leadership]:
        """Wait for leadership of `name` (a kind, '/', and what is led). All of one store share a connection of their
        own, and those of a kind spread over the replicas that contend for them: see `Leaderships`."""
        return self._leaderships.hold(name)

    async def scan(self, log: str, after: int, batch_events: int) -> AsyncIterator[list[Event]]:
        """The whole log after a position in batches, up to where it ends now."""
        while events := await self.read_after(log, after, batch_events):
            yield events
            after = events[-1].position

    async def _rows(self, name: str, *arguments: Any) -> list[Any]:
        rows: list[Any] = await self._connections.read(lambda c: c.fetch(statement(name), *arguments))
        return rows

    async def _row(self, name: str, *arguments: Any) -> Any:
        rows = await self._rows(name, *arguments)
        return rows[0] if rows else None

    async def _events(self, name: str, *arguments: Any) -> list[Event]:
        return [Event(*row) for row in await self._rows(name, *arguments)]
