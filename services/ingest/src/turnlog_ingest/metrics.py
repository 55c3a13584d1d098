"""Metrics of the write side: the group commit, and the relay."""

from prometheus_client import Counter, Gauge, Histogram

TURNS_STORED = Counter("memory_turns_stored_total", "Turns newly stored: no duplicates, no other events", ["log"])
TURNS_DUPLICATE = Counter("memory_turns_duplicate_total", "Turns that stood in the log already", ["log"])
BATCH_EVENTS = Histogram(
    "turnlog_append_batch_events", "Events per transaction", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
)
WAIT_SECONDS = Histogram(
    "turnlog_append_wait_seconds",
    "Time that a request waited for its transaction to begin",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
)
COMMIT_SECONDS = Histogram(
    "turnlog_append_commit_seconds",
    "Time of one append transaction",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1, 5),
)
QUEUED_EVENTS = Gauge(
    "turnlog_append_queued_events", "Events waiting for a commit", ["log"], multiprocess_mode="livesum"
)
REFUSED = Counter("turnlog_append_refused_total", "Requests refused because the queue was full")
RELAYED = Counter("turnlog_relayed_events_total", "Events published on JetStream")
RELAY_LAG_EVENTS = Gauge(
    "turnlog_relay_lag_events", "Events of the log not yet published on JetStream", ["log"], multiprocess_mode="livemax"
)
RELAY_LAG_SECONDS = Gauge(
    "turnlog_relay_lag_seconds",
    "Age of the oldest of them; 0 when there is none",
    ["log"],
    multiprocess_mode="livemax",
)
