"""Curves as a run would leave them, with round numbers: for tests of what is made of them."""

from collections.abc import Mapping

from turnlog_bench.scaling import series
from turnlog_bench.scaling.points import Curve, Point, Run, Scaling

RUN = Run(
    "2026-11-26 08:00",
    "full",
    {"cores": 2.0, "memory_gib": 16.0, "processor": "X", "system": "Linux", "postgresql": "18.1", "flush_ms": 0.4},
)
APPENDED = {
    "turns_per_s": [4000.0, 5000.0, 6000.0],
    "yardstick_per_s": [5000.0, 5000.0, 5000.0],
    "p50_ms": [5.0] * 3,
    "p99_ms": [20.0] * 3,
    "commits_per_s": [100.0] * 3,
    "commit_ms": [2.0] * 3,
    "cores_used": [1.5] * 3,
    "wal_bytes": [2000.0] * 3,
    "cpu_ingest_us": [150.0] * 3,
    "cpu_postgres_us": [50.0] * 3,
}
FOLLOWED = APPENDED | {
    f"cpu_{name}_us": [us] * 3
    for name, us in {"projector": 100.0, "compressor": 200.0, "nats": 20.0, "valkey": 40.0, "query": 1.0}.items()
}
READ = {
    "reads_per_s": [9000.0, 10000.0, 11000.0],
    "yardstick_per_s": [10000.0] * 3,
    "p50_ms": [3.0] * 3,
    "p99_ms": [9.0] * 3,
    "cores_used": [1.2] * 3,
    "cpu_query_us": [100.0] * 3,
    "cpu_valkey_us": [40.0] * 3,
}
TOLD = {
    "turns": 1000.0, "summaries": 40.0, "summary_bytes": 4000.0, "leaves": 35.0, "covered_turns": 30.0,
    "covered_tokens": 1500.0, "turn_payload_bytes": 300.0, "summaries_per_turn": 0.04, "compressor_us": 200.0,
    "prompt_tokens": 3000.0, "answer_tokens_at_most": 400.0,
}  # fmt: skip


def stage(kind: str, sessions: int, turns: int) -> Point:
    """What is held when a session costs 100 bytes more than nothing, a turn 1,000, and an empty system a million."""
    held = 1e6 + 100.0 * sessions + 1000.0 * turns
    names = ["postgres_bytes", "jetstream_bytes", "valkey_bytes", "events_bytes", "events_pkey_bytes"]
    names += [
        f"{name}_pss_bytes" for name in ("ingest", "query", "projector", "compressor", "postgres", "nats", "valkey")
    ]
    measured = {name: [held] for name in names} | {"sessions": [float(sessions)], "turns": [float(turns)]}
    return Point(kind, sessions, measured)


def several(name: str, xs: list[float], measured: Mapping[str, list[float]]) -> list[Point]:
    """A series that does not move."""
    return [Point(name, x, measured) for x in xs]


def sample() -> Scaling:
    """Every curve."""
    logs = [series.SINGLES, series.HUNDREDS, series.SINGLES + series.SLOW, series.HUNDREDS + series.SLOW]
    curves = {
        "append-logs": [point for name in logs for point in several(name, [1, 2, 4], APPENDED)],
        "append-processes": several(series.ONE_LOG, [1, 2], APPENDED) + several(series.OWN_LOGS, [1, 2], APPENDED),
        "append-batch": several(series.APPEND, [1, 100], APPENDED),
        "append-concurrency": several(series.APPEND, [1, 64], APPENDED) + several(series.PIPELINE, [64], FOLLOWED),
        "read-processes": several(series.REDIS, [1, 2], READ) + several(series.POSTGRES, [1, 2], READ),
        "bytes-sessions": [
            stage(series.MORE_SESSIONS, 10, 200),
            stage(series.MORE_SESSIONS, 100, 2_000),
            stage(series.MORE_TURNS, 100, 4_000),
            Point(series.SUMMARIES, 10, {name: [value] for name, value in TOLD.items()}),
        ],
        "turns-stored": several(series.APPENDS, [1e4, 1e6], APPENDED) + several(series.READS, [1e4, 1e6], READ),
        "tenants": several(series.APPENDS, [1, 1e4], APPENDED),
        "rebuild-events": several(
            series.REBUILDS, [1e4, 1e5], {"events_per_s": [40_000.0] * 3, "yardstick_per_s": [200_000.0] * 3}
        ),
    }
    return Scaling({name: Curve(RUN, points) for name, points in curves.items()})
