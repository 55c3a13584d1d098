"""What the leading projector does for its read models beside its live work: rebuilds them when they are of another
projection version, and removes generations that are kept no longer or were begun and left.

The projector tells it what the metas say (`saw`), now and then; the work is done by a task of its own (`run`), with a
connection of its own.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from turnlog_projector import metrics
from turnlog_projector.abandoned import Abandoned, remove_abandoned
from turnlog_projector.build import RebuildOptions
from turnlog_projector.ports import Source
from turnlog_projector.rebuild import is_outdated, renew
from turnlog_runtime.logs import said_by
from turnlog_views.generations import expired_generations
from turnlog_views.partitions import Meta
from turnlog_views.writer import ViewWriter

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class UpkeepOptions:
    """`look_s`: how often metas are looked at while events keep coming (each idle tick does anyway). A rebuild beside
    live work goes in small portions, so that both get their turn. A build that was interrupted can be continued for
    `abandoned_s`."""

    rebuild_auto: bool = True
    rebuild: RebuildOptions = field(default_factory=lambda: RebuildOptions(page_events=500, batch_events=500))
    look_s: float = 10.0
    abandoned_s: float = 6 * 3_600.0
    retry_first_s: float = 5.0
    retry_last_s: float = 300.0


class Upkeep:
    """Looks after the generations of one log."""

    def __init__(self, store: Source, writer: ViewWriter, options: UpkeepOptions) -> None:
        self._store, self._writer, self._options = store, writer, options
        self._version = writer.settings.projection_version
        self._work = asyncio.Event()
        self._abandoned = Abandoned(options.abandoned_s)
        self._failures = 0

    def saw(self, metas: Sequence[Meta], now_ms: int) -> None:
        """What the metas say at a time of their server; wakes `run` if there is something to do."""
        self._abandoned.saw(metas)
        if self._is_outdated(metas) or expired_generations(metas, now_ms) or self._abandoned.due():
            self._work.set()

    async def run(self) -> None:
        """Work whenever there is something to do, until cancelled."""
        try:
            while True:
                await self._work.wait()
                try:
                    await self._once()
                    self._failures = 0
                except Exception as error:  # the worker's outermost loop: live work goes on, this is tried again
                    self._failures += 1
                    metrics.failures.labels(self._writer.log, type(error).__name__).inc()
                    _log.warning("upkeep_failed", log=self._writer.log, error=type(error).__name__, **said_by(error))
                self._work.clear()
                await asyncio.sleep(self._pause_s())
        finally:
            await self._writer.close()

    async def _once(self) -> None:
        head = await self._store.head(self._writer.log)
        await self._writer.open(head.incarnation, head.epoch)
        metas = await self._writer.metas()
        for generation in sorted(expired_generations(metas, self._writer.looked_at_ms)):
            deleted = await self._writer.remove(generation, expired=True)
            metrics.generations_removed.labels(self._writer.log).inc()
            _log.info("generation_removed", log=self._writer.log, generation=generation, deleted_keys=deleted)
        if self._is_outdated(await self._writer.metas()):
            await self._renew()
        elif due := self._abandoned.due():
            await remove_abandoned(self._store, self._writer, due)

    async def _renew(self) -> None:
        log = self._writer.log
        _log.info("rebuild_begins", log=log, why="another projection version", version=self._version)
        try:
            report = await renew(self._store, self._writer, options=self._options.rebuild)
        except Exception:
            metrics.rebuilds.labels(log, "failed").inc()
            raise
        metrics.rebuilds.labels(log, "done" if report else "needless").inc()
        if report is not None:
            _log.info(
                "rebuild_done",
                log=log,
                generation=report.generation,
                position=report.position,
                resumed_at=report.resumed_at,
                seconds=round(report.seconds, 3),
            )

    def _is_outdated(self, metas: Sequence[Meta]) -> bool:
        return self._options.rebuild_auto and is_outdated(metas, self._version)

    def _pause_s(self) -> float:
        if not self._failures:
            return 1.0
        ceiling = min(self._options.retry_first_s * 2.0 ** min(self._failures - 1, 16), self._options.retry_last_s)
        return ceiling * random.uniform(0.5, 1.0)
