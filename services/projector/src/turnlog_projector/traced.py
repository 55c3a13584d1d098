"""The projector's follower and writer with spans; only where traces are on."""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from turnlog_follow import Batch
from turnlog_projector.ports import Batches
from turnlog_views import ViewWriter, WriterSettings
from turnlog_views.partitions import Change, Mode, Outcome

if TYPE_CHECKING:
    from turnlog_tracing.processing import Processing


class TracedFollower:
    """A follower whose batches are traced while the projector works on them."""

    def __init__(self, inner: Batches, spans: "Processing") -> None:
        self._inner, self._spans = inner, spans

    def batches(self, after: int) -> AsyncIterator[Batch]:
        """See `Batches`."""
        return self._spans.batches(self._inner.batches(after))


class TracedWriter(ViewWriter):
    """A writer whose writes are traced. Those of `another()`, with which rebuilds are made, are not."""

    def __init__(self, url: str, log: str, settings: WriterSettings, spans: "Processing") -> None:
        super().__init__(url, log, settings)
        self._spans = spans

    async def apply(self, changes: Sequence[Change], mode: Mode = Mode.LIVE) -> list[Outcome]:
        """See `ViewWriter.apply`."""
        told = [change.checkpoint for change in changes if change.sessions]
        if not told:
            return await super().apply(changes, mode)
        with self._spans.writing("apply", max(told), len(changes)):
            return await super().apply(changes, mode)
