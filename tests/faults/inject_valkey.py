"""Faults of Valkey: writes must not notice, reads come from PostgreSQL."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio as redis

from faults.inject_fault import Fault
from faults.inject_servers import away, cut_often, half_open, killed, paused, refusing, restarted, slow, wiped
from faults.world import World

AWAY = "Valkey killed, paused, slow"
WIPED = "Valkey wiped, or restarted with older data"


@asynccontextmanager
async def flushed(world: World, rng: random.Random) -> AsyncIterator[None]:
    """FLUSHALL while it runs: its run_id stays the same."""
    async with redis.from_url(world.redis_url) as client:
        await client.flushall()
    yield


@asynccontextmanager
async def restored_older(world: World, rng: random.Random) -> AsyncIterator[None]:
    """It comes back with a snapshot of some seconds ago."""
    place = world.servers.data_dir_of("valkey")
    kept = world.aside / "dump.rdb"
    async with redis.from_url(world.redis_url) as client:
        await client.save()
    await asyncio.to_thread(shutil.copy2, place / "dump.rdb", kept)
    await asyncio.sleep(rng.uniform(1.0, 2.5))
    async with away(world, "valkey"):
        (place / "dump.rdb").write_bytes(kept.read_bytes())  # the file's owner stays
    kept.unlink()
    yield


FAULTS = (
    Fault("valkey-killed", AWAY, ("valkey",), killed("valkey")),
    Fault("valkey-restarted", AWAY, ("valkey",), restarted("valkey"), hold_s=2),
    Fault("valkey-paused", AWAY, ("valkey",), paused("valkey"), hold_s=6),
    Fault("valkey-refusing", AWAY, ("valkey",), refusing("valkey")),
    Fault("valkey-slow", AWAY, ("valkey",), slow("valkey", 0.05, 0.6), hold_s=6),
    Fault("valkey-half-open", AWAY, ("valkey",), half_open("valkey"), hold_s=6),
    Fault("valkey-cut", AWAY, ("valkey",), cut_often("valkey")),
    Fault("valkey-wiped", WIPED, ("valkey",), wiped("valkey")),
    Fault("valkey-restored-older", WIPED, ("valkey",), restored_older),
    Fault("valkey-flushed", WIPED, ("valkey",), flushed),
)
