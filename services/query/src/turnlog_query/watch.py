"""Looks after PostgreSQL in the background, so that answers from Redis can say when they cannot be checked.

While PostgreSQL is away, reads from Redis go on and are marked stale. When it answers again, the read models are told
which server answers (its epoch) and which incarnation each log has before anything is called fresh: models of another
server or of another log are not read any more.
"""

import asyncio
import contextlib

import structlog

from turnlog_eventstore import StoreError, UnknownLog
from turnlog_query.ports import EventReads, ViewReads

_log = structlog.get_logger()


class StoreWatch:
    """`away` says whether PostgreSQL failed to answer when last asked. `run` keeps it true."""

    def __init__(self, store: EventReads, views: ViewReads | None, log: str, every_s: float, look_s: float) -> None:
        """A look every `every_s` seconds, at `log` and what else is served; none within `look_s` means away."""
        self._store = store
        self._views = views
        self._every_s, self._look_s = every_s, look_s
        self._logs = [log]
        self.away = False

    def serve(self, log: str) -> None:
        """From now on look at this log too."""
        if log not in self._logs:
            self._logs.append(log)

    async def run(self, stop: asyncio.Event) -> None:
        """Look at once and then every `every_s` seconds until `stop`."""
        while not stop.is_set():
            await self.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await stop.wait()

    async def look(self) -> None:
        """Ask PostgreSQL for the head of each log that is served, and draw the conclusions."""
        try:
            for log in tuple(self._logs):
                async with asyncio.timeout(self._look_s):
                    await self._look_at(log)
        except (StoreError, TimeoutError):
            self._is_away(True)
            return
        self._is_away(False)

    async def _look_at(self, log: str) -> None:
        try:
            head = await self._store.head(log)
        except UnknownLog:  # PostgreSQL may have gone back to before the log began
            if self._views is not None:
                self._views.forget(log)
            return
        if self._views is not None:
            self._views.saw(log, head.incarnation, head.epoch)

    def _is_away(self, away: bool) -> None:
        if away != self.away:
            _log.warning("store_away" if away else "store_back")
        self.away = away
