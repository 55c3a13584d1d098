"""Metrics of tracing."""

from prometheus_client import Counter

SPANS = Counter(
    "turnlog_trace_spans_total",
    "Spans of this process by what became of them: sent, failed (the collector did not take them) or dropped (no room)",
    ["outcome"],
)
