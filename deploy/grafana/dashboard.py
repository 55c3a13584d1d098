"""What Turnlog's dashboard shows. `python deploy/grafana/dashboard.py` writes dashboards/turnlog.json."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from panels import Panel, Query, Row, choice, dashboard

FILE = Path(__file__).parent / "dashboards" / "turnlog.json"
EVERY = "[$__rate_interval]"
LOG = 'log=~"$log"'
SERVICE = 'service=~"$service"'
HOT = 'route=~"/v1/sessions/{session_id}/(turns|summary|context)"'
GREEN_RED = ((None, "green"), (1, "red"))
RED_GREEN = ((None, "red"), (1, "green"))
AWAY_UP = (("0", "away", "red"), ("1", "up", "green"))
NO_YES = (("0", "no", "green"), ("1", "yes", "red"))


def quantiles(metric: str, labels: str = "", by: str = "", legend: str = "") -> tuple[Query, Query]:
    """p50 and p99 of a histogram, by further labels."""
    grouped = f"le, {by}" if by else "le"
    chosen = f"{{{labels}}}" if labels else ""
    prefix = f"{legend} " if legend else ""
    return tuple(  # type: ignore[return-value]
        Query(
            f"histogram_quantile({q}, sum by ({grouped}) (rate({metric}_bucket{chosen}{EVERY})))",
            f"{prefix}p{round(q * 100)}",
        )
        for q in (0.5, 0.99)
    )


def rate(metric: str, labels: str = "", by: str = "", legend: str = "") -> Query:
    """A counter's growth a second, added up by labels."""
    chosen = f"{{{labels}}}" if labels else ""
    grouped = f" by ({by})" if by else ""
    return Query(f"sum{grouped} (rate({metric}{chosen}{EVERY}))", legend or "".join(f"{{{{{by}}}}}"))


def largest(metric: str, labels: str = "", by: str = "", legend: str = "") -> Query:
    """The largest that any replica shows."""
    chosen = f"{{{labels}}}" if labels else ""
    grouped = f" by ({by})" if by else ""
    return Query(f"max{grouped} ({metric}{chosen})", legend or f"{{{{{by}}}}}")


def stat(title: str, description: str, unit: str, expr: str, steps=(), mappings=()) -> Panel:  # type: ignore[no-untyped-def]
    """One number."""
    return Panel(title, description, unit, (Query(expr, title),), steps, "stat", 3, 4, mappings=mappings)


OVERVIEW = Row(
    "Now",
    (
        stat(
            "Alerts",
            "Alerts of severity critical or warning that fire now. docs/observe.md says what to do about each.",
            "short",
            'count(ALERTS{alertname=~"Turnlog.*",alertstate="firing",severity!="info"}) or vector(0)',
            GREEN_RED,
        ),
        stat(
            "Replicas that answer",
            "Processes that Prometheus could scrape.",
            "short",
            'sum(up{job=~"turnlog.*"})',
            RED_GREEN,
        ),
        stat(
            "Turns stored",
            "New turns, without repeats.",
            "ops",
            f"sum(rate(memory_turns_stored_total{{{LOG}}}{EVERY}))",
        ),
        stat("Reads", "Reads of sessions.", "ops", f"sum(rate(memory_reads_total{EVERY}))"),
        stat(
            "Failed requests",
            "The part of requests that ended with a 5xx in the last five minutes. Objective: 0.1 %.",
            "percentunit",
            f"max(turnlog:requests_failed:ratio5m{{{SERVICE}}})",
            ((None, "green"), (0.001, "orange"), (0.0144, "red")),
        ),
        stat(
            "Slow requests",
            "The part of hot calls that took over 0.25 s in the last five minutes. Objective: 1 %.",
            "percentunit",
            f"max(turnlog:requests_slow:ratio5m{{{SERVICE}}})",
            ((None, "green"), (0.01, "orange"), (0.144, "red")),
        ),
        stat(
            "Farthest behind",
            "The largest lag of any relay or follower.",
            "s",
            f"max(turnlog_relay_lag_seconds{{{LOG}}} or turnlog_follower_lag_seconds{{{LOG}}})",
            ((None, "green"), (5, "orange"), (30, "red")),
        ),
        stat(
            "Without a leader",
            "Roles (relay, projector, compressor) of a log that nobody leads.",
            "short",
            f"count(turnlog:leaders{{{LOG}}} == 0) or vector(0)",
            GREEN_RED,
        ),
    ),
)

TRAFFIC = Row(
    "Traffic",
    (
        Panel(
            "Requests by status",
            "503: refused, nothing was stored. 504: the outcome is unknown, the client asks again with the same ids. "
            "507: PostgreSQL's disk is full. 429: a limit. 500: a defect.",
            "reqps",
            (rate("requests_total", SERVICE, "status"),),
            stacked=True,
        ),
        Panel(
            "Requests by route",
            "The ten routes that are called most.",
            "reqps",
            (
                Query(
                    f"topk(10, sum by (method, route) (rate(requests_total{{{SERVICE}}}{EVERY})))",
                    "{{method}} {{route}}",
                ),
            ),
        ),
        Panel(
            "Time of hot calls",
            "Storing turns, reading turns, summary and context. Objective: 99 % within 0.25 s.",
            "s",
            quantiles("requests_latency_seconds", f"{SERVICE},{HOT}", "method, route", "{{method}} {{route}}"),
            ((None, "green"), (0.25, "red")),
        ),
        Panel(
            "Failed, by window",
            "The part of requests that ended with a 5xx. An alert calls at "
            "1.4 % in 5 min and 1 h, or 0.6 % in 30 min and 6 h.",
            "percentunit",
            tuple(
                Query(f"max(turnlog:requests_failed:ratio{window}{{{SERVICE}}})", window)
                for window in ("5m", "30m", "1h", "6h")
            ),
            ((None, "green"), (0.006, "orange"), (0.0144, "red")),
        ),
        Panel(
            "Slow, by window",
            "The part of hot calls that took over 0.25 s. An alert calls at 14.4 % in 5 min and 1 h, "
            "or 6 % in 30 min and 6 h.",
            "percentunit",
            tuple(
                Query(f"max(turnlog:requests_slow:ratio{window}{{{SERVICE}}})", window)
                for window in ("5m", "30m", "1h", "6h")
            ),
            ((None, "green"), (0.06, "orange"), (0.144, "red")),
        ),
        Panel(
            "In progress, and refused before any route",
            "Requests being answered, by service; and those whose head or body was no request that we read, by code.",
            "short",
            (
                Query(f"sum by (service) (requests_in_progress{{{SERVICE}}})", "{{service}}"),
                Query(f"sum by (code) (rate(http_requests_refused_total{EVERY}))", "refused a second: {{code}}"),
            ),
        ),
    ),
)

APPEND = Row(
    "Append",
    (
        Panel(
            "Turns stored",
            "New turns by log, and repeats of turns that were there already.",
            "ops",
            (
                rate("memory_turns_stored_total", LOG, "log"),
                rate("memory_turns_duplicate_total", LOG, "log", "{{log}} repeats"),
            ),
        ),
        Panel(
            "Commit",
            "Time of one append transaction: mostly one flush of PostgreSQL's disk.",
            "s",
            quantiles("turnlog_append_commit_seconds"),
            ((None, "green"), (0.2, "red")),
        ),
        Panel(
            "Wait for a commit",
            "From a request's arrival at the queue to the beginning of its transaction.",
            "s",
            quantiles("turnlog_append_wait_seconds"),
        ),
        Panel(
            "Events a transaction",
            "Concurrent requests share a transaction: the more, the fewer flushes a turn costs.",
            "short",
            (
                Query(
                    f"sum(rate(turnlog_append_batch_events_sum{EVERY}))"
                    f" / sum(rate(turnlog_append_batch_events_count{EVERY}))",
                    "mean",
                ),
                quantiles("turnlog_append_batch_events")[1],
            ),
        ),
        Panel(
            "Events queued",
            "Waiting for a commit, by log. At 30,000 (TURNLOG_COMMIT_QUEUE_EVENTS) writes are refused.",
            "short",
            (largest("turnlog_append_queued_events", LOG, "log"),),
            ((None, "green"), (10_000, "orange"), (30_000, "red")),
        ),
        Panel(
            "Refused",
            "Writes refused with 503 because the queue was full; and logs that are fenced (1), where all writes are.",
            "short",
            (
                rate("turnlog_append_refused_total", legend="refused a second"),
                largest("turnlog_log_fenced", LOG, "log", "{{log}} fenced"),
            ),
            GREEN_RED,
        ),
    ),
)

FOLLOWING = Row(
    "Relay and followers",
    (
        Panel(
            "Relay: behind",
            "The age of the oldest event that is not yet in JetStream.",
            "s",
            (largest("turnlog_relay_lag_seconds", LOG, "log"),),
            ((None, "green"), (30, "red")),
        ),
        Panel(
            "Followers: behind, in time",
            "The age of the oldest event that a follower has not taken.",
            "s",
            (largest("turnlog_follower_lag_seconds", LOG, "log, consumer", "{{log}} {{consumer}}"),),
            ((None, "green"), (30, "red")),
        ),
        Panel(
            "Behind, in events",
            "Events of the log that a relay or follower has not taken.",
            "short",
            (
                largest("turnlog_follower_lag_events", LOG, "log, consumer", "{{log}} {{consumer}}"),
                largest("turnlog_relay_lag_events", LOG, "log", "{{log}} relay"),
            ),
        ),
        Panel(
            "Events taken, by source",
            "nats: the fast way. postgres: gaps, replays, and whenever NATS is away.",
            "ops",
            (rate("turnlog_follower_events_total", LOG, "consumer, source", "{{consumer}} from {{source}}"),),
            stacked=True,
        ),
        Panel(
            "Position",
            "The head of each log, and what the relays publish.",
            "short",
            (largest("turnlog_log_position", LOG, "log"),),
        ),
        Panel(
            "Published",
            "Events that the relays put into JetStream.",
            "ops",
            (rate("turnlog_relayed_events_total", legend="published"),),
        ),
        Panel(
            "Leaders",
            "Whether anybody leads each role of each log. A take-over lasts about half a second.",
            "short",
            (Query(f"turnlog:leaders{{{LOG}}}", "{{log}} {{role}}"),),
            RED_GREEN,
            "state-timeline",
            mappings=(("0", "nobody", "red"), ("1", "led", "green")),
        ),
        Panel(
            "Projector: events applied",
            "Events that went into the read models, and sessions that it loaded whole from PostgreSQL.",
            "ops",
            (
                rate("projector_events_applied_total", LOG, "log"),
                rate("projector_sessions_loaded_total", LOG, "log", "{{log}} sessions loaded"),
            ),
        ),
        Panel(
            "Projector: a batch", "Time to apply one batch to Redis.", "s", quantiles("projector_batch_seconds", LOG)
        ),
    ),
)

READS = Row(
    "Reads",
    (
        Panel(
            "Reads by store",
            "Which store answered. Turns older than the window always come from PostgreSQL.",
            "ops",
            (rate("memory_reads_total", by="source"),),
            stacked=True,
        ),
        Panel(
            "Why PostgreSQL answered",
            "miss: not in Redis. stale: the read model was behind. away: Redis gave no answer in time. beyond_window: "
            "older turns. fresh: the newest state was asked for.",
            "ops",
            (rate("memory_read_fallbacks_total", by="reason"),),
            stacked=True,
        ),
        Panel(
            "Avoidable fallbacks",
            "The part of reads that the read models should have answered: miss, stale, away.",
            "percentunit",
            (Query("turnlog:read_fallbacks:ratio15m", "in 15 min"),),
            ((None, "green"), (0.2, "red")),
        ),
        Panel(
            "Partitions not read from Redis",
            "Of 256. After Redis lost data they are replayed before they are read again.",
            "short",
            (largest("turnlog_projector_partitions_unreadable", LOG, "log"),),
            GREEN_RED,
        ),
        Panel(
            "Rebuild and failures",
            "The position that a rebuild under way has reached (0: none), and failures after which the projector "
            "began again.",
            "short",
            (
                largest("projector_rebuild_position", LOG, "log", "{{log}} rebuild at"),
                Query(
                    f"sum by (log, error) (increase(projector_failures_total{{{LOG}}}{EVERY}))",
                    "{{log}} failures: {{error}}",
                ),
            ),
        ),
        Panel(
            "Live streams",
            "Streams open now, and those cut because their client did not keep up.",
            "short",
            (
                Query("sum(memory_streams)", "open"),
                Query(f"sum(increase(memory_streams_cut_total{EVERY}))", "cut"),
            ),
        ),
    ),
)

SUMMARIES = Row(
    "Summaries and models",
    (
        Panel(
            "Summaries stored",
            "By level and model: level 1 covers turns, higher ones cover summaries.",
            "ops",
            (rate("memory_summaries_total", by="level, model", legend="level {{level}}, {{model}}"),),
            stacked=True,
        ),
        Panel(
            "Compressions by outcome",
            "fallback: the model gave nothing, the summary is extractive. put_off: PostgreSQL was away.",
            "ops",
            (rate("memory_compressions_total", by="reason, outcome", legend="{{reason}}: {{outcome}}"),),
            stacked=True,
        ),
        Panel(
            "Time of a summary",
            "To make and store one, by outcome.",
            "s",
            quantiles("memory_compression_duration_seconds", "", "outcome", "{{outcome}}"),
        ),
        Panel(
            "Sessions waiting",
            "Waiting to become due, or due. Growing for long: summaries are made too slowly.",
            "short",
            (largest("compressor_pending_sessions", LOG, "log"),),
        ),
        Panel(
            "What summaries save",
            "Tokens of summary text for each token that it covers.",
            "percentunit",
            (
                Query(
                    f'sum(rate(memory_summary_tokens_total{{direction="out"}}{EVERY}))'
                    f' / sum(rate(memory_summary_tokens_total{{direction="in"}}{EVERY}))',
                    "summary / covered",
                ),
            ),
        ),
        Panel(
            "Breaker",
            "closed: the model is called. open: it failed too often and is left alone; summaries are extractive.",
            "short",
            (largest("llm_breaker_state", by="provider"),),
            ((None, "green"), (1, "orange"), (2, "red")),
            "state-timeline",
            mappings=(("0", "closed", "green"), ("1", "half-open", "orange"), ("2", "open", "red")),
        ),
        Panel(
            "Model calls",
            "By provider and outcome.",
            "ops",
            (rate("llm_calls_total", by="provider, outcome", legend="{{provider}} {{outcome}}"),),
            stacked=True,
        ),
        Panel(
            "Time of a model call",
            "By provider.",
            "s",
            quantiles("llm_call_seconds", "", "provider", "{{provider}}"),
        ),
        Panel(
            "Model errors by kind",
            "unauthorized: the key. rate_limited: the quota. timeout, connection, server_error: the provider. "
            "garbage, truncated: what it answered. breaker_open, budget: it was not called.",
            "ops",
            (rate("llm_errors_total", by="provider, kind", legend="{{provider}} {{kind}}"),),
            stacked=True,
        ),
        Panel(
            "Tokens",
            "Tokens that models took and gave.",
            "ops",
            (rate("llm_tokens_total", by="provider, direction", legend="{{provider}} {{direction}}"),),
            columns=12,
        ),
        Panel(
            "Cost",
            "Dollars an hour. Nothing unless TURNLOG_MODEL_INPUT_PRICE and TURNLOG_MODEL_OUTPUT_PRICE are set.",
            "currencyUSD",
            (Query(f"3600 * sum by (provider) (rate(llm_cost_dollars_total{EVERY}))", "{{provider}}"),),
            columns=12,
        ),
    ),
)

CALLERS = Row(
    "Limits and credentials",
    (
        Panel(
            "Refused by limits",
            "Requests answered with 429, by limit.",
            "reqps",
            (rate("turnlog_limits_refused_total", by="limit"),),
            stacked=True,
        ),
        Panel(
            "Turned away",
            "Requests whose credential was not good for them, by code.",
            "reqps",
            (rate("turnlog_credentials_refused_total", by="code"),),
            stacked=True,
        ),
        Panel(
            "Counted alone, keys unchecked",
            "Limits are counted by each process alone while Redis is away; API keys are taken as last known while "
            "PostgreSQL is.",
            "short",
            (
                Query("max(turnlog_limits_redis_away)", "limits counted alone"),
                Query("max(turnlog_keys_unchecked)", "keys unchecked"),
            ),
            GREEN_RED,
            "state-timeline",
            mappings=NO_YES,
        ),
    ),
)

SYSTEM = Row(
    "System",
    (
        Panel(
            "Replicas",
            "Whether Prometheus could scrape each.",
            "short",
            (Query('up{job=~"turnlog.*"}', "{{job}} {{instance}}"),),
            RED_GREEN,
            "state-timeline",
            mappings=AWAY_UP,
        ),
        Panel(
            "Servers, as the services see them",
            "The lowest of all replicas of a service.",
            "short",
            (Query("min by (service, dependency) (turnlog_dependency_up)", "{{service}}: {{dependency}}"),),
            RED_GREEN,
            "state-timeline",
            mappings=AWAY_UP,
        ),
        Panel(
            "Versions",
            "Replicas by service and version.",
            "short",
            (Query("count by (service, version) (turnlog_build_info)", "{{service}} {{version}}"),),
            kind="table",
        ),
        Panel(
            "CPU",
            "Of each process. Services started by `turnlog up` do not say.",
            "percentunit",
            (Query(f'rate(process_cpu_seconds_total{{job=~"turnlog.*"}}{EVERY})', "{{job}} {{instance}}"),),
        ),
        Panel(
            "Memory",
            "Resident memory of each process. Services started by `turnlog up` do not say.",
            "bytes",
            (Query('process_resident_memory_bytes{job=~"turnlog.*"}', "{{job}} {{instance}}"),),
        ),
        Panel(
            "Starts",
            "How often each process was started anew within an hour.",
            "short",
            (Query('changes(process_start_time_seconds{job=~"turnlog.*"}[1h])', "{{job}} {{instance}}"),),
        ),
    ),
)

TURNLOG = dashboard(
    "turnlog",
    "Turnlog",
    "What Turnlog does, from the requests to the read models and summaries. docs/observe.md leads through it.",
    (
        choice("log", "Log", "label_values(turnlog_log_position, log)"),
        choice("service", "Service", "label_values(requests_total, service)"),
    ),
    (OVERVIEW, TRAFFIC, APPEND, FOLLOWING, READS, SUMMARIES, CALLERS, SYSTEM),
)


def written() -> str:
    """The file's text."""
    return json.dumps(TURNLOG, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
