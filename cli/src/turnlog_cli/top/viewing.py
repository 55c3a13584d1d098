"""What happened between two snapshots → what is shown. Pure."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime

from turnlog_cli.top.change import Change
from turnlog_cli.top.notes import notes_of
from turnlog_cli.top.view import (
    Callers,
    Lag,
    LogView,
    Provider,
    Reads,
    Replica,
    Requests,
    Stores,
    Summaries,
    View,
    Writes,
)

STORE = {"route": "/v1/sessions/{session_id}/turns", "method": "POST"}
_HOT_READS = frozenset(f"/v1/sessions/{{session_id}}/{name}" for name in ("turns", "summary", "context"))
ROLES = ("relay", "projector", "compressor")
FOLLOWERS = ("projector", "compressor", "streams")
BREAKERS = {0: "closed", 1: "half-open", 2: "open"}
_LEAD = "turnlog_leader"


def view_of(change: Change, at: datetime, away_s: Mapping[str, float], stores: Stores) -> View:
    """The view of now. `away_s` has for how long each replica that does not answer has been away."""
    view = View(
        at=at.isoformat(timespec="milliseconds"),
        passed_s=change.now.at_s - change.before.at_s,
        requests=_requests(change),
        writes=_writes(change),
        reads=_reads(change),
        logs=tuple(_log(change, name) for name in change.values_of("log", "turnlog_log_position", _LEAD)),
        summaries=_summaries(change),
        callers=_callers(change),
        replicas=_replicas(change, away_s),
        stores=stores,
    )
    return dataclasses.replace(view, notes=tuple(notes_of(view)))


def status_class(status: str) -> str:
    """`2xx` of 200 or 2xx; 429 stays: being told to slow down is no mistake of the request."""
    return status if status == "429" else f"{status[:1]}xx"


def _requests(change: Change) -> Requests:
    by_class: dict[str, float] = {}
    for status, rate in change.rates_by("status", "requests_total").items():
        by_class[status_class(status)] = by_class.get(status_class(status), 0.0) + rate
    by_service = change.rates_by("service", "requests_total")
    running = change.gauge("requests_in_progress", sum)
    return Requests(sum(by_class.values()), by_class, by_service, int(running or 0))


def _writes(change: Change) -> Writes:
    return Writes(
        turns=change.rate("memory_turns_stored_total"),
        duplicates=change.rate("memory_turns_duplicate_total"),
        refused=change.rate("turnlog_append_refused_total"),
        queued_events=int(change.gauge("turnlog_append_queued_events", sum) or 0),
        batch_events=change.mean("turnlog_append_batch_events"),
        commit_p99_s=change.quantile(0.99, "turnlog_append_commit_seconds"),
        wait_p99_s=change.quantile(0.99, "turnlog_append_wait_seconds"),
        store_p50_s=change.quantile(0.5, "requests_latency_seconds", **STORE),
        store_p99_s=change.quantile(0.99, "requests_latency_seconds", **STORE),
    )


def _reads(change: Change) -> Reads:
    by_source = change.rates_by("source", "memory_reads_total")
    rate = sum(by_source.values())
    return Reads(
        rate=rate,
        from_redis=by_source.get("redis", 0.0) / rate if rate else None,
        fallbacks=_moving(change.rates_by("reason", "memory_read_fallbacks_total")),
        p50_s=change.quantile(0.5, "requests_latency_seconds", route=_HOT_READS, method="GET"),
        p99_s=change.quantile(0.99, "requests_latency_seconds", route=_HOT_READS, method="GET"),
        streams=int(change.gauge("memory_streams", sum) or 0),
    )


def _log(change: Change, log: str) -> LogView:
    position = change.gauge("turnlog_log_position", log=log)
    before = Change(change.before, change.before).gauge("turnlog_log_position", log=log)
    passed_s = change.now.at_s - change.before.at_s
    moved = position - before if position is not None and before is not None else 0.0
    rebuilding = change.gauge("projector_rebuild_position", log=log)
    return LogView(
        log=log,
        position=_whole(position),
        events=max(0.0, moved / passed_s) if passed_s > 0 else 0.0,
        lags={"relay": _relay_lag(change, log)} | {name: _lag(change, log, name) for name in FOLLOWERS},
        led={role: bool(change.gauge(_LEAD, sum, log=log, role=role)) for role in ROLES},
        queued_events=int(change.gauge("turnlog_append_queued_events", sum, log=log) or 0),
        fenced=bool(change.gauge("turnlog_log_fenced", log=log)),
        unreadable_partitions=int(change.gauge("turnlog_projector_partitions_unreadable", log=log) or 0),
        rebuilding_at=_whole(rebuilding) or None,
    )


def _relay_lag(change: Change, log: str) -> Lag:
    return Lag(
        _whole(change.gauge("turnlog_relay_lag_events", log=log)), change.gauge("turnlog_relay_lag_seconds", log=log)
    )


def _lag(change: Change, log: str, consumer: str) -> Lag:
    return Lag(
        _whole(change.gauge("turnlog_follower_lag_events", log=log, consumer=consumer)),
        change.gauge("turnlog_follower_lag_seconds", log=log, consumer=consumer),
        change.rate("turnlog_follower_events_total", log=log, consumer=consumer),
    )


def _summaries(change: Change) -> Summaries:
    names = change.values_of("provider", "llm_breaker_state", "llm_calls_total", "llm_errors_total")
    return Summaries(
        rate=change.rate("memory_summaries_total"),
        pending=int(change.gauge("compressor_pending_sessions", sum) or 0),
        outcomes=_moving(change.rates_by("outcome", "memory_compressions_total")),
        made_p99_s=change.quantile(0.99, "memory_compression_duration_seconds"),
        providers=tuple(_provider(change, name) for name in names),
    )


def _provider(change: Change, name: str) -> Provider:
    tokens = change.rates_by("direction", "llm_tokens_total", provider=name)
    priced = change.gauge("llm_cost_dollars_total", sum, provider=name) is not None
    return Provider(
        name=name,
        breaker=BREAKERS.get(int(change.gauge("llm_breaker_state", provider=name) or 0), "unknown"),
        calls=change.rate("llm_calls_total", provider=name),
        errors=_moving(change.rates_by("kind", "llm_errors_total", provider=name)),
        call_p99_s=change.quantile(0.99, "llm_call_seconds", provider=name),
        tokens_in=tokens.get("in", 0.0),
        tokens_out=tokens.get("out", 0.0),
        dollars_per_hour=change.rate("llm_cost_dollars_total", provider=name) * 3600 if priced else None,
    )


def _callers(change: Change) -> Callers:
    return Callers(
        limited=_moving(change.rates_by("limit", "turnlog_limits_refused_total")),
        turned_away=_moving(change.rates_by("code", "turnlog_credentials_refused_total")),
        alone=bool(change.gauge("turnlog_limits_redis_away")),
        unchecked=bool(change.gauge("turnlog_keys_unchecked")),
    )


def _replicas(change: Change, away_s: Mapping[str, float]) -> tuple[Replica, ...]:
    found = []
    for source in change.now.sources:
        built = [dict(labels) for labels in source.samples.get("turnlog_build_info", {})]
        services = {labels.get("service", "?"): labels.get("version", "?") for labels in built}
        ordered = dict(sorted(services.items()))
        found.append(Replica(source.url, ordered, source.away, away_s.get(source.url, 0.0)))
    return tuple(found)


def _moving(rates: Mapping[str, float]) -> dict[str, float]:
    """Those that are not 0, the fastest first."""
    return dict(sorted(((name, rate) for name, rate in rates.items() if rate > 0), key=lambda pair: -pair[1]))


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
