"""Applies events to partitions, whose state it tracks; used by the projector (live) and the rebuild (build).

Every write compares the partition's checkpoint first. What the applier believes is therefore only a guess that is
corrected when a write is refused.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from turnlog_events.event import Event
from turnlog_projector import metrics
from turnlog_projector.changes import Arguments, advances, changes_of
from turnlog_projector.history import fold_session
from turnlog_projector.ports import History
from turnlog_views.partitions import Applied, Change, Mode, Moved, Partition
from turnlog_views.writer import ViewWriter

_ATTEMPTS = 5


class OutOfStep(Exception):
    """A partition is behind what was written to it (its server lost data) or never stands still: read all
    checkpoints again and follow from the lowest."""


class Applier:
    """Applies events of one log in order. `partitions` may be fewer than all: the others are left alone."""

    def __init__(
        self, history: History, writer: ViewWriter, partitions: Iterable[Partition], mode: Mode = Mode.LIVE
    ) -> None:
        self._history, self._writer, self._mode = history, writer, mode
        self._log = writer.log
        self.partitions = {partition.number: partition for partition in partitions}

    @property
    def newest(self) -> int:
        """The highest checkpoint of all partitions."""
        return max((partition.checkpoint for partition in self.partitions.values()), default=0)

    async def apply(self, events: Sequence[Event], known: Sequence[Arguments] | None = None) -> None:
        """Apply contiguous events, each to its partition; `known` are their effects. A repeat changes nothing.

        Raises `OutOfStep`, `ViewsUnavailable`, or the history's errors: begin again from the checkpoints.
        """
        for attempt in range(_ATTEMPTS):
            changes = changes_of(events, self.partitions, known)
            if not await self._write(list(changes.values())):
                return
            if self._mode is Mode.BUILD or attempt == _ATTEMPTS - 1:
                raise OutOfStep("another writer moves the same partitions")

    async def advance(self, position: int, *, complete: bool) -> None:
        """Bring all partitions to `position`, up to which all events were applied; `complete` marks them readable on
        this server."""
        run_id = self._writer.run_id if complete else None
        refused = await self._write(advances(self.partitions.values(), position, run_id))
        if refused and self._mode is Mode.BUILD:
            raise OutOfStep("another writer moves the same partitions")

    async def check(self) -> None:
        """Compare every checkpoint in Redis with what is believed. Raises `OutOfStep` when one fell behind (Redis was
        wiped or lost data while nothing was written) and `ViewsUnavailable` when Redis is away."""
        for stored in await self._writer.partitions():
            believed = self.partitions.get(stored.number)
            if believed is not None and stored.checkpoint < believed.checkpoint:
                raise OutOfStep(f"partition {stored.number} fell from {believed.checkpoint} to {stored.checkpoint}")

    async def _write(self, changes: Sequence[Change]) -> bool:
        """Whether any change was refused; the partition's state is then corrected."""
        if not changes:
            return False
        refused = False
        for change, outcome in zip(changes, await self._writer.apply(changes, self._mode), strict=True):
            if isinstance(outcome, Moved):
                self._correct(change.partition, outcome)
                refused = True
                continue
            partition = change.partition.after(change, outcome.window, self._writer.run_id)
            self.partitions[partition.number] = partition
            await self._load(outcome, partition)
        return refused

    def _correct(self, believed: Partition, moved: Moved) -> None:
        metrics.fenced.labels(self._log).inc()
        if moved.checkpoint < believed.checkpoint:
            raise OutOfStep(f"partition {believed.number} fell from {believed.checkpoint} to {moved.checkpoint}")
        self.partitions[believed.number] = replace(
            believed, generation=moved.generation, checkpoint=moved.checkpoint, run_id="", window=0
        )

    async def _load(self, applied: Applied, partition: Partition) -> None:
        for identity in applied.absent:
            state = await fold_session(self._history, identity, partition.checkpoint, partition.window)
            if await self._writer.load(partition, identity, state):
                metrics.sessions_loaded.labels(self._log).inc()
