"""The stages of a rebuild: pages of the log, their tokens, portions with their effects; each works while the next one
does.

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
Counted = tuple[Sequence[Event], Draft, list[int]]
Portion = tuple[Sequence[Event], list[Arguments]]
# Less is counted sooner than a thread has begun.
_THREAD_FROM_TEXTS = 128
_THREAD_FROM_CHARS = 40_000


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


async def pages(
    log: Log, name: str, after: int, page_events: int, up_to: int | None = None
) -> AsyncGenerator[list[Event], None]:
    """The log after a position, up to where it ends; with `up_to` no page begins behind that position."""
    while (up_to is None or after < up_to) and (page := await log.read_after(name, after, page_events)):
        yield page
        after = page[-1].position


async def counted(source: AsyncGenerator[list[Event], None], most_bytes: int) -> AsyncGenerator[Counted, None]:
    """The pages, each cut where it holds more than `most_bytes` of payload, with their tokens counted."""
    async with aclosing(source):
        async for page in source:
            for events in portions(page, len(page), most_bytes):
                draft = Draft(events)
                yield events, draft, await _counts_of(draft)


async def with_effects(
    source: AsyncGenerator[Counted, None], most_events: int, most_bytes: int
) -> AsyncGenerator[Portion, None]:
    """What was counted with its effects, put together to portions: a write costs by partition and session more than
    by event."""
    gathered: list[Event] = []
    known: list[Arguments] = []
    size = 0
    async with aclosing(source):
        async for events, draft, counts in source:
            more = sum(len(event.payload) for event in events)
            if gathered and (len(gathered) + len(events) > most_events or size + more > most_bytes):
                yield gathered, known
                gathered, known, size = [], [], 0
            gathered += events
            known += _arguments(events, draft, counts)
            size += more
    if gathered:
        yield gathered, known


async def arguments_of(events: Sequence[Event]) -> list[Arguments]:
    """Each event's effect as arguments of `apply`; empty for one without an effect."""
    draft = Draft(events)
    return _arguments(events, draft, await _counts_of(draft))


async def _counts_of(draft: Draft) -> list[int]:
    """Counted by a thread, which does not hold the interpreter: all else on the event loop goes on."""
    if len(draft.texts) < _THREAD_FROM_TEXTS and sum(map(len, draft.texts)) < _THREAD_FROM_CHARS:
        return count_tokens_many(draft.texts)
    return await asyncio.to_thread(count_tokens_many, draft.texts)


def _arguments(events: Sequence[Event], draft: Draft, counts: Sequence[int]) -> list[Arguments]:
    effects = draft.effects(counts)
    return [effect_arguments(event.position, effect) for event, effect in zip(events, effects, strict=True)]
