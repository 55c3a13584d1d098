"""What the tests of projector, rebuild and verification share: events to append, a running projector, the truth."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from turnlog_events import event as ev
from turnlog_events.canonical import canonical
from turnlog_events.event import NewEvent
from turnlog_events.fold import SessionState, fold
from turnlog_events.hashing import payload_hash
from turnlog_events.ids import new_id
from turnlog_events.payloads import MemorySummarized, TurnsRetracted
from turnlog_eventstore import AppendRequest, Store, Stored
from turnlog_follow import Follower, FollowSettings
from turnlog_projector.projector import Projector, ProjectorOptions
from turnlog_views import LogIdentity, ReaderSettings, ViewReader, ViewWriter, WriterSettings

WAIT_S = 20.0
QUICK = FollowSettings(poll_s=0.02, tick_s=0.1)


def _event(tenant: str, session: str, type_name: str, key: str, body: dict[str, Any], **more: Any) -> NewEvent:
    payload = canonical(body)
    return NewEvent(tenant, session, type_name, key, payload, payload_hash(payload), new_id(), **more)


def turn(tenant: str, session: str, text: str, agent: str | None = "ann") -> NewEvent:
    body = {"role": "user", "content": text} | ({"agent_id": agent} if agent else {})
    return _event(tenant, session, ev.TURN_STORED, new_id(), body, agent_id=agent)


def retraction(tenant: str, session: str, start: int, end: int) -> NewEvent:
    return _event(tenant, session, ev.TURNS_RETRACTED, f"retract/{new_id()}", TurnsRetracted(start, end).to_json())


def summary(tenant: str, session: str, start: int, end: int, revision: int = 1) -> NewEvent:
    made = MemorySummarized(start, end, 1, revision, f"about {start}..{end}", (), "m", "p1", 9, 3)
    return _event(tenant, session, ev.SUMMARIZED, made.key, made.to_json())


async def append(store: Store, log: str, events: Iterable[NewEvent]) -> int:
    """Append one request per event; the last position."""
    results = await store.append(log, [AppendRequest((event,)) for event in events])
    assert all(isinstance(result, Stored) for result in results)
    return max(place.position for result in results if isinstance(result, Stored) for place in result.events)


async def truth(store: Store, tenant: str, session: str, window: int = 200) -> SessionState:
    """The session folded from all its events in PostgreSQL."""
    events = [*await store.turns(tenant, session, limit=100_000), *await store.marks(tenant, session)]
    return fold(sorted(events, key=lambda e: e.position), window=window)


def projector_of(store: Store, redis_url: str, log: str, **writer_settings: Any) -> Projector:
    writer = ViewWriter(redis_url, log, WriterSettings(**writer_settings))
    options = ProjectorOptions(tick_s=0.05, backoff_first_s=0.01, backoff_last_s=0.1)
    return Projector(store, lambda: Follower(store, None, log, QUICK), writer, options)


@asynccontextmanager
async def running(projector: Projector) -> AsyncIterator[None]:
    """The projector at work until the block ends."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(projector.run(stop))
        try:
            yield
        finally:
            stop.set()


@asynccontextmanager
async def reading(
    store: Store, redis_url: str, settings: ReaderSettings = ReaderSettings()
) -> AsyncIterator[ViewReader]:
    async def identity(log: str) -> LogIdentity:
        head = await store.head(log)
        return LogIdentity(head.incarnation, head.epoch)

    reader = await ViewReader.open(redis_url, identity, settings)
    try:
        yield reader
    finally:
        await reader.close()


@asynccontextmanager
async def writing(store: Store, redis_url: str, log: str, **settings: Any) -> AsyncIterator[ViewWriter]:
    writer = ViewWriter(redis_url, log, WriterSettings(**settings))
    head = await store.head(log)
    await writer.open(head.incarnation, head.epoch)
    try:
        yield writer
    finally:
        await writer.close()


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds; fails after `WAIT_S`."""
    async with asyncio.timeout(WAIT_S):
        while not await holds():  # the condition lives in another process
            await asyncio.sleep(0.01)


async def complete(writer: ViewWriter, position: int) -> None:
    """Wait until every partition is at a position and readable."""

    async def holds() -> bool:
        found = await writer.partitions()
        return all(p.checkpoint >= position and writer.readable(p) for p in found)

    await eventually(holds)
