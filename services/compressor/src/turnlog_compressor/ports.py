"""What the compressor asks of the event store, so that its tests can stand in for it."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from turnlog_events.event import Event
from turnlog_eventstore import Appended, AppendRequest, Leadership

Append = Callable[[str, list[AppendRequest]], Awaitable[list[Appended]]]
"""Appends requests to a log by its name, as `turnlog_eventstore.Store.append` does."""


class Log(Protocol):
    """The part of `turnlog_eventstore.Store` that is used here; see there for what each call promises."""

    async def append(self, log: str, requests: Sequence[AppendRequest]) -> list[Appended]:
        """Append requests in one transaction."""

    async def turns(
        self,
        tenant: str,
        session_id: str,
        *,
        limit: int,
        after_version: int = 0,
        before_version: int | None = None,
        newest_first: bool = True,
    ) -> list[Event]:
        """Turns between two versions."""

    async def marks(self, tenant: str, session_id: str) -> list[Event]:
        """All events of the session that are not turns."""

    async def task_events(self, tenant: str, task_id: str) -> list[Event]:
        """The events of a task."""

    async def start_task(self, tenant: str, task_id: str) -> None:
        """Record that the task is taken up."""

    async def checkpoint(self, log: str, consumer: str) -> int:
        """How far the consumer has come."""

    async def save_checkpoint(self, log: str, consumer: str, position: int) -> None:
        """Record how far the consumer has come."""

    def leadership(self, name: str) -> AbstractAsyncContextManager[Leadership]:
        """Wait for leadership."""
