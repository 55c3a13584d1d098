"""Spans of what a traced read asks of Redis. Stands before the reader of the read models; only where traces are on."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from turnlog_query.ports import ViewReads
from turnlog_views import HeadView, SessionView, TurnsView

if TYPE_CHECKING:
    from turnlog_tracing.traces import Traces

_LOOKS = {
    verb: (
        f"FCALL_RO {verb}",
        {"db.system.name": "redis", "db.operation.name": "FCALL_RO", "db.stored_procedure.name": verb},
    )
    for verb in ("turns", "session", "head")
}
V = TypeVar("V", TurnsView | None, SessionView | None, HeadView | None)


class TracedViews:
    """`ViewReads` with a span for each look at Redis that belongs to a traced request."""

    def __init__(self, inner: ViewReads, traces: "Traces") -> None:
        self._inner, self._traces = inner, traces

    @property
    def why(self) -> str:
        """See `ViewReads`."""
        return self._inner.why

    async def turns(self, tenant: str, log: str, session_id: str, limit: int) -> TurnsView | None:
        """See `ViewReads`."""
        with self._looking("turns") as span:
            return _told(span, await self._inner.turns(tenant, log, session_id, limit))

    async def session(self, tenant: str, log: str, session_id: str) -> SessionView | None:
        """See `ViewReads`."""
        with self._looking("session") as span:
            return _told(span, await self._inner.session(tenant, log, session_id))

    async def head(self, tenant: str, log: str, session_id: str) -> HeadView | None:
        """See `ViewReads`."""
        with self._looking("head") as span:
            return _told(span, await self._inner.head(tenant, log, session_id))

    def saw(self, log: str, incarnation: str, epoch: str) -> None:
        """See `ViewReads`."""
        self._inner.saw(log, incarnation, epoch)

    def forget(self, log: str) -> None:
        """See `ViewReads`."""
        self._inner.forget(log)

    def _looking(self, verb: str) -> AbstractContextManager[Any]:
        return self._traces.child(*_LOOKS[verb])


def _told(span: Any, view: V) -> V:
    """The view; the span says whether Redis had it."""
    if span is not None:
        span.set_attribute("turnlog.hit", view is not None)
    return view
