"""Which events of a batch belong to which trace. Pure.

Events of one request share a span: a load of 10,000 turns makes a few spans, not 30,000.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from turnlog_events.event import Event
from turnlog_tracing.context import is_sampled

FRESH_S = 600.0
"""An event stored longer ago is read again (a rebuild, a new stream): its trace has ended."""


@dataclass(frozen=True, slots=True)
class Group:
    """The events that go on with the trace of one span: how many there are, the first and last one's position."""

    traceparent: str
    first: int
    last: int
    count: int


def stored_trace(event: Event) -> str | None:
    """The trace context that stands in the event."""
    return event.trace


def grouped(
    events: Sequence[Event], now_s: float, context_of: Callable[[Event], str | None] = stored_trace
) -> list[Group]:
    """The sampled traces among `events`, in the order of their first event. `now_s` is seconds since 1970."""
    found: dict[str, list[int]] = {}
    oldest_us = (now_s - FRESH_S) * 1e6
    for event in events:
        if event.trace is None:
            continue
        traceparent = context_of(event)
        if traceparent is not None and event.recorded_at_us > oldest_us:
            found.setdefault(traceparent, []).append(event.position)
    return [Group(text, at[0], at[-1], len(at)) for text, at in found.items() if is_sampled(text)]
