"""Applies events to partitions, whose state it tracks; used by the projector (live) and the rebuild (build).

Every write compares the partition's checkpoint first. What the applier believes is therefore only a guess that is
corrected when a write is refused.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from structlog.contextvars import bind_contextvars, unbind_contextvars

from turnlog_events.event import Event
from turnlog_projector import metrics
from turnlog_projector.changes import Arguments, advances, changes_of
from turnlog_projector.held_to_log import first_mismatch
from turnlog_projector.history import fold_session
from turnlog_projector.ports import Source
from turnlog_views.partitions import Applied, Change, Held, Meta, Mode, Moved, Partition
from turnlog_views.writer import ViewWriter
from turnlog_views.writer_link import live_partitions

_ATTEMPTS = 5
_HELD_LOOK_S = 0.01
_HELD_MAX_S = 30.0


class OutOfStep(Exception):
    """A partition is behind what was written to it (its server lost data), holds what the log does not have, or never
    stands still: read all checkpoints again and follow from the lowest."""


class Applier:
    """Applies events of one log in order. `partitions` may be fewer than all: the others are left alone."""

    def __init__(
        self, store: Source, writer: ViewWriter, partitions: Iterable[Partition], mode: Mode = Mode.LIVE
    ) -> None:
        self._store, self._writer, self._mode = store, writer, mode
        self._log = writer.log
        self.partitions = {partition.number: partition for partition in partitions}
        lowest = min(self.partitions.values(), key=lambda p: p.checkpoint, default=Partition(0))
        self._position, self._chain = lowest.checkpoint, lowest.chain

    @property
    def position(self) -> int:
        """That of the last event that was applied to every partition which lacked it."""
        return self._position

    @property
    def newest(self) -> int:
        """The highest checkpoint of all partitions."""
        return max((partition.checkpoint for partition in self.partitions.values()), default=0)

    async def apply(self, events: Sequence[Event], known: Sequence[Arguments] | None = None) -> None:
        """Apply contiguous events, each to its partition; `known` are their effects. A repeat changes nothing.

        Waits while live writes are held. Raises `OutOfStep`, `ViewsUnavailable`, or the store's errors: begin again
        from the checkpoints.
        """
        for attempt in range(_ATTEMPTS):
            changes = changes_of(events, self.partitions, known)
            if not await self._write(list(changes.values())):
                self._position, self._chain = events[-1].position, events[-1].chain_hash.hex()
                return
            if self._mode is Mode.BUILD or attempt == _ATTEMPTS - 1:
                raise OutOfStep("another writer moves the same partitions")

    async def advance(self, *, complete: bool) -> None:
        """Bring all partitions to `position`; `complete` marks them readable on this server."""
        stamp = self._writer.stamp if complete else None
        refused = await self._write(advances(self.partitions.values(), self._position, self._chain, stamp))
        if refused and self._mode is Mode.BUILD:
            raise OutOfStep("another writer moves the same partitions")

    async def check(self) -> list[Meta]:
        """Compare what Redis holds with what is believed, and believe it; all metas, as they were read.

        Raises `OutOfStep` when a partition fell behind (Redis was wiped or lost data while nothing was written) or
        was brought by another writer to where the log is not, and `ViewsUnavailable` when Redis is away.
        """
        metas = await self._writer.metas()
        moved: list[Partition] = []
        for stored in live_partitions(metas, self._writer.settings.projection_version):
            believed = self.partitions.get(stored.number)
            if believed is None:
                continue
            if stored.checkpoint < believed.checkpoint:
                raise OutOfStep(f"partition {stored.number} fell from {believed.checkpoint} to {stored.checkpoint}")
            if (stored.checkpoint, stored.chain) != (believed.checkpoint, believed.chain):
                moved.append(stored)
            self.partitions[stored.number] = stored
        await self._hold_to_log(moved)
        return metas

    async def _write(self, changes: Sequence[Change]) -> bool:
        """Whether any change was refused; the partition's state is then corrected. Those that are held wait."""
        moved: list[Partition] = []
        began = time.monotonic()
        while changes:
            held: list[Change] = []
            for change, outcome in zip(changes, await self._writer.apply(changes, self._mode), strict=True):
                if isinstance(outcome, Held):
                    held.append(change)
                elif isinstance(outcome, Moved):
                    moved.append(self._corrected(change.partition, outcome))
                else:
                    partition = change.partition.after(change, outcome.window, self._writer.stamp)
                    self.partitions[partition.number] = partition
                    await self._load(outcome, partition)
            if held:
                if time.monotonic() - began > _HELD_MAX_S:
                    raise OutOfStep(f"{len(held)} partitions stay held")
                await asyncio.sleep(_HELD_LOOK_S)
            changes = held
        if moved and self._mode is Mode.LIVE:
            await self._hold_to_log(moved)
        return bool(moved)

    async def _hold_to_log(self, moved: Sequence[Partition]) -> None:
        """What another writer left must be of the log: a late one may have followed a history that PostgreSQL, restored
        from a backup, no longer has."""
        mismatch = await first_mismatch(self._store, self._log, moved)
        if mismatch is not None:
            raise OutOfStep(f"partition {mismatch.partition} is not of the log at {mismatch.position}")

    def _corrected(self, believed: Partition, moved: Moved) -> Partition:
        metrics.fenced.labels(self._log).inc()
        if moved.checkpoint < believed.checkpoint:
            raise OutOfStep(f"partition {believed.number} fell from {believed.checkpoint} to {moved.checkpoint}")
        if moved.checkpoint == believed.checkpoint and moved.chain != believed.chain:
            raise OutOfStep(f"partition {believed.number} holds another history up to {moved.checkpoint}")
        found = self.partitions[believed.number] = replace(
            believed,
            generation=moved.generation,
            checkpoint=moved.checkpoint,
            chain=moved.chain,
            stamp="",
            window=0,
        )
        return found

    async def _load(self, applied: Applied, partition: Partition) -> None:
        for identity in applied.absent:
            bind_contextvars(session_id=identity.split("/", 1)[1])  # until it is done: a failure is logged further out
            state = await fold_session(self._store, identity, partition.checkpoint, partition.window)
            if await self._writer.load(partition, identity, state):
                metrics.sessions_loaded.labels(self._log).inc()
            unbind_contextvars("session_id")
