"""What can be done to any of the three servers and to the way there; the rows' own files say to whom."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from faults.inject_fault import Make
from faults.servers import copy_data, empty, pause, resume, swap_in
from faults.world import World

RESET_EVERY_S = 0.7
WRITE_ON_S = (1.0, 2.5)


def killed(name: str) -> Make:
    """SIGKILL; it stays away until healed."""

    @asynccontextmanager
    async def apply(world: World, rng: random.Random) -> AsyncIterator[None]:
        world.held.add(name)
        world.servers.kill(name)
        try:
            yield
        finally:
            await world.bring_up(name)

    return apply


def paused(name: str) -> Make:
    """SIGSTOP of the server and of all that it started: connections stay, nobody answers."""

    @asynccontextmanager
    async def apply(world: World, rng: random.Random) -> AsyncIterator[None]:
        stopped = pause(world.servers.pids[name])
        try:
            yield
        finally:
            resume(stopped)

    return apply


def refusing(proxy: str) -> Make:
    """Connections are reset, new ones refused."""

    @asynccontextmanager
    async def apply(world: World, rng: random.Random) -> AsyncIterator[None]:
        try:
            world.proxies[proxy].refuse()
            yield
        finally:
            world.proxies[proxy].pass_on()

    return apply


def half_open(proxy: str) -> Make:
    """Connections stay open and new ones are taken, but nothing passes; in the end they go on, or were cut."""

    @asynccontextmanager
    async def apply(world: World, rng: random.Random) -> AsyncIterator[None]:
        try:
            world.proxies[proxy].blackhole()
            yield
        finally:
            if rng.random() < 0.5:
                world.proxies[proxy].reset()
            world.proxies[proxy].pass_on()

    return apply


def slow(proxy: str, least_s: float, most_s: float) -> Make:
    """Everything takes longer, in each direction."""

    @asynccontextmanager
    async def apply(world: World, rng: random.Random) -> AsyncIterator[None]:
        try:
            world.proxies[proxy].slow(rng.uniform(least_s, most_s))
            yield
        finally:
            world.proxies[proxy].pass_on()

    return apply


def cut_often(proxy: str) -> Make:
    """All connections are reset, again and again; new ones are welcome."""

    @asynccontextmanager
    async def apply(world: World, rng: random.Random) -> AsyncIterator[None]:
        async def cut() -> None:
            while True:
                world.proxies[proxy].reset()
                await asyncio.sleep(RESET_EVERY_S)

        cutting = asyncio.create_task(cut())
        try:
            yield
        finally:
            cutting.cancel()
            await asyncio.wait({cutting})

    return apply


def restarted(name: str) -> Make:
    """Stopped in order and started again at once."""

    @asynccontextmanager
    async def apply(world: World, rng: random.Random) -> AsyncIterator[None]:
        async with away(world, name):
            pass
        yield

    return apply


def wiped(name: str) -> Make:
    """Its data is gone when it comes back."""

    @asynccontextmanager
    async def apply(world: World, rng: random.Random) -> AsyncIterator[None]:
        async with away(world, name):
            await asyncio.to_thread(empty, world.servers.data_dir_of(name))
        yield

    return apply


def restored_older(name: str) -> Make:
    """It comes back with its data of some seconds ago, and stays so."""

    @asynccontextmanager
    async def apply(world: World, rng: random.Random) -> AsyncIterator[None]:
        place, kept = world.servers.data_dir_of(name), world.aside / name
        try:
            async with away(world, name):
                await asyncio.to_thread(copy_data, place, kept)
            await asyncio.sleep(rng.uniform(*WRITE_ON_S))
            async with away(world, name):
                await asyncio.to_thread(swap_in, kept, place)
            yield
        finally:
            await asyncio.to_thread(shutil.rmtree, kept, ignore_errors=True)

    return apply


@asynccontextmanager
async def away(world: World, name: str) -> AsyncIterator[None]:
    """The server is stopped meanwhile."""
    world.held.add(name)
    try:
        await world.servers.stop_one(name)
        yield
    finally:
        await world.bring_up(name)
