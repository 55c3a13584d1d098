"""Metrics of the event store: who leads, and where logs end."""

from prometheus_client import Gauge

ROLES = frozenset({"relay", "projector", "compressor"})
LEADER = Gauge(
    "turnlog_leader",
    "1 while this process leads the log in this role, 0 while it stands by",
    ["log", "role"],
    multiprocess_mode="livemax",
)
LOG_POSITION = Gauge(
    "turnlog_log_position", "Position of the log's last event, as last known", ["log"], multiprocess_mode="livemax"
)


def tell_leading(name: str, *, leads: bool) -> None:
    """Tell of a leadership by its name (`relay/main`), if it is one that lasts."""
    role, _, log = name.partition("/")
    if role in ROLES:
        LEADER.labels(log, role).set(leads)
