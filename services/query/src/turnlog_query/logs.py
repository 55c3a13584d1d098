"""The logs that this process reads: of each its reads, and the live hub of those that have streams."""

import asyncio
from collections.abc import Callable

from turnlog_query.hub import LiveHub


class OneLog:
    """All tenants live in one log."""

    def __init__(self, log: str) -> None:
        self._log = log

    def known(self, tenant: str) -> str:
        """The log."""
        return self._log

    async def of(self, tenant: str) -> str:
        """The log."""
        return self._log


class Hubs:
    """One live hub for each log that had a stream; each follows its log only while there are streams."""

    def __init__(self, make: Callable[[str], LiveHub]) -> None:
        self._make = make
        self._hubs: dict[str, LiveHub] = {}
        self._made: asyncio.Queue[LiveHub] = asyncio.Queue()
        self.stopped = False
        """Whether the process is stopping: no new streams."""

    @property
    def streams(self) -> int:
        """How many streams there are."""
        return sum(hub.streams for hub in self._hubs.values())

    def room_for(self, tenant: str, streams_max: int) -> bool:
        """Whether a tenant may have one more stream: at most twice what is then still free, so that one alone gets two
        thirds of all, and there is room for those who come later."""
        free = streams_max - self.streams
        held = sum(hub.streams_of(tenant) for hub in self._hubs.values())
        return not self.stopped and held + 1 <= 2 * free

    def of(self, log: str) -> LiveHub:
        """The hub of a log."""
        hub = self._hubs.get(log)
        if hub is None:
            hub = self._hubs[log] = self._make(log)
            self._made.put_nowait(hub)
        return hub

    async def run(self, stop: asyncio.Event) -> None:
        """Run every hub until `stop`; then all streams end."""
        async with asyncio.TaskGroup() as group:
            starting = group.create_task(self._start(group, stop))
            await stop.wait()
            self.stopped = True
            starting.cancel()

    async def _start(self, group: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        while True:
            hub = await self._made.get()
            group.create_task(hub.run(stop), name="query-hub")
