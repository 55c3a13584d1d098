"""The W3C trace context as text and as OpenTelemetry's objects. Pure."""

import re
from typing import TypeGuard

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context

_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
STATE_MAX_CHARS = 512
ROOT = Context()
"""Nothing is above what begins here."""


def _is_good(match: re.Match[str] | None) -> TypeGuard[re.Match[str]]:
    """Only versions to come may say more than we know."""
    return match is not None and not (match[1] == "00" and match[5])


def is_sampled(traceparent: str) -> bool:
    """Whether whoever wrote it records the trace; false for what is no trace context."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return _is_good(match) and bool(int(match[4], 16) & TraceFlags.SAMPLED)


def parsed(traceparent: str, tracestate: str = "") -> SpanContext | None:
    """The span that a `traceparent` names; None for what is malformed, which the specification has us ignore."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if not _is_good(match):
        return None
    state = TraceState.from_header([tracestate]) if 0 < len(tracestate) <= STATE_MAX_CHARS else None
    return SpanContext(int(match[2], 16), int(match[3], 16), True, TraceFlags(int(match[4], 16)), state)


def written(span: SpanContext) -> str:
    """The `traceparent` that names a span."""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


def below(span: SpanContext | None) -> Context:
    """A context in which new spans are children of this one, or roots. What is current elsewhere plays no part."""
    return ROOT if span is None else set_span_in_context(NonRecordingSpan(span), ROOT)


def below_text(traceparent: str) -> Context:
    """The same for a span named by its `traceparent`."""
    return below(parsed(traceparent))
