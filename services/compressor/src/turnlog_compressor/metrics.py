"""The compressor's metrics. None of them carries content or a tenant."""

from prometheus_client import Counter, Gauge, Histogram

COMPRESSION_SECONDS = Histogram(
    "memory_compression_duration_seconds",
    "Time to make and store one summary, or to end a compression without one",
    ["outcome", "model"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
LLM_ERRORS = Counter("llm_errors_total", "Calls of a model that gave no summary", ["provider", "kind"])
LLM_CALLS = Counter(
    "llm_calls_total",
    "Calls of a model: ok, unusable (answered, but no summary could be read from it), failed, or cancelled",
    ["provider", "outcome"],
)
LLM_CALL_SECONDS = Histogram(
    "llm_call_seconds",
    "Time of one call of a model",
    ["provider"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120),
)
LLM_COST_DOLLARS = Counter(
    "llm_cost_dollars_total", "Price of answered calls, where the settings tell prices", ["provider"]
)
SUMMARY_TOKENS = Counter(
    "memory_summary_tokens_total", "Tokens that stored summaries cover (in), and of their texts (out)", ["direction"]
)
TOKENS_COVERED, TOKENS_OF_TEXTS = SUMMARY_TOKENS.labels("in"), SUMMARY_TOKENS.labels("out")
LLM_TOKENS = Counter("llm_tokens_total", "Tokens of answered calls", ["provider", "direction"])
BREAKER_STATE = Gauge("llm_breaker_state", "0 closed, 1 half-open, 2 open", ["provider"], multiprocess_mode="livemax")
SUMMARIES = Counter("memory_summaries_total", "Summaries stored", ["level", "model"])
JOBS = Counter("memory_compressions_total", "Sessions looked at", ["reason", "outcome"])
LAG = Gauge(
    "compressor_lag_events", "Events of the log not yet seen by the compressor", ["log"], multiprocess_mode="livemax"
)
PENDING = Gauge(
    "compressor_pending_sessions", "Sessions waiting to become due, or due", ["log"], multiprocess_mode="livesum"
)
