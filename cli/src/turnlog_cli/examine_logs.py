"""Looks at what follows a log: its stream (the relay, the fence) and its read models (the projector)."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from turnlog_bus import Bus, StreamMissing, StreamName
from turnlog_cli.findings import Finding, State, away, lag
from turnlog_cli.rebuilding import view_writer
from turnlog_eventstore import LogHead, Store
from turnlog_views import ViewsError, ViewWriter

STILL_S = 3.0


async def stream(bus: Bus, store: Store, head: LogHead) -> Finding:
    """The log's stream: how far the relay is, and whether its end is PostgreSQL's (else writes are refused)."""
    name = StreamName(head.log, head.incarnation)
    try:
        last, moves = await watched(lambda: bus.last_sequence(name), head.position)
        if 0 < last <= head.position and not await _agree(bus, store, name, last):
            text = f"{name.stream} and PostgreSQL DIFFER at position {last:,}: writes to {head.log} are refused"
            facts = {"log": head.log, "position": last, "fenced": True}
            return Finding("stream", State.BAD, text, f"find out why; then `turnlog logs accept {head.log}`", facts)
    except StreamMissing:
        text = f"{head.log} has no stream yet; followers read PostgreSQL"
        return Finding("stream", State.NOTE, text, "the relay makes it when `turnlog up` or ingest runs")
    advice = "the relay catches up" if moves else "see logs/api.log; without `up`, start ingest"
    if last > head.position:
        advice = f"writes to {head.log} are refused: find out why; then `turnlog logs accept {head.log}`"
    found = lag("stream", name.stream, last, head.position, advice, moves=moves)
    found.facts.update(log=head.log, fenced=last > head.position)
    return found


async def _agree(bus: Bus, store: Store, name: StreamName, position: int) -> bool:
    published = await bus.event_at(name, position)
    own = await store.read_after(name.log, position - 1, 1)
    return published is None or bool(own and own[0].chain_hash == published.chain_hash)


async def read_models(url: str, head: LogHead) -> Finding:
    """The log's read models: how far the projector is, and whether all may be read."""
    writer = view_writer(url, head.log)
    try:
        await writer.open(head.incarnation, head.epoch)  # sees to it that the functions are there
        reached, moves = await watched(lambda: _lowest(writer), head.position)
        partitions = await writer.partitions()
        unready = sum(not writer.readable(partition) for partition in partitions)
    except ViewsError as error:
        return away("read models", error, "reads come from PostgreSQL meanwhile")
    finally:
        await writer.close()
    generations = sorted({partition.generation for partition in partitions})
    what = f"{head.log}: generation {generations[-1]}"
    advice = "the projector catches up" if moves else "see logs/projector.log; without `up`, start the projector"
    found = lag("read models", what, reached, head.position, advice, moves=moves)
    found.facts.update(log=head.log, generations=generations, partitions=len(partitions), unready_partitions=unready)
    if unready and found.state is State.OK:
        text = f"{what}: {unready} of {len(partitions)} partitions are not complete; PostgreSQL answers for them"
        return Finding("read models", State.NOTE, text, advice, found.facts)
    return found


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
