"""Looks at what follows a log: its stream (the relay, the fence), its read models (the projector), its leaders."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from turnlog_bus import Bus, StreamMissing, StreamName
from turnlog_cli.diagnosis.findings import Finding, bad
from turnlog_cli.diagnosis.judge_logs import (
    Followed,
    Leader,
    judge_leaders,
    judge_no_stream,
    judge_read_models,
    judge_stream,
)
from turnlog_cli.rebuilding import view_writer
from turnlog_eventstore import LogHead, Store, StoreError, StoreSettings
from turnlog_eventstore.connections import Connections
from turnlog_eventstore.statements import statement
from turnlog_views import ViewsError, ViewWriter

STILL_S = 3.0
TAKE_OVER_S = 3.0
ROLES = ("relay", "projector", "compressor")


async def stream(bus: Bus, store: Store, head: LogHead) -> Finding:
    """The log's stream."""
    name = StreamName(head.log, head.incarnation)
    try:
        last, moves = await watched(lambda: bus.last_sequence(name), head.position)
        agrees = not 0 < last <= head.position or await _agree(bus, store, name, last)
    except StreamMissing:
        return judge_no_stream(head.log, head.position)
    waits_s = await waiting_s(store, head.log, last) if last < head.position else None
    return judge_stream(Followed(head.log, last, head.position, moves, waits_s), name.stream, agrees=agrees)


async def _agree(bus: Bus, store: Store, name: StreamName, position: int) -> bool:
    published = await bus.event_at(name, position)
    own = await store.read_after(name.log, position - 1, 1)
    return published is None or bool(own and own[0].chain_hash == published.chain_hash)


async def read_models(url: str, store: Store, head: LogHead) -> Finding:
    """The log's read models."""
    writer = view_writer(url, head.log)
    try:
        await writer.open(head.incarnation, head.epoch)  # sees to it that the functions are there
        reached, moves = await watched(lambda: _lowest(writer), head.position)
        partitions = await writer.partitions()
        unready = sum(not writer.readable(partition) for partition in partitions)
    except ViewsError as error:
        return bad(
            "read models",
            f"{head.log}: cannot be looked at: {error}",
            "PostgreSQL answers reads, slower. Nothing is lost.",
            "see Redis above, and its log",
            "redis",
            log=head.log,
        )
    finally:
        await writer.close()
    waits_s = await waiting_s(store, head.log, reached) if reached < head.position else None
    return judge_read_models(
        Followed(head.log, reached, head.position, moves, waits_s),
        sorted({partition.generation for partition in partitions}),
        len(partitions),
        unready,
        sorted({partition.projection for partition in partitions}),
    )


async def leaders(database_url: str, role: str, logs: Sequence[str]) -> list[Finding]:
    """Who leads each log's work. One that is missing is looked for again for `TAKE_OVER_S` seconds: it may be passing
    on."""
    names = [f"{kind}/{log}" for log in logs for kind in ROLES]
    connections = await Connections.open(database_url, StoreSettings(pool_connections=1, role=role))
    deadline = time.monotonic() + TAKE_OVER_S
    try:
        while True:
            rows = await connections.read(lambda c: c.fetch(statement("leaders"), names))
            seen = [_leader(name, pid is not None, len(pids)) for name, pid, pids in rows]
            if all(leader.held for leader in seen) or time.monotonic() > deadline:
                return judge_leaders(seen)
            await asyncio.sleep(0.2)
    finally:
        await connections.close()


def _leader(name: str, held: bool, replicas: int) -> Leader:
    role, _, log = name.partition("/")
    return Leader(role, log, held, replicas)


async def waiting_s(store: Store, log: str, position: int) -> float | None:
    """The age of the first event after a position."""
    try:
        following = await store.read_after(log, position, 1)
    except StoreError:
        return None
    return max(0.0, time.time() - following[0].recorded_at_us / 1e6) if following else None


async def _lowest(writer: ViewWriter) -> int:
    return min(partition.checkpoint for partition in await writer.partitions())


async def watched(position_of: Callable[[], Awaitable[int]], head: int) -> tuple[int, bool]:
    """A consumer's position, and whether it moves: one that is behind is looked at again until it does, or for
    `STILL_S` seconds."""
    first = position = await position_of()
    deadline = time.monotonic() + STILL_S
    while first < head and position == first and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        position = await position_of()
    return position, position > first or first >= head
