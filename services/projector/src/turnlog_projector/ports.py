"""What the projector needs of the event store and the follower: just these calls.

`turnlog_eventstore.Store` and `turnlog_follow.Follower` fit; tests of the pure parts give less.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from turnlog_events.event import Event
from turnlog_eventstore import Leadership, LogHead
from turnlog_follow import Batch


class Log(Protocol):
    """A log in order, and its head."""

    async def read_after(self, log: str, position: int, limit: int) -> list[Event]:
        """Up to `limit` events after a position, contiguous, in order."""
        ...

    async def head(self, log: str) -> LogHead:
        """The newest position, and the log's incarnation."""
        ...


class History(Protocol):
    """All events of one session."""

    async def turns(
        self, tenant: str, session_id: str, *, limit: int, after_version: int = 0, newest_first: bool = True
    ) -> list[Event]:
        """Turns after a version, in ascending order."""
        ...

    async def marks(self, tenant: str, session_id: str) -> list[Event]:
        """Its events that are not turns, in order of positions."""
        ...


class Source(Log, History, Protocol):
    """The event store as the projector and the rebuild use it."""

    def leadership(self, name: str) -> AbstractAsyncContextManager[Leadership]:
        """Wait for leadership of a name."""
        ...


class Audited(Source, Protocol):
    """The event store as verification uses it."""

    async def session_version(self, tenant: str, session_id: str) -> int:
        """The session's head version, 0 when there is none."""
        ...


class Batches(Protocol):
    """A follower of one log."""

    def batches(self, after: int) -> AsyncIterator[Batch]:
        """Endless contiguous batches, an empty one about each second when nothing comes."""
        ...


def portions(events: Sequence[Event], most_events: int, most_bytes: int) -> list[Sequence[Event]]:
    """`events` in order, cut into parts of so many events and payload bytes at most (one event always fits)."""
    parts: list[Sequence[Event]] = []
    first, size = 0, 0
    for at, event in enumerate(events):
        if at > first and (at - first >= most_events or size + len(event.payload) > most_bytes):
            parts.append(events[first:at])
            first, size = at, 0
        size += len(event.payload)
    if first < len(events):
        parts.append(events[first:])
    return parts
