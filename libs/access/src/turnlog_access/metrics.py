"""Metrics of the door."""

from prometheus_client import Counter, Gauge

REFUSED = Counter("turnlog_credentials_refused_total", "Requests turned away at the door.", ["code"])
KEYS_AWAY = Gauge(
    "turnlog_keys_unchecked",
    "1 while API keys are taken as last known, since PostgreSQL is away.",
    multiprocess_mode="livemax",
)
JWKS_FETCHES = Counter("turnlog_jwks_fetches_total", "Fetches of the issuer's keys.", ["outcome"])
