"""A rebuild of the read models: begin, build, compare, switch, remove; on a log that stands still and on one that
moves; and the way back to the generation before."""

import asyncio
from dataclasses import replace
from typing import ClassVar

from faults.steps.ground import Ground
from faults.steps.judging import events_of, log_faults, view_faults, views_complete
from faults.steps.projections import WINDOW, converse, project, projector_of
from turnlog_eventstore import Store
from turnlog_projector.rebuild import RebuildOptions, RebuildReport, rebuild, rollback
from turnlog_views import ViewWriter
from turnlog_views.keys import generation_of

OPTIONS = RebuildOptions(page_events=20, batch_events=20, advance_s=0.0)


class Rebuilding:
    """Nothing is written meanwhile, and the generation before is removed at once."""

    complete_after_crash: ClassVar[bool] = True
    keep_s: ClassVar[float] = 0.0

    async def prepare(self, ground: Ground) -> None:
        """A log whose read models are complete."""
        async with ground.store() as store:
            for part in (0, 1):
                await converse(store, ground, part)
            await project(ground, store)

    async def operate(self, ground: Ground) -> None:
        """Rebuild and compare."""
        async with ground.store() as store:
            _check(await _rebuild(store, ground, self.keep_s))

    async def after_crash(self, ground: Ground) -> list[str]:
        """Readers have lost nothing: the live generation is whole, whichever it is."""
        async with ground.store() as store:
            return await view_faults(ground, store, complete=self.complete_after_crash)

    async def at_end(self, ground: Ground) -> list[str]:
        """One generation is live, whole and what the log says; nothing is left of others but what may be."""
        async with ground.store() as store:
            wrong = await log_faults(store, ground.log, await events_of(store, ground.log))
            wrong += await view_faults(ground, store, complete=True)
            return wrong + await _generation_faults(ground, store, 2 if self.keep_s else 1)


class RolledBack(Rebuilding):
    """The generation before is kept, and switched back to."""

    keep_s = 600.0

    async def operate(self, ground: Ground) -> None:
        """Rebuild, and back again."""
        async with ground.store() as store:
            _check(await _rebuild(store, ground, self.keep_s))
            await rollback(store, _writer(ground), options=replace(OPTIONS, keep_s=self.keep_s))


class RebuildingLive(Rebuilding):
    """The projector runs, turns are stored, and the generation before is kept."""

    complete_after_crash = False
    keep_s = 600.0

    async def prepare(self, ground: Ground) -> None:
        """The first part is projected."""
        async with ground.store() as store:
            await converse(store, ground, 0)
            await project(ground, store)

    async def operate(self, ground: Ground) -> None:
        """Rebuild while the projector works and the second part is appended."""
        async with ground.store() as store:
            stop = asyncio.Event()
            projecting = asyncio.create_task(projector_of(ground, store).run(stop))
            await asyncio.gather(_rebuild(store, ground, self.keep_s), converse(store, ground, 1))
            await ground.until(lambda looking: views_complete(ground, looking))
            stop.set()
            await projecting


def _writer(ground: Ground) -> ViewWriter:
    return ViewWriter(ground.addresses.redis_url, ground.log, WINDOW)


async def _rebuild(store: Store, ground: Ground, keep_s: float) -> RebuildReport:
    return await rebuild(store, _writer(ground), compare=True, options=replace(OPTIONS, keep_s=keep_s))


def _check(report: RebuildReport) -> None:
    assert report.comparison is not None, "never compared"
    assert report.comparison.identical, f"differs: {report.comparison.differing} {report.comparison.missing}"
    assert report.comparison.evicted == 0, f"{report.comparison.evicted} sessions were not in the live generation"


async def _generation_faults(ground: Ground, store: Store, generations_max: int) -> list[str]:
    """`generations_max` is 2 where the one before the live one is kept."""
    writer, head = _writer(ground), await store.head(ground.log)
    await writer.open(head.incarnation, head.epoch)
    try:
        partitions = await writer.partitions()
        live = {p.generation for p in partitions}
        known = live | {g for p in partitions for g in p.traces}
        found = {generation_of(key) async for page in writer._scan(writer.keys.pattern("*")) for key in page}
    finally:
        await writer.close()
    wrong = [] if len(live) == 1 else [f"several generations are live: {sorted(live)}"]
    if found - known:
        wrong.append(f"keys of generations that no partition knows: {sorted(found - known)}")
    if len(known) > generations_max:
        wrong.append(f"more generations are left than may be: {sorted(known)}")
    return wrong
