"""The compressor's metrics. None of them carries content or a tenant."""

from prometheus_client import Counter, Gauge, Histogram

COMPRESSION_SECONDS = Histogram(
    "memory_compression_duration_seconds",
    "Time to make and store one summary, or to end a compression without one",
    ["outcome", "model"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
LLM_ERRORS = Counter("llm_errors_total", "Calls of a model that gave no summary", ["provider", "kind"])
LLM_TOKENS = Counter("llm_tokens_total", "Tokens of answered calls", ["provider", "direction"])
BREAKER_STATE = Gauge("llm_breaker_state", "0 closed, 1 half-open, 2 open", ["provider"])
SUMMARIES = Counter("memory_summaries_total", "Summaries stored", ["level", "model"])
JOBS = Counter("memory_compressions_total", "Sessions looked at", ["reason", "outcome"])
LAG = Gauge("compressor_lag_events", "Events of the log not yet seen by the compressor", ["log"])
PENDING = Gauge("compressor_pending_sessions", "Sessions waiting to become due, or due", ["log"])
