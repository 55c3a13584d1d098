"""Clients that write. Each is a coroutine that runs until the load stops, and never gives up a turn before that."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace

from faults import client_turns as made
from faults.client import Client
from faults.ground import Ground
from faults.load_readers import read_turns
from faults.record import STORED


async def single_writer(ground: Ground, client: Client, name: str) -> None:
    """The one writer of a session at a time: turn after turn, each after the last was acknowledged; reads its own
    writes now and then at a query replica."""
    reader = ground.client(client.tenant, ground.query, f"{name}.reader")
    async for session, number in _sessions(ground, client, name, 0.03):
        request = made.single(made.make_turn(client.rng, client.tenant, session, f"t{number}"))
        ground.learn(await client.persist(request), request)
        if number % 4 == 0:
            await read_turns(ground, reader, session, own=True)


async def shared_writer(ground: Ground, client: Client, name: str) -> None:
    """One of several writers of a session."""
    async for session, number in _sessions(ground, client, "shared", 0.15):
        request = made.single(made.make_turn(client.rng, client.tenant, session, f"{name}.t{number}"), "shared")
        ground.learn(await client.persist(request), request)


async def many_writer(ground: Ground, client: Client, name: str) -> None:
    """Writes 2 to 20 turns in a request, and now and then takes some of them back."""
    async for session, number in _sessions(ground, client, name, 0.4):
        count = client.rng.randint(2, 20)
        turns = [made.make_turn(client.rng, client.tenant, session, f"m{number}.{n}") for n in range(count)]
        request = made.many(turns)
        call = await client.persist(request)
        ground.learn(call, request)
        if call.outcome == STORED and client.rng.random() < 0.1:
            last = call.placed[-1].version
            ground.learn(await client.persist(made.retraction(session, last - 1, last, f"{session}.r{number}")))


async def keyed_writer(ground: Ground, client: Client, name: str) -> None:
    """Names its turns by Idempotency-Key."""
    async for session, number in _sessions(ground, client, name, 0.3):
        request = made.keyed(made.make_turn(client.rng, client.tenant, session, f"k{number}"))
        ground.learn(await client.persist(request), request)


async def matching_writer(ground: Ground, client: Client, name: str) -> None:
    """One of two that write to a session at the version they last heard of; whoever is too late decides anew."""
    async for session, number in _sessions(ground, client, "matched", 0.4):
        version = ground.acknowledged.get((client.tenant, session), 0)
        turn = made.make_turn(client.rng, client.tenant, session, f"{name}.i{number}")
        request = made.matching(turn, version)
        ground.learn(await client.persist(request), request)


async def bulk_writer(ground: Ground, client: Client, name: str) -> None:
    """Loads lines of several sessions; what was not stored is sent again, all of it."""
    async for session, number in _sessions(ground, client, name, 3.0):
        count = client.rng.randint(20, 120)
        turns = [
            made.make_turn(client.rng, client.tenant, f"{session}.{n % 3}", f"b{number}.{n}") for n in range(count)
        ]
        request = made.bulk(turns, f"{session}.b{number}")
        ground.learn(await client.persist(request), request)


async def repeater(ground: Ground, client: Client, name: str) -> None:
    """Sends again what was acknowledged some time ago, as a client that lost the answer would."""
    while await ground.pause(client.rng, 0.3):
        own = [request for tenant, request in ground.stored if tenant == client.tenant]
        if own:
            await client.persist(replace(client.rng.choice(own), kind="repeat"))


async def _sessions(ground: Ground, client: Client, name: str, think_s: float) -> AsyncIterator[tuple[str, int]]:
    """(session, number) for one turn after the other, with pauses; another session every so many turns."""
    for number in itertools.count(1):
        if not await ground.pause(client.rng, think_s):
            return
        yield f"{client.tenant}.{name}.s{number // ground.pace.session_turns}", number
