"""Spans of what is asked of PostgreSQL: the observer of a `turnlog_eventstore.Store`, of whose kinds it needs only the
shape (MCP is traced too, and knows no store).

A transaction serves many requests. Each sampled one gets a span of its own below the span that its events remember
(`NewEvent.trace`), all over the same time; the attributes say how large the transaction was.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from turnlog_events.event import NewEvent
from turnlog_tracing.context import below_text, is_sampled

POSTGRESQL: Mapping[str, AttributeValue] = {"db.system.name": "postgresql"}


class Request(Protocol):
    """What is appended whole or not at all; see `turnlog_eventstore.AppendRequest`."""

    @property
    def events(self) -> Sequence[NewEvent]:
        """One at least, all of one request."""


class StoreSpans:
    """See the module. `child` makes a span below the current one."""

    def __init__(
        self, tracer: Tracer, child: Callable[[str, dict[str, AttributeValue]], AbstractContextManager[Any]]
    ) -> None:
        self._tracer, self._child = tracer, child
        self._statements: dict[str, dict[str, AttributeValue]] = {}

    def reading(self, name: str) -> AbstractContextManager[Any]:
        """Around the reading of a named statement."""
        known = self._statements.get(name)
        if known is None:
            known = self._statements[name] = {**POSTGRESQL, "db.operation.name": "SELECT", "db.query.summary": name}
        return self._child(name, known)

    def appending(
        self, log: str, requests: Sequence[Request]
    ) -> AbstractContextManager[Callable[[Sequence[Any] | BaseException], None]]:
        """Around a transaction; what it gives is to be told the results, or what went wrong. If it is told nothing,
        PostgreSQL was not asked, and there was no span."""
        traced: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            trace = request.events[0].trace
            if trace is not None:
                traced.setdefault(trace, []).append(number)
        sampled = {trace: numbers for trace, numbers in traced.items() if is_sampled(trace)}
        return self._appending(log, requests, sampled) if sampled else nullcontext(_ignore)

    @contextmanager
    def _appending(
        self, log: str, requests: Sequence[Request], traced: Mapping[str, list[int]]
    ) -> Iterator[Callable[[Sequence[Any] | BaseException], None]]:
        began_ns = time.time_ns()
        size: dict[str, AttributeValue] = {
            **POSTGRESQL,
            "db.operation.name": "append",
            "db.query.summary": "append",
            "turnlog.log": log,
            "turnlog.batch.requests": len(requests),
            "turnlog.batch.events": sum(len(request.events) for request in requests),
        }
        spans: dict[str, Span] = {}
        for trace, numbers in traced.items():
            attributes = {**size, "turnlog.events": sum(len(requests[number].events) for number in numbers)}
            spans[trace] = self._tracer.start_span(
                "append", below_text(trace), SpanKind.CLIENT, attributes, (), began_ns
            )

        def told(outcome: Sequence[Any] | BaseException) -> None:
            for trace, numbers in traced.items():
                span = spans[trace]
                if isinstance(outcome, BaseException):
                    span.set_attribute("error.type", type(outcome).__name__)
                    span.set_status(Status(StatusCode.ERROR))
                else:
                    _note(span, [outcome[number] for number in numbers])
                span.end()

        yield told


def _ignore(_: Sequence[Any] | BaseException) -> None:
    """Nobody is traced."""


def _note(span: Span, results: Sequence[Any]) -> None:
    """Where the events stand now (`Stored`), or why they do not (`Rejected`)."""
    placed = [place for result in results for place in getattr(result, "events", ())]
    if placed:
        span.set_attribute("turnlog.position", placed[0].position)
        if (version := placed[0].version) is not None:
            span.set_attribute("turnlog.version", version)
        if len(placed) > 1:
            span.set_attribute("turnlog.position.last", placed[-1].position)
        if duplicates := sum(place.duplicate for place in placed):
            span.set_attribute("turnlog.duplicates", duplicates)
    if rejected := [result.code for result in results if hasattr(result, "code")]:
        span.set_attribute("turnlog.rejected", rejected[0])
