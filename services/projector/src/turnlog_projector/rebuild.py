"""Rebuild: makes the next generation of the read models from position 0 beside the live one, then switches.

Called by `turnlog rebuild`. Safe while the projector runs: it goes on in the live generation, is refused by the first
partition that was switched, and carries on in the new generation from that one's checkpoint. Safe to repeat after a
crash: leftovers of the last attempt are deleted first.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from turnlog_projector.applier import Applier, OutOfStep
from turnlog_projector.ports import Log, Source
from turnlog_projector.stages import ahead, counted, pages, with_effects
from turnlog_views.digests import session_digests, total_digest
from turnlog_views.partitions import Mode, Partition
from turnlog_views.writer import ViewWriter

_log = structlog.get_logger()
Progress = Callable[[int, int], None]
"""Called with the position reached and the head."""


@dataclass(frozen=True, slots=True)
class RebuildOptions:
    """`page_events` are read at a time, `batch_events` of at most `batch_bytes` of payload written."""

    page_events: int = 2_000
    batch_events: int = 8_000
    batch_bytes: int = 4 * 1024 * 1024
    switch_rounds: int = 200
    compare_rounds: int = 20
    compare_wait_s: float = 0.5


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both generations at the same positions. `differing` are sessions whose bytes differ, `missing` those that only
    the live one has (both should be empty); `evicted` counts those that only the new one has."""

    digest: str
    sessions: int
    evicted: int
    differing: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether the new generation is byte for byte the live one."""
        return not self.differing and not self.missing


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild did. `comparison` is None unless asked for, or when the log never stood still for it."""

    generation: int
    position: int
    seconds: float
    comparison: Comparison | None
    deleted_keys: int

    @property
    def events_per_s(self) -> float:
        """Events replayed per second, switch and clean-up included."""
        return self.position / self.seconds if self.seconds else 0.0


async def rebuild(
    store: Source,
    writer: ViewWriter,
    *,
    compare: bool = False,
    progress: Progress | None = None,
    options: RebuildOptions = RebuildOptions(),
) -> RebuildReport:
    """Rebuild the read models of the writer's log. Needs a writer of its own, which it opens and closes; waits for a
    rebuild that runs.

    Raises `OutOfStep` or `ViewsRefused` when another writer interferes or Redis lost data meanwhile, and the errors
    of store and views: the live generation is untouched then, and the call may be repeated.
    """
    try:
        async with store.leadership(f"rebuild/{writer.log}"):
            return await _rebuild(store, writer, compare, progress, options)
    finally:
        await writer.close()


async def _rebuild(
    store: Source, writer: ViewWriter, compare: bool, progress: Progress | None, options: RebuildOptions
) -> RebuildReport:
    began = time.perf_counter()
    await writer.open((await store.head(writer.log)).incarnation)
    build = await _begin(store, writer, options, progress)
    await build.catch_up()
    comparison = await _compare(build) if compare else None
    if comparison is not None and not comparison.identical:
        _log.error("rebuild_differs", differing=len(comparison.differing), missing=len(comparison.missing))
    await build.switch()
    deleted = await writer.sweep({build.generation})
    return RebuildReport(build.generation, build.position, time.perf_counter() - began, comparison, deleted)


async def _begin(store: Source, writer: ViewWriter, options: RebuildOptions, progress: Progress | None) -> "_Build":
    live = await writer.partitions()
    generation = 1 + max(max(p.traces | {p.generation}) for p in live)
    await writer.sweep({p.generation for p in live})
    await writer.begin(generation)
    window = writer.settings.window_turns
    partitions = [Partition(p.number, generation=generation, window=window) for p in live]
    return _Build(store, writer, generation, Applier(store, writer, partitions, Mode.BUILD), options, progress)


class _Build:
    """A generation that is being built."""

    def __init__(
        self,
        store: Log,
        writer: ViewWriter,
        generation: int,
        applier: Applier,
        options: RebuildOptions,
        progress: Progress | None,
    ) -> None:
        self.store, self.writer, self.generation, self.options = store, writer, generation, options
        self._applier, self._progress = applier, progress
        self.position = 0

    async def catch_up(self) -> None:
        """Apply the log up to where it ends."""
        head = (await self.store.head(self.writer.log)).position
        options = self.options
        page_events = min(options.page_events, options.batch_events)
        read = ahead(pages(self.store, self.writer.log, self.position, page_events))
        tokens = ahead(counted(read, options.batch_bytes))
        made = ahead(with_effects(tokens, options.batch_events, options.batch_bytes))
        async with aclosing(made):
            async for events, known in made:
                await self._applier.apply(events, known)
                self.position = events[-1].position
                if self._progress:
                    self._progress(self.position, max(head, self.position))
        await self._applier.advance(self.position, complete=False)

    async def switch(self) -> None:
        """Make it live, partition by partition; those that are behind the live one catch up and try again."""
        for _ in range(self.options.switch_rounds):
            live = await self.writer.partitions()
            waiting = [p for p in live if p.number in self._applier.partitions]
            behind = {p.number for p in await self.writer.switch(waiting, self.generation)}
            partitions = self._applier.partitions
            for number in [n for n in partitions if n not in behind]:
                del partitions[number]
            if not partitions:
                return
            await self.catch_up()
        raise OutOfStep(f"{len(behind)} partitions stayed behind the live generation")


async def _compare(build: _Build) -> Comparison | None:
    """Compare both generations; None when they never stood at the same positions."""
    for _ in range(build.options.compare_rounds):
        await build.catch_up()
        before = await build.writer.partitions()
        if all(p.checkpoint == build.position for p in before):
            new = await session_digests(build.writer, build.generation)
            live: dict[str, bytes] = {}
            for generation in {p.generation for p in before}:
                live |= await session_digests(build.writer, generation)
            if await build.writer.partitions() == before:
                return _held_together(live, new)
        await asyncio.sleep(build.options.compare_wait_s)
    return None


def _held_together(live: dict[str, bytes], new: dict[str, bytes]) -> Comparison:
    return Comparison(
        digest=total_digest(new),
        sessions=len(new),
        evicted=len(new.keys() - live.keys()),
        differing=tuple(sorted(i for i in live.keys() & new.keys() if live[i] != new[i])),
        missing=tuple(sorted(live.keys() - new.keys())),
    )
