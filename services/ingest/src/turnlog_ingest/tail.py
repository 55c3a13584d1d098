"""The tail: the newest events of the log that this process stored itself, kept for its own relay.

It spares the relay a read for each batch while one process does the writing. It is never needed: what is not in it, or
does not follow without a gap and by its hash, the relay reads from PostgreSQL.
"""

from collections import deque
from collections.abc import Iterable

from turnlog_events.event import Event
from turnlog_events.hashing import chain_hash

TAIL_MAX_EVENTS = 10_000
TAIL_MAX_BYTES = 64 * 1024 * 1024


class Tail:
    """Contiguous events, bounded; an overflow or a gap empties it."""

    def __init__(self, max_events: int = TAIL_MAX_EVENTS, max_bytes: int = TAIL_MAX_BYTES) -> None:
        self._max_events, self._max_bytes = max_events, max_bytes
        self._events: deque[Event] = deque()
        self._bytes = 0

    def add(self, events: Iterable[Event]) -> None:
        """Append events that were stored by one transaction, in order of position.

        The first must follow from what is here by its chain hash too: a commit answered by a PostgreSQL that was
        replaced since is of another history.
        """
        for number, event in enumerate(events):
            if self._events and not self._follows(event, prove=number == 0):
                self.clear()
            self._events.append(event)
            self._bytes += len(event.payload)
        if len(self._events) > self._max_events or self._bytes > self._max_bytes:
            self.clear()

    def _follows(self, event: Event, *, prove: bool) -> bool:
        last = self._events[-1]
        return event.position == last.position + 1 and (
            not prove or chain_hash(last.chain_hash, event) == event.chain_hash
        )

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
