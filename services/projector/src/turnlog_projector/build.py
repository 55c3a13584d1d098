"""A generation that is being built beside the live one: brought up to the log's end, then switched to.

The build writes by its own checkpoints, so it can be left at any moment and continued from them. To reach live
checkpoints that move all the time, live writes are held for a moment (the server ends the hold by itself).
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog

from turnlog_projector import metrics
from turnlog_projector.applier import Applier, OutOfStep
from turnlog_projector.compare import Comparing, Comparison
from turnlog_projector.pace import Pace, PaceOptions
from turnlog_projector.ports import Source
from turnlog_projector.stages import ahead, counted, pages, with_effects
from turnlog_views.errors import ViewsError
from turnlog_views.keys import PARTITIONS
from turnlog_views.partitions import Mode, Partition
from turnlog_views.writer import ViewWriter

_log = structlog.get_logger()
Progress = Callable[[int, int], None]
"""Called with the position reached and the head."""


@dataclass(frozen=True, slots=True)
class RebuildOptions:
    """`page_events` are read at a time, `batch_events` of at most `batch_bytes` of payload written. Checkpoints of
    idle partitions follow every `advance_s`, so that a build that was interrupted loses little.

    `keep_s` is how long the generation before is kept (0: removed at once). `dry_run`: build, compare, remove, switch
    nothing. Live writes are held for at most `hold_s`, once the build lacks no more than `hold_from_events`.
    """

    page_events: int = 2_000
    batch_events: int = 8_000
    batch_bytes: int = 4 * 1024 * 1024
    advance_s: float = 1.0
    pace: PaceOptions = field(default_factory=PaceOptions)
    keep_s: float = 3_600.0
    dry_run: bool = False
    hold_s: float = 2.0
    hold_from_events: int = 1_000
    switch_rounds: int = 50


class Build:
    """One generation on its way. `partitions` are its own, all 256; `lost` is set when another may build."""

    def __init__(
        self,
        store: Source,
        writer: ViewWriter,
        partitions: Sequence[Partition],
        epoch: str,
        options: RebuildOptions,
        progress: Progress | None,
        lost: asyncio.Event,
    ) -> None:
        self.store, self.writer, self.options = store, writer, options
        self.generation = partitions[0].generation
        self._applier = Applier(store, writer, partitions, Mode.BUILD)
        self.resumed_at = self._applier.position
        self._epoch, self._progress, self._lost = epoch, progress, lost
        self._pace = Pace(store, writer, options.pace)
        self._advanced_at = time.monotonic()

    @property
    def position(self) -> int:
        """How far it is."""
        return self._applier.position

    @property
    def partitions(self) -> list[Partition]:
        """Its partitions as they are now."""
        return list(self._applier.partitions.values())

    async def catch_up(self) -> None:
        """Apply the log up to where it ends now, within the rate; then what came meanwhile, without one: a rate below
        that of the appends would never end."""
        await self._apply(await self._head(), limited=True)
        for _ in range(self.options.switch_rounds):
            head = await self._head()
            await self._apply(head, limited=False)
            if await self._head() - self.position <= self.options.hold_from_events:
                return

    async def switch(self, comparing: Comparing | None, chosen_over: int | None = None) -> Comparison | None:
        """Make it live in all partitions at once (a dry run only comes as far), and say how it compares. With
        `chosen_over` projectors of that version leave it in place though it is not of theirs.

        Raises `OutOfStep` when the live generation cannot be reached or PostgreSQL was replaced meanwhile.
        """
        for _ in range(self.options.switch_rounds):
            began = time.monotonic()
            await self.writer.hold(range(PARTITIONS), self.options.hold_s)
            try:
                live = await self.writer.partitions()
                await self._apply(max(p.checkpoint for p in live), limited=False, hurried=True)
                comparison = await comparing.at_last() if comparing else None
                await self._head()
                done = await self._switched(live, chosen_over)
            finally:
                with contextlib.suppress(ViewsError):  # it ends by itself
                    await self.writer.release(range(PARTITIONS))
            held_s = time.monotonic() - began
            metrics.hold_seconds.labels(self.writer.log).observe(held_s)
            if done:
                _log.info("rebuild_switched", generation=self.generation, position=self.position, held_s=held_s)
                return comparison
            await self.catch_up()
        raise OutOfStep("the build stayed behind the live generation")

    async def _switched(self, live: Sequence[Partition], chosen_over: int | None) -> bool:
        if self.options.dry_run:
            now = await self.writer.partitions()
            return [p.checkpoint for p in now] == [p.checkpoint for p in live]
        return not await self.writer.switch(live, self.generation, self.options.keep_s, chosen_over)

    async def _head(self) -> int:
        """The log's end; the same PostgreSQL as at the beginning must say so."""
        if self._lost.is_set():
            raise OutOfStep("leadership of the rebuild was lost: another may have begun")
        head = await self.store.head(self.writer.log)
        if head.epoch != self._epoch:
            raise OutOfStep("PostgreSQL was restarted, restored or replaced meanwhile")
        return head.position

    async def _apply(self, up_to: int, *, limited: bool, hurried: bool = False) -> None:
        """Apply the log up to a position at least (a page may reach beyond), and bring all partitions there."""
        options = self.options
        rate = options.pace.events_per_s if limited else 0
        batch_events = min(options.batch_events, max(rate // 4, 50)) if rate else options.batch_events
        page_events = min(options.page_events, batch_events)
        read = ahead(pages(self.store, self.writer.log, self.position, page_events, up_to))
        made = ahead(with_effects(ahead(counted(read, options.batch_bytes)), batch_events, options.batch_bytes))
        async with aclosing(made):
            async for events, known in made:
                await self._applier.apply(events, known)
                self._tell(max(up_to, self.position))
                if hurried:
                    continue
                if self._lost.is_set():
                    raise OutOfStep("leadership of the rebuild was lost: another may have begun")
                if time.monotonic() - self._advanced_at >= options.advance_s:
                    await self._applier.advance(complete=False)
                    self._advanced_at = time.monotonic()
                await self._pace.passed(len(events), limited=limited)
        await self._applier.advance(complete=False)

    def _tell(self, head: int) -> None:
        metrics.rebuild_position.labels(self.writer.log).set(self.position)
        if self._progress:
            self._progress(self.position, head)
