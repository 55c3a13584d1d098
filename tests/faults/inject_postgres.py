"""Faults of PostgreSQL: the truth is away, late, or older than it was."""

import asyncio
import functools
import os
import random
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats

from faults.inject_fault import FROM_THE_MODELS, NOT_STORED, OR_REFUSED, SOMETIMES_STORED, Fault
from faults.inject_servers import away, cut_often, half_open, killed, paused, refusing, restarted, slow
from faults.servers import copy_data, family_of, swap_in
from faults.world import World

KNOWN_S = 20.0
KILLED = "Postgres killed or refusing"
PAUSED = "Postgres paused / half-open"
SLOW = "Postgres slow"
OLDER = "Postgres restarted with an older state, or a promoted standby lacks the tail"


@asynccontextmanager
async def one_of_its_processes_killed(world: World, rng: random.Random) -> AsyncIterator[None]:
    """SIGKILL for a process below the postmaster, which then ends all sessions and recovers by itself."""
    children = family_of(world.servers.pids["postgres"])[1:]
    os.kill(rng.choice(children).pid, signal.SIGKILL)
    yield


@asynccontextmanager
async def restored_older(world: World, rng: random.Random) -> AsyncIterator[None]:
    """Its data of some seconds ago is put back while JetStream knows more; healed by the operator who puts the right
    data back. What was stored after the copy and before the swap must be there in the end."""
    place = world.servers.data_dir_of("postgres")
    older, right = world.aside / "postgres.older", world.aside / "postgres.right"
    swapped = False
    try:
        async with away(world, "postgres"):
            await asyncio.to_thread(copy_data, place, older)
        await _until_jetstream_knows_more(world, await world.heads())
        async with away(world, "postgres"):
            await asyncio.to_thread(copy_data, place, right)
            swapped = True
            await asyncio.to_thread(swap_in, older, place)
        yield
    finally:
        if swapped:
            async with away(world, "postgres"):
                await asyncio.to_thread(swap_in, right, place)
        for copy in (older, right):
            await asyncio.to_thread(shutil.rmtree, copy, ignore_errors=True)


async def _until_jetstream_knows_more(world: World, heads: dict[str, int]) -> None:
    """Of every log; where it knows nothing more, nothing could tell that PostgreSQL lost something, and what is stored
    then would be lost with the older state. Raises TimeoutError when nobody writes, or the relay does not run."""
    bus = await nats.connect(world.nats_url, allow_reconnect=False, connect_timeout=5)
    try:
        async with asyncio.timeout(KNOWN_S):
            while True:
                streams = [
                    (info.config.name or "", info.state.last_seq) for info in await bus.jetstream().streams_info()
                ]
                ends = {
                    log: max((e for n, e in streams if n.startswith(f"TURNLOG_{log}_")), default=0) for log in heads
                }
                if all(ends[log] > head for log, head in heads.items()):
                    return
                await asyncio.sleep(0.05)
    finally:
        await bus.close()


_reads_like = functools.partial(Fault, touches=("postgres",), reads=OR_REFUSED, warm_reads=FROM_THE_MODELS)
_gone = functools.partial(_reads_like, writes=NOT_STORED)
_shaky = functools.partial(_reads_like, writes=SOMETIMES_STORED)

FAULTS = (
    _gone("postgres-killed", KILLED, make=killed("postgres")),
    _shaky("postgres-crashed", KILLED, make=one_of_its_processes_killed),
    _shaky("postgres-restarted", KILLED, make=restarted("postgres"), hold_s=3),
    _gone("postgres-refusing", KILLED, make=refusing("postgres")),
    _shaky("postgres-cut", KILLED, make=cut_often("postgres")),
    _gone("postgres-paused", PAUSED, make=paused("postgres"), hold_s=8),
    _gone("postgres-half-open", PAUSED, make=half_open("postgres"), hold_s=8),
    _shaky("postgres-slow", SLOW, make=slow("postgres", 0.02, 0.4), hold_s=6),
    _shaky("postgres-restored-older", OLDER, touches=("postgres", "nats"), make=restored_older, hold_s=6),
)
