"""How long the parts behind the APIs take to be whole again after a fault: asked as a client would ask.

A turn is written to a few sessions of each tenant; the projector has caught up when the read models show them, the
compressor when a compression asked for has ended.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass

from faults import client_turns as made
from faults.client import Request
from faults.ground import Ground
from faults.load_readers import ask_compression, head_judge, read_task

SESSIONS = 3
LOOK_S = 0.1
FROM_REDIS = "redis"


@dataclass(slots=True)
class Recovery:
    """Seconds from healing until each was whole again; None while it is not (or was not before the next fault)."""

    healed_s: float
    projector_s: float | None = None
    compressor_s: float | None = None


class _GivenUp(Exception):
    """The run ended before."""


async def recover(ground: Ground, recovery: Recovery, name: str) -> None:
    """Probe until both are whole again, or the run ends."""
    with contextlib.suppress(_GivenUp):
        await asyncio.gather(_projector(ground, recovery, name), _compressor(ground, recovery, name))


async def _projector(ground: Ground, recovery: Recovery, name: str) -> None:
    sessions = [(tenant, f"{tenant}.probe{n}") for tenant in ground.tenants for n in range(SESSIONS)]
    await asyncio.gather(*(_shown(ground, tenant, session, name) for tenant, session in sessions))
    recovery.projector_s = time.monotonic() - recovery.healed_s


async def _shown(ground: Ground, tenant: str, session: str, name: str) -> None:
    """Write a turn and wait until every query replica shows it from Redis."""
    writer = ground.client(tenant, ground.ingest, f"{name}.{session}")
    call = await writer.persist(made.single(made.make_turn(writer.rng, tenant, session, name)))
    ground.learn(call)
    if not call.placed:
        return
    reader = ground.client(tenant, ground.query, f"{name}.{session}.reader")
    for target in ground.query.targets:
        while True:
            seen, _ = await reader.once(_head(session), target, 1)
            if seen.page is not None and seen.page.version >= call.placed[0].version and seen.code == FROM_REDIS:
                break
            if ground.give_up.is_set():
                raise _GivenUp
            await asyncio.sleep(LOOK_S)


def _head(session: str) -> Request:
    return Request("head", session, "GET", f"/v1/sessions/{session}", "head", head_judge)


async def _compressor(ground: Ground, recovery: Recovery, name: str) -> None:
    """Ask for a compression in each log and wait for the end of both."""
    await asyncio.gather(*(_compressed(ground, tenant, name) for tenant in ground.tenants))
    recovery.compressor_s = time.monotonic() - recovery.healed_s


async def _compressed(ground: Ground, tenant: str, name: str) -> None:
    session = f"{tenant}.squeezed"
    client = ground.client(tenant, ground.ingest, f"{name}.squeezer")
    turns = [made.make_turn(client.rng, tenant, session, f"{name}.{n}") for n in range(3)]
    ground.learn(await client.persist(made.many(turns)))
    task = await ask_compression(ground, client, session, f"{tenant}.{name}.recovery")
    reader = ground.client(tenant, ground.query, f"{name}.squeezer.reader")
    while task is not None and not task.state:
        if ground.give_up.is_set():
            raise _GivenUp
        await asyncio.sleep(LOOK_S)
        await read_task(reader, task)
