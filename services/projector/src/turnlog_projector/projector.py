"""The projector: follows a log and keeps its read models in Redis; one active per log, stand-bys wait.

Enters: batches of the follower. Leaves: effects in Redis, each partition's checkpoint moving with them. Never gives
up and never skips: whatever fails, it reads the checkpoints again and goes on from the lowest.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import cast

import structlog

from turnlog_eventstore import LogHead, StoreUnavailable
from turnlog_follow import Batch
from turnlog_projector import metrics
from turnlog_projector.applier import Applier
from turnlog_projector.held_to_log import Mismatch, first_mismatch
from turnlog_projector.ports import Batches, Source, portions
from turnlog_projector.stages import arguments_of
from turnlog_projector.upkeep import Upkeep, UpkeepOptions
from turnlog_runtime.lifecycle import until
from turnlog_runtime.logs import said_by
from turnlog_views.keys import PARTITIONS
from turnlog_views.partitions import Partition
from turnlog_views.writer import ViewWriter
from turnlog_views.writer_link import live_partitions

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ProjectorOptions:
    """One write holds at most `portion_events` events and `portion_bytes` of payload. `tick_s` is how often idle
    partitions are brought to the follower's position. After failure n it waits up to backoff_first_s · 2^n."""

    portion_events: int = 250
    portion_bytes: int = 4 * 1024 * 1024
    tick_s: float = 1.0
    backoff_first_s: float = 0.1
    backoff_last_s: float = 5.0
    upkeep: UpkeepOptions = field(default_factory=UpkeepOptions)


class LogChanged(Exception):
    """PostgreSQL was restarted, restored or replaced, or what NATS sent is not what PostgreSQL has: hold the read
    models to the log again."""


class Projector:
    """Projects one log. Needs a writer of its own."""

    def __init__(
        self,
        store: Source,
        follower: Callable[[], Batches],
        writer: ViewWriter,
        options: ProjectorOptions = ProjectorOptions(),
    ) -> None:
        """`follower` makes a fresh follower of the writer's log; it is called again after a failure."""
        self._store, self._follower, self._writer, self._options = store, follower, writer, options
        self._name = writer.log
        self._unreadable = metrics.partitions_unreadable.labels(self._name)
        self._failures = 0
        self._identity = ("", "")
        self._upkeep = Upkeep(store, writer.another(), options.upkeep)

    async def run(self, stop: asyncio.Event) -> None:
        """Lead and project until `stop` is set. What is in flight then is dropped: it is harmless to repeat."""
        try:
            await until(stop, self._lead_for_ever(), drain_s=0)
        finally:
            await self._writer.close()

    async def _lead_for_ever(self) -> None:
        while True:
            async with self._store.leadership(f"projector/{self._name}") as leadership:
                _log.info("projector_leads", log=self._name)
                try:
                    await until(leadership.lost, self._work(), drain_s=0)
                finally:
                    self._unreadable.set(0)  # whoever leads now tells
            _log.warning("projector_lost_leadership", log=self._name)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._project_for_ever(), name="project")
            tasks.create_task(self._upkeep.run(), name="upkeep")

    async def _project_for_ever(self) -> None:
        structlog.contextvars.bind_contextvars(log=self._name)
        while True:
            try:
                await self._project()
            except Exception as error:  # the worker's outermost loop: whatever it was, begin again from the checkpoints
                self._failures += 1
                self._unreadable.set(PARTITIONS)  # as far as can be told
                kind = type(error).__name__
                metrics.failures.labels(self._name, kind).inc()
                _log.warning("projector_failed", log=self._name, error=kind, count=self._failures, **said_by(error))
            await asyncio.sleep(self._backoff_s())

    async def _project(self) -> None:
        """Follow from the lowest checkpoint; ends by an error only."""
        structlog.contextvars.unbind_contextvars("position", "session_id")
        applier, complete_from = await self._begin()
        ticked_at = looked_at = time.monotonic()
        if applier.position >= complete_from:
            await applier.advance(complete=True)
        self._tell_readable(applier)
        proven = False
        following = cast("AsyncGenerator[Batch, None]", self._follower().batches(applier.position))
        async with aclosing(following) as batches:
            async for batch in batches:
                if batch.from_bus and batch.events and not proven:
                    await self._prove(batch)
                    proven = True
                await self._apply(applier, batch)
                complete = batch.last >= complete_from
                newly_complete = complete and batch.after < complete_from
                if newly_complete or not batch.events or time.monotonic() - ticked_at >= self._options.tick_s:
                    await self._check_log_holds(batch)
                    await applier.advance(complete=complete)
                    self._tell_readable(applier)
                    ticked_at = time.monotonic()
                if not batch.events or time.monotonic() - looked_at >= self._options.upkeep.look_s:
                    self._upkeep.saw(await applier.check(), self._writer.looked_at_ms)
                    looked_at = time.monotonic()

    async def _begin(self) -> tuple[Applier, int]:
        """Connect, read every checkpoint and hold it to the log; the position from which on partitions may be read.

        What PostgreSQL says after the epoch was asked for is of that epoch or a later one: stamps of an epoch that
        has passed are worthless, so a restore meanwhile does no harm.
        """
        head = await self._store.head(self._name)
        self._identity = (head.incarnation, head.epoch)
        await self._writer.open(*self._identity)
        metas = await self._writer.metas()
        partitions = live_partitions(metas, self._writer.settings.projection_version)
        head = await self._store.head(self._name)  # again: the first may be older than the checkpoints
        self._check_identity(head)
        mismatch = await first_mismatch(self._store, self._name, partitions)
        if mismatch is not None:
            await self._start_over(partitions, mismatch)
            metas = await self._writer.metas()
            partitions = live_partitions(metas, self._writer.settings.projection_version)
        self._upkeep.saw(metas, self._writer.looked_at_ms)
        _log.info(
            "projector_follows",
            log=self._name,
            after=min(p.checkpoint for p in partitions),
            head=head.position,
            unreadable=sum(not self._writer.readable(p) for p in partitions),
        )
        return Applier(self._store, self._writer, partitions), head.position

    async def _start_over(self, partitions: Sequence[Partition], mismatch: Mismatch) -> None:
        """Abandon read models that are not of this log: nothing tells which of their events it still has."""
        metrics.restarts.labels(self._name).inc()
        _log.error(
            "views_not_of_this_log",
            log=self._name,
            position=mismatch.position,
            expected=mismatch.expected[:16],
            found=mismatch.found[:16],
        )
        generation = 1 + max(max(p.traces | {p.generation}) for p in partitions)
        await self._writer.restart(partitions, generation)
        await self._writer.sweep({generation})

    def _tell_readable(self, applier: Applier) -> None:
        self._unreadable.set(sum(not self._writer.readable(p) for p in applier.partitions.values()))

    async def _apply(self, applier: Applier, batch: Batch) -> None:
        structlog.contextvars.bind_contextvars(position=batch.after)
        for portion in portions(batch.events, self._options.portion_events, self._options.portion_bytes):
            began = time.perf_counter()
            # While partitions are replayed, only events that one of them lacks are worth computing.
            known = await arguments_of(portion) if portion[-1].position > applier.newest else None
            await applier.apply(portion, known)
            metrics.applied_events.labels(self._name).inc(len(portion))
            metrics.batch_seconds.labels(self._name).observe(time.perf_counter() - began)
        self._failures = 0

    async def _prove(self, batch: Batch) -> None:
        """The first events that NATS sends must be PostgreSQL's: its stream may hold the tail of a history that
        PostgreSQL, restored from a backup, no longer has. Later ones come from the relay, which reads PostgreSQL."""
        events = await self._store.read_after(self._name, batch.last - 1, 1)
        if not events or events[0].chain_hash != batch.events[-1].chain_hash:
            raise LogChanged(f"NATS holds an event at {batch.last} that PostgreSQL does not have")

    async def _check_log_holds(self, batch: Batch) -> None:
        try:
            head = await self._store.head(self._name)
        except StoreUnavailable:
            return  # what is here was held to the log; it is again when PostgreSQL is back, with another epoch
        self._check_identity(head)
        if head.position < batch.last:
            raise LogChanged(f"the log ends at {head.position}, the read models at {batch.last}")

    def _check_identity(self, head: LogHead) -> None:
        if (head.incarnation, head.epoch) != self._identity:
            raise LogChanged("PostgreSQL was restarted, restored or replaced")

    def _backoff_s(self) -> float:
        ceiling = min(self._options.backoff_first_s * 2.0 ** min(self._failures, 16), self._options.backoff_last_s)
        return ceiling * random.uniform(0.5, 1.0)
