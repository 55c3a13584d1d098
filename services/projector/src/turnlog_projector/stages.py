"""The stages of a rebuild: pages of the log, then portions with their effects; each works while the next one does.

`arguments_of` is the live projector's too.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

from turnlog_events.effects import Draft
from turnlog_events.event import Event
from turnlog_events.tokens import count_tokens_many
from turnlog_projector.changes import Arguments
from turnlog_projector.ports import Log, portions
from turnlog_views.wire import effect_arguments

T = TypeVar("T")
Portion = tuple[Sequence[Event], list[Arguments]]
_THREAD_FROM_TEXTS = 16
"""Fewer texts are counted sooner than a thread has begun."""


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
    source: AsyncGenerator[list[Event], None], most_events: int, most_bytes: int
) -> AsyncGenerator[Portion, None]:
    """The pages with their effects, put together to portions: a write costs by partition and session more than by
    event."""
    gathered: list[Event] = []
    known: list[Arguments] = []
    size = 0
    async with aclosing(source):
        async for page in source:
            for events in portions(page, most_events, most_bytes):
                more = sum(len(event.payload) for event in events)
                if gathered and (len(gathered) + len(events) > most_events or size + more > most_bytes):
                    yield gathered, known
                    gathered, known, size = [], [], 0
                gathered += events
                known += await arguments_of(events)
                size += more
    if gathered:
        yield gathered, known


async def arguments_of(events: Sequence[Event]) -> list[Arguments]:
    """Each event's effect as arguments of `apply`; empty for one without an effect.

    Tokens are counted by a thread, without the interpreter, while all else on the event loop goes on.
    """
    draft = Draft(events)
    if len(draft.texts) < _THREAD_FROM_TEXTS:
        counts = count_tokens_many(draft.texts)
    else:
        counts = await asyncio.to_thread(count_tokens_many, draft.texts)
    effects = draft.effects(counts)
    return [effect_arguments(event.position, effect) for event, effect in zip(events, effects, strict=True)]
