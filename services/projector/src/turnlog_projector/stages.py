"""The stages of a rebuild: pages of the log, then portions with their effects; each works while the next one does.

`computed_here` is the live projector's too.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing
from typing import TypeVar

from turnlog_events.event import Event
from turnlog_projector.changes import Arguments
from turnlog_projector.effect_pool import EffectPool, arguments_of
from turnlog_projector.ports import Log, portions

T = TypeVar("T")
Portion = tuple[Sequence[Event], list[Arguments]]
_SLICE_EVENTS = 50


async def ahead(source: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The items of `source` in order, the next one always under way. An error of the source is raised in its turn."""
    async with aclosing(source):
        coming = asyncio.ensure_future(anext(source, None))
        try:
            while (item := await coming) is not None:
                coming = asyncio.ensure_future(anext(source, None))
                yield item
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


async def pages(log: Log, name: str, after: int, page_events: int) -> AsyncGenerator[list[Event], None]:
    """The log after a position, up to where it ends."""
    while page := await log.read_after(name, after, page_events):
        yield page
        after = page[-1].position


async def with_effects(
    source: AsyncGenerator[list[Event], None], most_events: int, most_bytes: int, pool: EffectPool | None
) -> AsyncGenerator[Portion, None]:
    """Portions of the pages with their effects, computed by the pool or here."""
    waiting: deque[tuple[Sequence[Event], Awaitable[list[Arguments]]]] = deque()
    depth = pool.processes + 1 if pool else 0
    async with aclosing(source):
        async for page in source:
            for events in portions(page, most_events, most_bytes):
                waiting.append((events, pool.submit(events) if pool and pool.ready else computed_here(events)))
                if len(waiting) > depth:
                    first, arguments = waiting.popleft()
                    yield first, await arguments
        while waiting:
            first, arguments = waiting.popleft()
            yield first, await arguments


async def computed_here(events: Sequence[Event]) -> list[Arguments]:
    """The effects of events, in slices between which all else on the event loop gets its turn.

    A thread was slower: counting tokens gives the interpreter away at every turn and waits to get it back.
    """
    arguments: list[Arguments] = []
    for at in range(0, len(events), _SLICE_EVENTS):
        arguments += arguments_of(events[at : at + _SLICE_EVENTS])
        await asyncio.sleep(0)
    return arguments
