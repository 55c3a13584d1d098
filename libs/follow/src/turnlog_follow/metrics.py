"""Metrics of following, and of the fence."""

from prometheus_client import Counter, Gauge

FENCED = Gauge(
    "turnlog_log_fenced",
    "1 while the stream holds what PostgreSQL does not, and writes are refused",
    ["log"],
    multiprocess_mode="livemax",
)
LAG_EVENTS = Gauge(
    "turnlog_follower_lag_events",
    "Events of the log that the consumer has not handled",
    ["log", "consumer"],
    multiprocess_mode="livemax",
)
LAG_SECONDS = Gauge(
    "turnlog_follower_lag_seconds",
    "Age of the oldest of them; 0 when there is none",
    ["log", "consumer"],
    multiprocess_mode="livemax",
)
FOLLOWED = Counter(
    "turnlog_follower_events_total", "Events handled, by where they came from", ["log", "consumer", "source"]
)
