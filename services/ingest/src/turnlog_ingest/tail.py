"""The tail: the newest events of the log that this process stored itself, kept for its own relay.

It spares the relay a read for each batch while one process does the writing. It is never needed: what is not in it, or
does not follow without a gap, the relay reads from PostgreSQL.
"""

from collections import deque
from collections.abc import Iterable

from turnlog_events.event import Event

TAIL_MAX_EVENTS = 10_000
TAIL_MAX_BYTES = 64 * 1024 * 1024


class Tail:
    """Contiguous events, bounded; an overflow or a gap empties it."""

    def __init__(self, max_events: int = TAIL_MAX_EVENTS, max_bytes: int = TAIL_MAX_BYTES) -> None:
        self._max_events, self._max_bytes = max_events, max_bytes
        self._events: deque[Event] = deque()
        self._bytes = 0

    def add(self, events: Iterable[Event]) -> None:
        """Append events that were stored, in order of position."""
        for event in events:
            if self._events and event.position != self._events[-1].position + 1:
                self.clear()
            self._events.append(event)
            self._bytes += len(event.payload)
        if len(self._events) > self._max_events or self._bytes > self._max_bytes:
            self.clear()

    def after(self, position: int, limit: int) -> list[Event]:
        """Up to `limit` events that follow `position` without a gap; empty when they are not here."""
        while self._events and self._events[0].position <= position:
            self._bytes -= len(self._events.popleft().payload)
        if not self._events or self._events[0].position != position + 1:
            return []
        return [event for event, _ in zip(self._events, range(limit), strict=False)]

    def clear(self) -> None:
        """Forget all."""
        self._events.clear()
        self._bytes = 0

    def __len__(self) -> int:
        """How many events it holds."""
        return len(self._events)
