"""Faults of our own processes: killed, paused, and restarted in turn as a deployment does."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from faults.inject_fault import FROM_THE_MODELS, Fault, Make
from faults.replica import Replica
from faults.world import SERVICES, World

KILLED = "SIGKILL of any of our processes at any await"
PAUSED = "SIGSTOP of a leader, then SIGCONT"
TAKEN_OVER_S = 10.0


def killed(service: str) -> Make:
    """SIGKILL for a replica: mostly one that leads."""

    @asynccontextmanager
    async def apply(world: World, rng: random.Random) -> AsyncIterator[None]:
        victim = await _victim(world, service, rng)
        victim.kill()
        try:
            yield
        finally:
            await victim.ended(5)
            await victim.start(wait=False)

    return apply


def paused(service: str) -> Make:
    """SIGSTOP for a replica, mostly one that leads; it goes on when healed, late as it is."""

    @asynccontextmanager
    async def apply(world: World, rng: random.Random) -> AsyncIterator[None]:
        victim = await _victim(world, service, rng)
        victim.pause()
        try:
            yield
        finally:
            victim.resume()

    return apply


@asynccontextmanager
async def restarted_in_turn(world: World, rng: random.Random) -> AsyncIterator[None]:
    """A rolling restart: one replica of each service is told to stop and started again, then the next one of each."""
    order = sorted(world.replicas)
    rng.shuffle(order)
    turns: dict[str, list[Replica]] = {}
    for name in order:
        replica = world.replicas[name]
        turns.setdefault(replica.service, []).append(replica)
    for together in itertools.zip_longest(*turns.values()):
        await asyncio.gather(*(_restart(world, replica) for replica in together if replica is not None))
    yield


async def _restart(world: World, replica: Replica) -> None:
    await replica.start()  # one that a fault before has ended is let up first: only what serves can leave in order
    try:
        world.exits.append((replica.name, await replica.terminate()))
    finally:
        await replica.start()


async def _victim(world: World, service: str, rng: random.Random) -> Replica:
    """A replica of the service: in three of four cases one that leads something, if any does."""
    replicas = world.of(service)
    try:
        leaders = [replica for replica in replicas if replica.alive and await replica.leads()]
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        leaders = []  # PostgreSQL is away as well
    return rng.choice(leaders if leaders and rng.random() < 0.75 else replicas)


FAULTS = (
    *(Fault(f"{service}-killed", KILLED, ("processes",), killed(service)) for service in SERVICES),
    Fault("ingest-paused", PAUSED, ("processes",), paused("ingest"), hold_s=TAKEN_OVER_S),
    Fault("query-paused", PAUSED, ("processes",), paused("query"), hold_s=4),
    Fault("projector-paused", PAUSED, ("processes",), paused("projector"), hold_s=TAKEN_OVER_S),
    Fault("compressor-paused", PAUSED, ("processes",), paused("compressor"), hold_s=TAKEN_OVER_S),
    Fault(
        "restarted-in-turn",
        KILLED,
        ("processes",),
        restarted_in_turn,
        writes=frozenset({"stored", "refused"}),
        reads=FROM_THE_MODELS,  # "stale": processes that start leave PostgreSQL's answer unread for a second
        warm_reads=FROM_THE_MODELS,
        hold_s=0.5,
    ),
)
