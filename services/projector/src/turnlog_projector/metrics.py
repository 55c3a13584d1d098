"""Metrics of the projector, declared once a process."""

from prometheus_client import Counter, Gauge, Histogram

applied_events = Counter("projector_events_applied_total", "Events applied to the read models", ["log"])
lag_events = Gauge(
    "projector_lag_events", "Events in the log that the read models lack", ["log"], multiprocess_mode="livemax"
)
partitions_unreadable = Gauge(
    "turnlog_projector_partitions_unreadable",
    "Partitions of the read models that may not be read now, so that PostgreSQL answers for them",
    ["log"],
    multiprocess_mode="livemax",
)
batch_seconds = Histogram(
    "projector_batch_seconds",
    "Time to apply one batch",
    ["log"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
sessions_loaded = Counter("projector_sessions_loaded_total", "Sessions loaded whole from PostgreSQL", ["log"])
fenced = Counter("projector_fenced_total", "Writes refused because a partition was elsewhere", ["log"])
failures = Counter("projector_failures_total", "Failures that made the projector begin again", ["log", "error"])
restarts = Counter("projector_restarts_total", "Read models abandoned because they were not of the log", ["log"])
rebuilds = Counter("projector_rebuilds_total", "Rebuilds that the projector began by itself", ["log", "outcome"])
rebuild_position = Gauge(
    "projector_rebuild_position",
    "Position that the rebuild under way has reached; 0 when there is none",
    ["log"],
    multiprocess_mode="livemax",
)
rebuild_paused_seconds = Counter(
    "projector_rebuild_paused_seconds_total", "Time in which a rebuild gave way to the live read models", ["log"]
)
hold_seconds = Histogram(
    "projector_hold_seconds",
    "Time in which live writes waited for a switch",
    ["log"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0),
)
generations_removed = Counter(
    "projector_generations_removed_total", "Generations removed: kept no longer, or begun and left", ["log"]
)
