"""The store: everything that is asked of PostgreSQL, each call one statement and bounded in time.

Services hold one `Store` each. Events go in through `append` only; nothing here can change one. What is read for a
tenant is in `tenant_reads.py`, behind row-level security; what is here sees every tenant: it is for followers.
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
from turnlog_eventstore.tenant_reads import TenantReads

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


class Store(TenantReads):
    """The event log in PostgreSQL. Reads raise `StoreUnavailable`; see each write for its errors."""

    def __init__(self, dsn: str, connections: Connections, leadership_settings: LeadershipSettings) -> None:
        super().__init__(connections)
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

    async def standings(self, logs: Sequence[str], positions: Sequence[int]) -> list[tuple[int, int | None]]:
        """For each log with its position: where it ends (0 while it is empty), and the age in microseconds of the event
        after the position (None: there is none)."""
        rows = await self._rows("standings", list(logs), list(positions))
        return [(head, age_us) for _, head, age_us in sorted(rows)]

    async def start_task(self, tenant: str, task_id: str) -> None:
        """Record that a compressor takes the task up. Safe to repeat."""
        await self._connections.write(lambda c: c.execute(statement("start_task"), tenant, task_id))

    async def audit(self, log: str, *, tenant: str | None, after: int, limit: int) -> list[Event]:
        """The log after a position, in order: one tenant's events, or with None everybody's."""
        if tenant is None:
            return await self.read_after(log, after, limit)
        return await self.tenant_events(tenant, log, after, limit)

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

    def leads(self, name: str) -> bool:
        """Whether this process leads `name` now."""
        return self._leaderships.leads(name)

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
