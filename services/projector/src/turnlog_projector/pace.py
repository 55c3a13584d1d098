"""How fast a rebuild may go: so many events a second at most, and never at the cost of the live read models."""

import asyncio
import time
from dataclasses import dataclass

from turnlog_projector import metrics
from turnlog_projector.ports import Log
from turnlog_views.writer import ViewWriter


@dataclass(frozen=True, slots=True)
class PaceOptions:
    """`events_per_s` 0: no limit. The rebuild pauses while the live read models lack more than `lag_events_max` events
    and come nearer; while they stand still for `still_s` nobody keeps them, so there is nothing to give way to."""

    events_per_s: int = 0
    lag_events_max: int = 1_000
    look_s: float = 0.5
    still_s: float = 5.0
    poll_s: float = 0.1


class Pace:
    """Slows one build down. `passed` is called after each portion."""

    def __init__(self, log: Log, writer: ViewWriter, options: PaceOptions) -> None:
        self._log, self._writer, self._options = log, writer, options
        self._began = self._looked_at = time.monotonic()
        self._events = 0
        self._reached, self._moved_at = -1, self._began

    async def passed(self, events: int, *, limited: bool) -> None:
        """So many events were built; waits for as long as the next ones should. `limited` False leaves the rate free
        (the tail that came during the build) and only gives way."""
        await self._give_way()
        rate = self._options.events_per_s
        if limited and rate:
            self._events += events
            await asyncio.sleep(max(0.0, self._began + self._events / rate - time.monotonic()))

    async def _give_way(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < self._options.look_s:
            return
        lags = await self._must_wait()
        while lags:
            await asyncio.sleep(self._options.poll_s)
            lags = await self._must_wait()
        paused_s = time.monotonic() - now
        self._began += paused_s  # what was waited for others is no debt to be made up
        metrics.rebuild_paused_seconds.labels(self._writer.log).inc(paused_s)

    async def _must_wait(self) -> bool:
        """Whether the live read models lag, and somebody brings them nearer."""
        self._looked_at = time.monotonic()
        lives = [p.checkpoint for meta in await self._writer.metas() if (p := meta.live_partition) is not None]
        live = max(lives, default=-1)
        if live > self._reached:
            self._reached, self._moved_at = live, self._looked_at
        if not lives or self._looked_at - self._moved_at >= self._options.still_s:
            return False
        return (await self._log.head(self._writer.log)).position - live > self._options.lag_events_max
