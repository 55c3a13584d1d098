"""Which generation a rebuild builds: one that was begun before and can be continued, else the next number."""

from collections.abc import Sequence

import structlog

from turnlog_projector.held_to_log import first_mismatch
from turnlog_projector.ports import Log
from turnlog_views.generations import begun_generations
from turnlog_views.partitions import FIRST_GENERATION, Meta, Partition
from turnlog_views.writer import ViewWriter

_log = structlog.get_logger()


def standing(metas: Sequence[Meta], *, kept: bool) -> set[int]:
    """The generations that stay while the next one is built: the live one, and with `kept` also those kept before."""
    live = {meta.live or FIRST_GENERATION for meta in metas}
    return live | {g for meta in metas for g in meta.kept_until_ms} if kept else live


async def resumable(log: Log, writer: ViewWriter, metas: Sequence[Meta]) -> list[Partition] | None:
    """The partitions of a build that was interrupted and can go on from where it is: made by this version with this
    window, and still of this log."""
    settings = writer.settings
    for generation in reversed(begun_generations(metas, settings.window_turns, settings.projection_version)):
        partitions = [meta.generations.get(generation) or _empty(writer, meta.number, generation) for meta in metas]
        if await first_mismatch(log, writer.log, partitions) is None:
            _log.info("rebuild_resumes", log=writer.log, generation=generation)
            return partitions
    return None


def fresh(writer: ViewWriter, metas: Sequence[Meta]) -> list[Partition]:
    """The partitions of a generation that no partition knows of yet."""
    generation = 1 + max(max(meta.traces | {meta.live or FIRST_GENERATION}) for meta in metas)
    return [_empty(writer, meta.number, generation) for meta in metas]


def _empty(writer: ViewWriter, number: int, generation: int) -> Partition:
    settings = writer.settings
    return Partition(number, generation, window=settings.window_turns, projection=settings.projection_version)
