"""Looks after PostgreSQL in the background, so that answers from Redis can say when they cannot be checked.

While PostgreSQL is away, reads from Redis go on and are marked stale. A log whose incarnation changed is
another log: the read models of the old one are forgotten at once.
"""

import asyncio
import contextlib

import structlog

from turnlog_eventstore import StoreError, UnknownLog
from turnlog_query.ports import EventReads, ViewReads

_log = structlog.get_logger()


class StoreWatch:
    """`away` says whether PostgreSQL failed to answer when last asked. `run` keeps it true."""

    def __init__(self, store: EventReads, views: ViewReads | None, log: str, every_s: float) -> None:
        self._store = store
        self._views = views
        self._log_name = log
        self._every_s = every_s
        self._incarnation: str | None = None
        self.away = False

    async def run(self, stop: asyncio.Event) -> None:
        """Look at once and then every `every_s` seconds until `stop`."""
        while not stop.is_set():
            await self.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await stop.wait()

    async def look(self) -> None:
        """Ask PostgreSQL for the log's head and draw the conclusions."""
        try:
            head = await self._store.head(self._log_name)
        except UnknownLog:
            self._is_away(False)
            return
        except StoreError:
            self._is_away(True)
            return
        self._is_away(False)
        if self._incarnation not in (None, head.incarnation) and self._views is not None:
            _log.warning("log_incarnation_changed", log=self._log_name)
            self._views.forget(self._log_name)
        self._incarnation = head.incarnation

    def _is_away(self, away: bool) -> None:
        if away != self.away:
            _log.warning("store_away" if away else "store_back")
        self.away = away
