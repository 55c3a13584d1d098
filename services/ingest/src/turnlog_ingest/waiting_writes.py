"""What waits in a group commit's queue: a request, until when, and in which order with others of its client."""

import asyncio

from turnlog_eventstore import Appended, AppendRequest, StoreError


class QueueFull(StoreError):
    """More events wait than may; nothing was stored."""


class InOrder:
    """Requests submitted with the same `InOrder` are stored in their order or not at all: once one of them has failed
    for a cause that may pass, those after it are refused, so that a retry cannot put them behind later ones."""

    def __init__(self) -> None:
        self.broken = False


class Waiting:
    """One request in the queue, `since` then. `deadline` and `since` are of the monotonic clock."""

    __slots__ = ("deadline", "order", "request", "result", "since", "size_bytes")

    def __init__(
        self,
        request: AppendRequest,
        deadline: float,
        result: "asyncio.Future[Appended]",
        order: InOrder | None,
        since: float = 0.0,
    ) -> None:
        self.request, self.since = request, since
        self.order = order
        self.deadline = deadline
        self.result = result
        self.size_bytes = sum(len(event.payload) for event in request.events)

    def fail(self, error: Exception) -> None:
        """Tell whoever waits, if one still does, that it failed."""
        if self.order is not None:
            self.order.broken = True
        if not self.result.done():
            self.result.set_exception(error)
            self.result.exception()
