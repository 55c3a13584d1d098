"""The projector brings read models to the head: from an empty Redis, after Redis lost partitions, and fed by NATS."""

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from typing import ClassVar

from redis.asyncio import Redis

from faults.steps.ground import Ground
from faults.steps.judging import events_of, log_faults, view_faults, views_complete
from making import mark, request, turn
from turnlog_bus import Bus, StreamName
from turnlog_events import event as ev
from turnlog_events.event import NewEvent
from turnlog_events.payloads import MemorySummarized, TurnsRetracted
from turnlog_eventstore import Store
from turnlog_follow import Follower, FollowSettings
from turnlog_projector.projector import Projector, ProjectorOptions
from turnlog_views import ViewWriter, WriterSettings

SESSIONS, ROUNDS = 5, 5
FOLLOW = FollowSettings(batch_events=12, poll_s=0.05, tick_s=0.1)
OPTIONS = ProjectorOptions(portion_events=7, tick_s=0.05, backoff_first_s=0.01, backoff_last_s=0.05)
WINDOW = WriterSettings(window_turns=4)


def conversation(tenant: str, part: int) -> Iterator[NewEvent]:
    """Turns in several sessions, summaries and retractions, under fixed ids. Part 0, then part 1 after it."""
    for number in range(ROUNDS):
        for session in range(SESSIONS):
            text = f"turn {number} of {session}"
            key = f"t{part}-{number}"
            yield turn(tenant, f"s{session}", text, key=key, agent_id=f"agent{number % 2}", user_id="ana")
    for session in range(0, SESSIONS, 2):
        made = MemorySummarized(part * ROUNDS + 1, part * ROUNDS + 2, 1, 1, "about it", (), "m", "p1", 9, 3)
        yield mark(tenant, f"s{session}", ev.SUMMARIZED, made.key, made.to_json())
        hidden = TurnsRetracted(part * ROUNDS + 4, part * ROUNDS + 4).to_json()
        yield mark(tenant, f"s{session}", ev.TURNS_RETRACTED, f"retract/{part}", hidden)


async def converse(store: Store, ground: Ground, part: int) -> None:
    """Append a part of the conversation; a repeat stores nothing."""
    for event in conversation(ground.tenant, part):
        await store.append(ground.log, [request(event)])


async def project(ground: Ground, store: Store, bus: Bus | None = None) -> None:
    """Run a projector until all read models are complete."""
    stop = asyncio.Event()
    running = asyncio.create_task(projector_of(ground, store, bus).run(stop))
    await ground.until(lambda looking: views_complete(ground, looking))
    stop.set()
    await running


def projector_of(ground: Ground, store: Store, bus: Bus | None = None) -> Projector:
    """A projector of the ground's log."""
    writer = ViewWriter(ground.addresses.redis_url, ground.log, WINDOW)
    return Projector(store, lambda: Follower(store, bus, ground.log, FOLLOW), writer, OPTIONS)


class _Projecting:
    from_bus: ClassVar[bool] = False
    parts_readable: ClassVar[int] = 2
    """A partition may be read only when it has at least so many parts of the conversation."""

    async def prepare(self, ground: Ground) -> None:
        """A log of both parts, nothing projected."""
        async with ground.store() as store:
            for part in (0, 1):
                await converse(store, ground, part)

    async def operate(self, ground: Ground) -> None:
        """Project all of it."""
        async with ground.store() as store, ground.bus() if self.from_bus else nullcontext() as bus:
            await project(ground, store, bus)

    async def after_crash(self, ground: Ground) -> list[str]:
        """What is there is what the log says up to its checkpoint, and nothing is readable that lacks what it once
        had: readers would take a part for the whole."""
        least = sum(len(list(conversation(ground.tenant, part))) for part in range(self.parts_readable))
        writer = ViewWriter(ground.addresses.redis_url, ground.log, WINDOW)
        async with ground.store() as store:
            head = await store.head(ground.log)
            await writer.open(head.incarnation, head.epoch)
            early = [p for p in await writer.partitions() if writer.readable(p) and p.checkpoint < least]
            await writer.close()
            wrong = [f"{len(early)} partitions can be read at {early[0].checkpoint}, before {least}"] if early else []
            return wrong + await view_faults(ground, store, complete=False)

    async def at_end(self, ground: Ground) -> list[str]:
        """All read models are complete and what the log says."""
        async with ground.store() as store:
            wrong = await log_faults(store, ground.log, await events_of(store, ground.log))
            return wrong + await view_faults(ground, store, complete=True)


class Empty(_Projecting):
    """Redis holds nothing of the log."""


class Replay(_Projecting):
    """Redis has the first part; of some partitions it lost the checkpoint, of others the sessions."""

    parts_readable = 1

    async def prepare(self, ground: Ground) -> None:
        async with ground.store() as store:
            await converse(store, ground, 0)
            await project(ground, store)
            await _damage(ground)
            await converse(store, ground, 1)


class FromBus(_Projecting):
    """The events come over NATS."""

    from_bus = True

    async def prepare(self, ground: Ground) -> None:
        await super().prepare(ground)
        async with ground.store() as store, ground.bus() as bus:
            name = StreamName(ground.log, (await store.head(ground.log)).incarnation)
            await bus.ensure_stream(name, 1)
            await bus.publish(name, await events_of(store, ground.log))


async def _damage(ground: Ground) -> None:
    """Every other meta and every third session is lost."""
    async with Redis.from_url(ground.addresses.redis_url) as redis:
        metas = sorted([key async for key in redis.scan_iter(f"tl:{{{ground.log}:*:meta", count=1000)])
        heads = sorted([key async for key in redis.scan_iter(f"tl:{{{ground.log}:*:h:*", count=1000)])
        await redis.unlink(*metas[::2], *heads[::3])
