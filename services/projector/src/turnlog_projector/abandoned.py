"""Builds that nobody goes on with: a rebuild was interrupted, and none came after it that would continue or remove it.

Called by the projector's upkeep with what it sees of the metas.
"""

import time
from collections.abc import Mapping, Sequence

import structlog

from turnlog_projector import metrics
from turnlog_projector.ports import Source
from turnlog_views.generations import unfinished_generations
from turnlog_views.partitions import Meta
from turnlog_views.writer import ViewWriter

_log = structlog.get_logger()


class Abandoned:
    """Tells which builds have not moved for `after_s`, as far as this process has seen."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._seen: dict[int, tuple[int, float]] = {}

    def saw(self, metas: Sequence[Meta]) -> None:
        """What the metas say now."""
        now_s = time.monotonic()
        seen, self._seen = self._seen, {}
        for generation, reached in unfinished_generations(metas).items():
            before = seen.get(generation)
            self._seen[generation] = before if before and before[0] == reached else (reached, now_s)

    def due(self) -> dict[int, int]:
        """The builds to remove, each with how far it was."""
        latest_s = time.monotonic() - self._after_s
        return {generation: reached for generation, (reached, since_s) in self._seen.items() if since_s <= latest_s}


async def remove_abandoned(store: Source, writer: ViewWriter, due: Mapping[int, int]) -> int:
    """Remove builds that still are where they were; how many. Waits for a rebuild that runs: that one is none of
    them. The writer is open."""
    removed = 0
    async with store.leadership(f"rebuild/{writer.log}"):
        now = unfinished_generations(await writer.metas())
        for generation, reached in due.items():
            if now.get(generation) == reached:
                deleted = await writer.remove(generation)
                removed += 1
                metrics.generations_removed.labels(writer.log).inc()
                _log.info("build_removed", log=writer.log, generation=generation, deleted_keys=deleted)
    return removed
