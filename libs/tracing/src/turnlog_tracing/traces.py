"""The spans that this process makes: each kind of edge asks here for what watches over it.

    http(app)        SERVER spans of requests
    store            CLIENT spans of appends and reads: an observer for `turnlog_eventstore.Store`
    bus()            PRODUCER spans, and trace contexts in messages: a carrier for `turnlog_bus.Bus`
    processing(…)    CONSUMER spans of a follower's batches, with the Redis writes below them
    child(…)         any span below the current one

Nothing here may hold content, a prompt, a credential or a tenant.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer, get_current_span, set_span_in_context
from opentelemetry.util.types import AttributeValue

from turnlog_runtime.asgi import App
from turnlog_tracing.bus import BusSpans
from turnlog_tracing.context import ROOT, below_text, is_sampled, parsed, written
from turnlog_tracing.http import TracedHttp
from turnlog_tracing.processing import Processing
from turnlog_tracing.store import StoreSpans

Attributes = Mapping[str, AttributeValue]
_NOTHING: AbstractContextManager[None] = nullcontext()
LINKS_MAX = 8
"""A summary names at most so many of the spans that led to it."""


class Traces:
    """See the module."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self.store = StoreSpans(tracer, self.child)

    def http(self, app: App, *, hand_on_unsampled: bool = False) -> App:
        """The app with a SERVER span for each request. See `TracedHttp`."""
        return TracedHttp(app, self._tracer, hand_on_unsampled=hand_on_unsampled)

    def bus(self) -> BusSpans:
        """What carries trace contexts through NATS. One for each bus."""
        return BusSpans(self._tracer)

    def processing(self, log: str, consumer: str, carried: BusSpans | None) -> Processing:
        """Spans of the batches that a consumer works through. `carried` is the carrier of the bus it follows."""
        return Processing(self._tracer, log, consumer, carried)

    def child(
        self, name: str, attributes: Attributes, kind: SpanKind = SpanKind.CLIENT
    ) -> AbstractContextManager[Span | None]:
        """A span below the current one; None when nothing is traced here now."""
        if not get_current_span().get_span_context().trace_flags.sampled:
            return _NOTHING
        return self._open(name, None, kind, attributes, ())

    def following(
        self, name: str, traceparent: str | None, attributes: Attributes, links: Sequence[str] = ()
    ) -> AbstractContextManager[Span | None]:
        """A span below the one that `traceparent` names, or with None one that starts a trace of its own, linked to the
        newest `LINKS_MAX` of `links`. None when `traceparent` is of a trace that is not recorded."""
        if traceparent is not None and not is_sampled(traceparent):
            return _NOTHING
        context = ROOT if traceparent is None else below_text(traceparent)
        named = [Link(span) for text in links[-LINKS_MAX:] if (span := parsed(text)) is not None]
        return self._open(name, context, SpanKind.INTERNAL, attributes, named)

    @contextmanager
    def memory(self, operation: str, traceparent: str | None) -> Iterator[str | None]:
        """Around an operation on the memory that this process asks another for, for a request that came with a
        `traceparent` (ours, by `http`); what it gives is the one to pass on. "" is no operation: no span."""
        if not operation or traceparent is None or not is_sampled(traceparent):
            yield traceparent
            return
        attributes = {"gen_ai.operation.name": operation, "gen_ai.provider.name": "turnlog"}
        with self._open(operation, below_text(traceparent), SpanKind.CLIENT, attributes, ()) as span:
            yield written(span.get_span_context())

    @staticmethod
    def traceparent() -> str | None:
        """The `traceparent` of the span that is current here; None when nothing is recorded."""
        span = get_current_span().get_span_context()
        return written(span) if span.is_valid and span.trace_flags.sampled else None

    @staticmethod
    def conversation() -> str | None:
        """The session that the current span is about, where it says so."""
        known: Mapping[str, AttributeValue] = getattr(get_current_span(), "attributes", None) or {}
        session = known.get("gen_ai.conversation.id")
        return session if isinstance(session, str) else None

    @contextmanager
    def _open(
        self, name: str, context: Context | None, kind: SpanKind, attributes: Attributes, links: Sequence[Link]
    ) -> Iterator[Span]:
        """A span that is the current one meanwhile. What is raised is named by its kind: its text may hold anything."""
        span = self._tracer.start_span(name, context, kind, attributes, links, time.time_ns())
        token = attach(set_span_in_context(span, context))
        try:
            yield span
        except BaseException as error:
            failed(span, type(error).__name__)
            raise
        finally:
            detach(token)
            span.end()


def failed(span: Span, kind: str) -> None:
    """Mark a span as one that ended in an error of this kind, if nobody has said which yet."""
    known: Mapping[str, AttributeValue] = getattr(span, "attributes", None) or {}
    if "error.type" not in known:
        span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))
