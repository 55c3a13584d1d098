"""Metrics of the projector, declared once a process."""

from prometheus_client import Counter, Gauge, Histogram

applied_events = Counter("projector_events_applied_total", "Events applied to the read models", ["log"])
lag_events = Gauge("projector_lag_events", "Events in the log that the read models lack", ["log"])
batch_seconds = Histogram(
    "projector_batch_seconds",
    "Time to apply one batch",
    ["log"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
sessions_loaded = Counter("projector_sessions_loaded_total", "Sessions loaded whole from PostgreSQL", ["log"])
fenced = Counter("projector_fenced_total", "Writes refused because a partition was elsewhere", ["log"])
failures = Counter("projector_failures_total", "Failures that made the projector begin again", ["log", "error"])
restarts = Counter("projector_restarts_total", "Read models abandoned because they were ahead of the log", ["log"])
