"""Starts again what died unasked, as whoever runs containers does; what is away on purpose is left alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from faults.servers import SERVERS
from turnlog_embedded import EmbeddedError

if TYPE_CHECKING:
    from faults.world import World

LOOK_S = 0.1


@asynccontextmanager
async def supervised(world: "World") -> AsyncIterator[None]:
    """Look after a world; an error of the looking itself is raised in the end."""
    tasks = [asyncio.create_task(_keep_replicas(world)), asyncio.create_task(_keep_servers(world))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


async def _keep_replicas(world: "World") -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        for replica in world.replicas.values():
            if not replica.down and not replica.alive:
                replica.deaths.append(replica.exit_status or 0)
                await replica.start(wait=False)


async def _keep_servers(world: "World") -> None:
    counted: set[str] = set()
    while True:
        await asyncio.sleep(LOOK_S)
        dead = set(SERVERS) - world.servers.pids.keys() - world.held
        for name in dead - counted:
            world.server_deaths[name] += 1
        counted = dead
        for name in dead:
            with contextlib.suppress(EmbeddedError):  # it does not come up now: the next look tries again
                await world.servers.start_one(name)
