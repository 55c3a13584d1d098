"""Trace contexts through NATS: the carrier of a `turnlog_bus.Bus`.

Publishing, each trace among the events gets a PRODUCER span, and its messages carry it as `traceparent`. Consuming,
what messages carry is kept until whoever works on the events asks for it.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from turnlog_events.event import Event
from turnlog_tracing.context import below_text, written
from turnlog_tracing.groups import Group, grouped

Headers = Mapping[str, str]
KEPT_MAX = 10_000
"""Contexts that may wait to be asked for; beyond, all are forgotten and the spans stand one step higher."""
_NONE: Mapping[int, Headers] = {}


class BusSpans:
    """See the module."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._carried: dict[str, dict[int, str]] = {}

    def publishing(
        self, log: str, stream: str, events: Sequence[Event]
    ) -> AbstractContextManager[Mapping[int, Headers]]:
        """Around the publishing of events; what it gives are headers of messages by the events' positions."""
        groups = grouped(events, time.time())
        return self._publishing(log, stream, events, groups) if groups else nullcontext(_NONE)

    @contextmanager
    def _publishing(
        self, log: str, stream: str, events: Sequence[Event], groups: Sequence[Group]
    ) -> Iterator[Mapping[int, Headers]]:
        began_ns = time.time_ns()
        common: dict[str, AttributeValue] = {
            "messaging.system": "nats",
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.destination.name": log,
            "turnlog.stream": stream,
            "turnlog.batch.events": len(events),
        }
        spans = {
            group.traceparent: self._tracer.start_span(
                f"publish {log}",
                below_text(group.traceparent),
                SpanKind.PRODUCER,
                {**common, **about(group)},
                (),
                began_ns,
            )
            for group in groups
        }
        headers = {trace: _headers_of(span.get_span_context()) for trace, span in spans.items()}
        try:
            yield {event.position: headers[event.trace] for event in events if event.trace in headers}
        except BaseException as error:
            for span in spans.values():
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            for span in spans.values():
                span.end()

    def received(self, log: str, position: int, headers: Headers) -> None:
        """A message came."""
        traceparent = headers.get("traceparent")
        if traceparent is None:
            return
        kept = self._carried.setdefault(log, {})
        if len(kept) >= KEPT_MAX:
            kept.clear()
        kept[position] = traceparent

    def carried(self, event: Event) -> str | None:
        """What the event's message carried; where nothing is known of it, what the event itself remembers."""
        kept = self._carried.get(event.log)
        return (kept.get(event.position) if kept else None) or event.trace

    def forget(self, log: str, position: int) -> None:
        """Nobody will ask for the positions up to this one any more."""
        kept = self._carried.get(log)
        while kept and (first := next(iter(kept))) <= position:
            del kept[first]


def _headers_of(span: SpanContext) -> Headers:
    carried = {"traceparent": written(span)}
    return carried | {"tracestate": span.trace_state.to_header()} if span.trace_state else carried


def about(group: Group) -> dict[str, int]:
    """How many messages of a trace there are, and the positions of the first and last."""
    told = {"messaging.batch.message_count": group.count, "turnlog.position": group.first}
    return told | {"turnlog.position.last": group.last} if group.count > 1 else told
