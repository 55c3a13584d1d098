"""The projector: follows a log and keeps its read models in Redis; one active per log, stand-bys wait.

Enters: batches of the follower. Leaves: effects in Redis, each partition's checkpoint moving with them. Never gives
up and never skips: whatever fails, it reads the checkpoints again and goes on from the lowest.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

import structlog

from turnlog_follow import Batch
from turnlog_projector import metrics
from turnlog_projector.applier import Applier
from turnlog_projector.ports import Batches, Source, portions
from turnlog_projector.stages import arguments_of
from turnlog_runtime.lifecycle import until
from turnlog_views.writer import ViewWriter

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


class ViewsAhead(Exception):
    """The read models hold events that the log no longer has: PostgreSQL went back to an older state."""


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
        self._failures = 0

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
                await until(leadership.lost, self._project_for_ever(), drain_s=0)
            _log.warning("projector_lost_leadership", log=self._name)

    async def _project_for_ever(self) -> None:
        while True:
            try:
                await self._project()
            except Exception as error:  # the worker's outermost loop: whatever it was, begin again from the checkpoints
                self._failures += 1
                kind = type(error).__name__
                metrics.failures.labels(self._name, kind).inc()
                _log.warning("projector_failed", log=self._name, error=kind, detail=str(error), count=self._failures)
            await asyncio.sleep(self._backoff_s())

    async def _project(self) -> None:
        """Follow from the lowest checkpoint; ends by an error only."""
        applier, complete_from = await self._begin()
        after = min(p.checkpoint for p in applier.partitions.values())
        ticked_at = time.monotonic()
        if after >= complete_from:
            await applier.advance(after, complete=True)
        following = cast("AsyncGenerator[Batch, None]", self._follower().batches(after))
        async with aclosing(following) as batches:
            async for batch in batches:
                await self._apply(applier, batch)
                complete = batch.last >= complete_from
                newly_complete = complete and batch.after < complete_from
                if newly_complete or not batch.events or time.monotonic() - ticked_at >= self._options.tick_s:
                    await self._check_log_holds(batch)
                    await applier.advance(batch.last, complete=complete)
                    if not batch.events:
                        await applier.check()
                    ticked_at = time.monotonic()

    async def _begin(self) -> tuple[Applier, int]:
        """Connect and read every checkpoint; the position from which on partitions may be read."""
        head = await self._store.head(self._name)
        await self._writer.open(head.incarnation)
        partitions = await self._writer.partitions()
        head = await self._store.head(self._name)  # again: the first may be older than the checkpoints
        newest = max(p.checkpoint for p in partitions)
        if newest > head.position:
            await self._start_over(newest, head.position)
            partitions = await self._writer.partitions()
        _log.info(
            "projector_follows",
            log=self._name,
            after=min(p.checkpoint for p in partitions),
            head=head.position,
            unreadable=sum(p.run_id != self._writer.run_id for p in partitions),
        )
        return Applier(self._store, self._writer, partitions), head.position

    async def _start_over(self, newest: int, head: int) -> None:
        """Abandon read models that are ahead of the log: nothing tells which of their events it still has."""
        metrics.restarts.labels(self._name).inc()
        _log.error("views_ahead_of_log", log=self._name, views=newest, head=head)
        partitions = await self._writer.partitions()
        generation = 1 + max(max(p.traces | {p.generation}) for p in partitions)
        await self._writer.restart(partitions, generation)
        await self._writer.sweep({generation})

    async def _apply(self, applier: Applier, batch: Batch) -> None:
        for portion in portions(batch.events, self._options.portion_events, self._options.portion_bytes):
            began = time.perf_counter()
            # While partitions are replayed, only events that one of them lacks are worth computing.
            known = await arguments_of(portion) if portion[-1].position > applier.newest else None
            await applier.apply(portion, known)
            metrics.applied_events.labels(self._name).inc(len(portion))
            metrics.batch_seconds.labels(self._name).observe(time.perf_counter() - began)
        metrics.lag_events.labels(self._name).set(batch.head - batch.last)
        self._failures = 0

    async def _check_log_holds(self, batch: Batch) -> None:
        if batch.events:
            return
        head = await self._store.head(self._name)
        if head.position < batch.last:
            raise ViewsAhead(f"the log ends at {head.position}, the read models at {batch.last}")

    def _backoff_s(self) -> float:
        ceiling = min(self._options.backoff_first_s * 2.0 ** min(self._failures, 16), self._options.backoff_last_s)
        return ceiling * random.uniform(0.5, 1.0)
