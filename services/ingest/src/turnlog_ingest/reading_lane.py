"""The lane for requests of many turns: they are read a few turns at a time, so that small ones get in between.

To read, validate and hash a turn takes some 20 µs of the one event loop. Thirty requests of a hundred turns that arrive
together would hold it for 60 ms, and with it every other request. In the lane one step is done each time the loop comes
round, tenants in turn, and within a tenant in the order of arrival. Called by `writes` and `bulk`.
"""

import asyncio
from collections import deque

from turnlog_ingest.waiting_writes import QueueFull

STEP_TURNS = 10
"""Turns that are read without looking up."""
LARGE_BYTES = 8 * 1024
"""A body above this is one that takes the lane."""
WAITING_MAX = 100
"""Requests of one tenant that may wait for their next step; beyond, they are refused (not stored)."""


class ReadingLane:
    """The lane of one process."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._turns: deque[str] = deque()  # the tenants that wait, the next one first
        self._going = False

    async def step(self, tenant: str) -> None:
        """Wait for the tenant's next step. Raises `QueueFull`."""
        loop = asyncio.get_running_loop()
        line = self._waiting.get(tenant)
        if line is None:
            line = self._waiting[tenant] = deque()
            self._turns.append(tenant)
        elif len(line) >= WAITING_MAX:
            raise QueueFull("too many requests of many turns are being read")
        mine: asyncio.Future[None] = loop.create_future()
        line.append(mine)
        if not self._going:
            self._going = True
            loop.call_soon(self._go)
        await mine

    def _go(self) -> None:
        """Let one request go on, and come again when the loop has looked at everything else."""
        released = False
        while self._turns and not released:
            tenant = self._turns.popleft()
            line = self._waiting[tenant]
            mine = line.popleft()
            if line:
                self._turns.append(tenant)
            else:
                del self._waiting[tenant]
            if not mine.done():  # else its request was cancelled
                mine.set_result(None)
                released = True
        self._going = released
        if released:
            asyncio.get_running_loop().call_soon(self._go)
