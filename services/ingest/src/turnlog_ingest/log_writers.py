"""What writes to each log of the deployment: a group commit, fence and relay for each, and the way of a tenant to its.

Every ingest replica accepts the turns of every tenant, so each has a writer for every log, made when the log is first
seen or first needed. Which replica relays a log is a matter of leadership. All writers share the store's connections.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from typing import Any

from turnlog_bus import Bus
from turnlog_eventstore import Appended, AppendRequest, Store, TenantLogs, each_log, kept_running
from turnlog_follow import Lags
from turnlog_follow.fence import Fence, FenceWatch
from turnlog_ingest.group_commit import GroupCommit, GroupCommitSettings
from turnlog_ingest.relay import Relay, RelaySettings
from turnlog_ingest.waiting_writes import InOrder
from turnlog_runtime.settings import IngestSettings

RELAY_ENDS_S = 0.5
"""How long a relay that gives up its leadership may finish what it is publishing."""


class LogWriter:
    """The writer of one log."""

    def __init__(self, store: Store, bus: Bus, log: str, settings: IngestSettings) -> None:
        limits = GroupCommitSettings(
            settings.commit_batch_events,
            settings.commit_shared_batch_events,
            settings.commit_queue_events,
            settings.deadline_s,
        )
        relaying = RelaySettings(batch_events=settings.relay_batch_events, poll_s=settings.relay_poll_s)
        self.log = log
        self.fence = Fence(log)
        self.watch = FenceWatch(store, bus, log, self.fence, settings.fence_check_s)
        self.relay = Relay(store, bus, log, relaying, self.watch)
        self.commit = GroupCommit(self.watch, log, limits, self.relay.committed)

    def submit(
        self, request: AppendRequest, order: InOrder | None = None, deadline: float | None = None
    ) -> "asyncio.Future[Appended]":
        """Queue a request for the next group commit. Raises `Fenced` or `QueueFull`; nothing is stored then."""
        self.fence.check()
        return self.commit.submit(request, order, deadline)


class LogWriters:
    """The writers of all logs."""

    def __init__(self, store: Store, bus: Bus, settings: IngestSettings, stop: asyncio.Event) -> None:
        """Once `stop` is set the relays give their leadership up; commits go on until `close`."""
        self._store, self._bus, self._settings, self._stop = store, bus, settings, stop
        self._tenants = TenantLogs(store, settings.log)
        self._writers: dict[str, LogWriter] = {}
        self._lags = Lags(store)
        self._committing: set[asyncio.Task[None]] = set()
        self._others: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()
        self._context = copy_context()

    def start(self) -> None:
        """Open the default log's writer, look for the others, and contend for the relays this process may lead."""
        self.open(self._settings.log)
        self._others.add(self._keeping(self._settings.log, self._keep_logs))
        self._others.add(self._keeping(self._settings.log, self._lags.run))

    def _keeping(self, log: str, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """A task that begins again when it fails: nobody else would notice, and its log would do without. A log's
        writer may be begun by a request: what is bound there is not to stand in its lines."""
        return asyncio.create_task(kept_running(log, lambda _: work(), self._closing), context=self._context.copy())

    async def _keep_logs(self) -> None:
        await each_log(self._store, frozenset(), self._keep, self._stop, end_s=RELAY_ENDS_S)

    def known(self, tenant: str) -> LogWriter | None:
        """The writer of the tenant's log, if that is known without asking."""
        log = self._tenants.known(tenant)
        return self._writers.get(log) if log is not None else None

    async def find(self, tenant: str) -> LogWriter:
        """The writer of the tenant's log. Raises `StoreError` when PostgreSQL must be asked and is away."""
        return self.open(await self._tenants.of(tenant))

    async def moved(self, tenant: str) -> LogWriter:
        """The append refused the tenant in the log it was thought to live in: ask for its log anew."""
        self._tenants.forget(tenant)
        return await self.find(tenant)

    def open(self, log: str) -> LogWriter:
        """The log's writer, begun when it is not there yet."""
        writer = self._writers.get(log)
        if writer is None:
            writer = self._writers[log] = LogWriter(self._store, self._bus, log, self._settings)
            self._lags.add(writer.relay.lag)
            self._committing.add(self._keeping(log, writer.commit.run))
            self._others.add(self._keeping(log, writer.relay.hint_others))
            self._others.add(self._keeping(log, partial(writer.watch.run, self._closing)))
        return writer

    async def _keep(self, log: str) -> None:
        """A log of the deployment: write to it, and relay it if this process may."""
        writer = self.open(log)
        only = self._settings.logs_to_lead
        if not only or log in only:
            await writer.relay.run(self._stop)
        else:
            await self._stop.wait()

    async def close(self) -> None:
        """Commit what is queued (no more is taken), within `shutdown_s`; then end everything."""
        for writer in self._writers.values():
            writer.commit.close()
        if self._committing:
            await asyncio.wait(self._committing, timeout=self._settings.shutdown_s)
        self._stop.set()
        self._closing.set()
        ending = self._committing | self._others
        for task in ending:
            task.cancel()
        await asyncio.wait(ending)
        for writer in self._writers.values():
            await writer.watch.close()
