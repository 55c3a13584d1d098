"""The metrics of limits. None of them carries a tenant or a credential."""

from prometheus_client import Counter, Gauge

REFUSED = Counter("turnlog_limits_refused_total", "Requests that a limit refused", ["limit"])
ROUND_TRIPS = Counter("turnlog_limits_round_trips_total", "Leases asked for in Redis, by outcome", ["outcome"])
AWAY = Gauge(
    "turnlog_limits_redis_away",
    "1 while this process grants limits by itself because Redis is away",
    multiprocess_mode="livemax",
)
