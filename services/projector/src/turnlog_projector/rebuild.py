"""Rebuild: makes the next generation of the read models beside the live one, then switches all partitions at once.

Called by `turnlog rebuild`, and by the projector when the live generation is of another projection version. Safe
while the projector runs: it goes on in the live generation, is refused after the switch, and carries on in the new
one. Safe to repeat after a crash: what was begun is continued. The generation before is kept for a while, and
`rollback` switches back to it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from turnlog_projector import metrics
from turnlog_projector.build import Build, Progress, RebuildOptions
from turnlog_projector.compare import Comparing, Comparison
from turnlog_projector.held_to_log import first_mismatch
from turnlog_projector.next_generation import fresh, resumable, standing
from turnlog_projector.ports import Source
from turnlog_projector.refold import refold_mixed
from turnlog_views.errors import ViewsRefused
from turnlog_views.generations import kept_generations
from turnlog_views.partitions import Meta, Partition
from turnlog_views.writer import ViewWriter
from turnlog_views.writer_link import live_partitions

__all__ = ["Comparison", "NothingKept", "Progress", "RebuildOptions", "RebuildReport", "rebuild", "renew", "rollback"]

_log = structlog.get_logger()
_CLAIM_LEAST_S = 3_600.0
_LOOKS_AGAIN = 3
_WAITING_FEW = 200
T = TypeVar("T")


class NothingKept(Exception):
    """There is no generation to roll back to."""


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild did: `generation` is complete up to `position`, built from position `resumed_at` on (0: from the
    beginning). `switched` is False for a dry run. `kept` is the generation that was live before, kept for `keep_s`.
    `comparison` is None unless asked for, or where generations of different windows or versions cannot be the same.
    """

    generation: int
    position: int
    seconds: float
    comparison: Comparison | None
    deleted_keys: int
    resumed_at: int = 0
    switched: bool = True
    kept: int | None = None
    keep_s: float = 0.0

    @property
    def events_per_s(self) -> float:
        """Events replayed per second, switch and clean-up included."""
        return (self.position - self.resumed_at) / self.seconds if self.seconds else 0.0


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

    Raises `OutOfStep` or `ViewsRefused` when another writer interferes, Redis lost data or PostgreSQL was replaced
    meanwhile, and the errors of store and views: the live generation is untouched then, and the call may be repeated.
    """

    async def work(run: "_Run") -> RebuildReport:
        return await run.rebuild(compare=compare)

    return await _led(store, writer, progress, options, work)


async def rollback(
    store: Source,
    writer: ViewWriter,
    *,
    progress: Progress | None = None,
    options: RebuildOptions = RebuildOptions(),
) -> RebuildReport:
    """Bring the generation that was kept last up to date and switch back to it; else as `rebuild`.

    Raises `NothingKept` when there is none.
    """
    return await _led(store, writer, progress, options, lambda run: run.rollback())


async def renew(
    store: Source, writer: ViewWriter, *, options: RebuildOptions = RebuildOptions()
) -> RebuildReport | None:
    """Rebuild if the live generation is of another projection version than the writer's; else as `rebuild`. A kept
    generation of this version is brought up to date instead. None: nothing was to be done."""
    return await _led(store, writer, None, options, lambda run: run.renew())


def is_outdated(metas: Sequence[Meta], version: int) -> bool:
    """Whether the live generation is of another projection version, and nobody chose it over this one."""
    live = (meta.live_partition for meta in metas)
    return any(p is not None and p.projection != version and p.chosen_over != version for p in live)


async def _led(
    store: Source,
    writer: ViewWriter,
    progress: Progress | None,
    options: RebuildOptions,
    work: Callable[["_Run"], Awaitable[T]],
) -> T:
    try:
        async with store.leadership(f"rebuild/{writer.log}") as leadership:
            head = await store.head(writer.log)
            await writer.open(head.incarnation, head.epoch)
            return await work(_Run(store, writer, progress, options, head.epoch, leadership.lost))
    finally:
        metrics.rebuild_position.labels(writer.log).set(0)
        await writer.close()


class _Run:
    """One rebuild under leadership, its writer open."""

    def __init__(
        self,
        store: Source,
        writer: ViewWriter,
        progress: Progress | None,
        options: RebuildOptions,
        epoch: str,
        lost: asyncio.Event,
    ) -> None:
        self._store, self._writer, self._options = store, writer, options
        self._progress, self._epoch, self._lost = progress, epoch, lost
        self._version = writer.settings.projection_version
        self._began = time.perf_counter()

    async def rebuild(self, *, compare: bool) -> RebuildReport:
        metas = await self._writer.metas()
        live = live_partitions(metas, self._version)
        partitions = await resumable(self._store, self._writer, metas) or fresh(self._writer, metas)
        generation = partitions[0].generation
        deleted = await self._writer.sweep(standing(metas, kept=self._options.dry_run) | {generation})
        if not await self._writer.begin(generation):
            raise ViewsRefused(f"generation {generation} cannot begin: another rebuild?")
        build = self._build(partitions)
        await build.catch_up()
        comparing = await self._compared(build, live) if compare else None
        comparison = await build.switch(comparing)
        if comparison is not None and not comparison.identical:
            _log.error("rebuild_differs", differing=len(comparison.differing), missing=len(comparison.missing))
        return await self._report(build, live, comparison, deleted)

    async def rollback(self, chosen: int | None = None) -> RebuildReport:
        metas = await self._writer.metas()
        live = live_partitions(metas, self._version)
        kept = kept_generations(metas, self._writer.looked_at_ms)
        generation = chosen if chosen is not None else max(kept, key=lambda g: kept[g], default=None)
        if generation not in kept or not await self._writer.claim(generation, _CLAIM_LEAST_S):
            raise NothingKept("no generation of the read models is kept any more: `turnlog rebuild` makes a new one")
        partitions = [meta.generations[generation] for meta in metas]
        if await first_mismatch(self._store, self._writer.log, partitions) is not None:
            raise NothingKept(f"generation {generation} is not of this log any more: `turnlog rebuild` makes a new one")
        build = self._build(partitions)
        await build.catch_up()
        await refold_mixed(self._store, self._writer, build, partitions)
        by_hand = chosen is None and partitions[0].projection != self._version
        await build.switch(None, chosen_over=self._version if by_hand else None)
        return await self._report(build, live, None, 0)

    async def renew(self) -> RebuildReport | None:
        metas = await self._writer.metas()
        if not is_outdated(metas, self._version):
            return None
        kept = kept_generations(metas, self._writer.looked_at_ms)
        versions = {g: {m.generations[g].projection for m in metas} for g in kept}
        mine = [g for g in sorted(kept, reverse=True) if versions[g] == {self._version}]
        if mine:
            try:
                return await self.rollback(mine[0])
            except NothingKept as error:
                _log.info("rebuild_kept_unusable", log=self._writer.log, why=str(error))
        return await self.rebuild(compare=False)

    def _build(self, partitions: Sequence[Partition]) -> Build:
        return Build(self._store, self._writer, partitions, self._epoch, self._options, self._progress, self._lost)

    async def _compared(self, build: Build, live: Sequence[Partition]) -> Comparing | None:
        """All sessions looked at once, and those that move a few times more; None where nothing can be the same."""
        ours = (self._writer.settings.window_turns, self._version)
        if any((p.window or ours[0], p.projection) != ours for p in live):
            return None
        comparing = Comparing(self._store, self._writer, build.generation, [p.generation for p in live])
        await comparing.look()
        for _ in range(_LOOKS_AGAIN):
            if comparing.waiting <= _WAITING_FEW:
                break
            await build.catch_up()
            await comparing.look_again()
        return comparing

    async def _report(
        self, build: Build, live: Sequence[Partition], comparison: Comparison | None, deleted: int
    ) -> RebuildReport:
        before, keep_s = {p.generation for p in live if p.generation in p.traces}, self._options.keep_s
        if self._options.dry_run:
            deleted += await self._writer.remove(build.generation)
        elif not keep_s:
            deleted += await _removed(self._writer, before)
        kept = max(before, default=None) if keep_s and not self._options.dry_run else None
        return RebuildReport(
            build.generation,
            build.position,
            time.perf_counter() - self._began,
            comparison,
            deleted,
            build.resumed_at,
            not self._options.dry_run,
            kept,
            keep_s if kept is not None else 0.0,
        )


async def _removed(writer: ViewWriter, generations: Collection[int]) -> int:
    return sum([await writer.remove(generation) for generation in sorted(generations)])
