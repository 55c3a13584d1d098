"""How much of everything so many turns a day take: measured costs and stated assumptions in, a plan out. Pure.

Nothing here is typed by hand that was measured. What a machine of two cores cannot tell (how far one PostgreSQL server
goes, how long a model takes) is an assumption, with its reason, and printed beside the table.
"""

import math
from dataclasses import dataclass, field, fields

from turnlog_bench.scaling.fit import least_squares
from turnlog_bench.scaling.points import Curve, Point, Scaling
from turnlog_bench.scaling.series import (
    APPEND,
    MORE_SESSIONS,
    MORE_TURNS,
    ONE_LOG,
    PIPELINE,
    REDIS,
    SINGLES,
    SUMMARIES,
)

DAY_S = 86_400
YEAR_DAYS = 365


def _assumed(value: float, says: str) -> float:
    found: float = field(default=value, metadata={"says": says})
    return found


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What was not measured. Each is a number to put your own in for."""

    peak_factor: float = _assumed(4.0, "the busiest second of a day has so many times the turns of the average one")
    busy_share: float = _assumed(
        0.5, "at that peak no process, log or server is busier than this: a safety factor of two"
    )
    turns_per_session: float = _assumed(40.0, "turns of a session, in all and within the time that it stays in Redis")
    reads_per_turn: float = _assumed(
        1.0, "reads of recent turns, summary or context for each turn stored, nine in ten or more from Redis"
    )
    hot_days: float = _assumed(
        2.0, "days that a session stays in Redis after its last turn (`TURNLOG_VIEW_IDLE_S=172800`)"
    )
    stream_days: float = _assumed(1.0, "days of events that JetStream keeps (`TURNLOG_STREAM_MAX_AGE_S=86400`)")
    stream_replicas: float = _assumed(3.0, "copies of each stream (`TURNLOG_STREAM_REPLICAS=3`)")
    wal_days: float = _assumed(
        7.0, "days of PostgreSQL's write-ahead log in the archive, for recovery to a point in time"
    )
    model_call_s: float = _assumed(
        5.0,
        "seconds that a model takes for a summary; they may wait for a quieter hour, so calls are averaged over a day",
    )
    dollars_per_million_in: float = _assumed(0.15, "an example of a price, no quotation")
    dollars_per_million_out: float = _assumed(0.60, "likewise")
    postgres_cores: float = _assumed(32.0, "cores of the largest PostgreSQL server that you would run")
    postgres_wal_mb_per_s: float = _assumed(
        200.0, "megabytes of write-ahead log a second that its disk and its stand-by take in"
    )
    postgres_tb: float = _assumed(
        16.0,
        "terabytes that it may hold: at 1 GB/s a backup of that takes four and a half hours, and so does restoring it",
    )
    redis_gb: float = _assumed(
        64.0,
        "gigabytes of read models that one Redis server may hold: a rebuild beside the live ones needs as much again",
    )
    least_replicas: float = _assumed(2.0, "processes of each kind, however small the load: one may fail")


ASSUMED = Assumptions()


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured: CPU microseconds (`_us`), bytes and tokens of one turn, read or session; turns a second."""

    ingest_us: float
    projector_us: float
    compressor_us: float
    nats_us: float
    valkey_us: float
    postgres_us: float
    query_us: float
    valkey_read_us: float
    one_log_turns_per_s: float
    wal_bytes: float
    postgres_turn_bytes: float
    postgres_session_bytes: float
    jetstream_turn_bytes: float
    redis_turn_bytes: float
    redis_session_bytes: float
    turn_payload_bytes: float
    summary_bytes: float
    summaries_per_turn: float
    prompt_tokens: float
    covered_turns: float
    answer_tokens: float

    @property
    def summary_row_bytes(self) -> float:
        """A summary in PostgreSQL: its payload, and what a turn takes there beside its own."""
        return self.summary_bytes + max(0.0, self.postgres_turn_bytes - self.turn_payload_bytes)


@dataclass(frozen=True, slots=True)
class Plan:
    """What `turns_per_day` take. Cores are those used at the peak, before the share that may be busy; processes and
    servers are whole, and after it. `bound_by` names what sets the number of deployments."""

    turns_per_day: float
    average_per_s: float
    peak_per_s: float
    logs: int
    ingest_processes: int
    query_processes: int
    projector_processes: int
    compressor_processes: int
    model_calls_at_once: int
    tokens_in_per_day: float
    tokens_out_per_day: float
    dollars_per_day: float
    postgres_cores: float
    wal_mb_per_s: float
    postgres_bytes_per_day: float
    postgres_bytes_per_year: float
    archive_bytes: float
    jetstream_bytes: float
    nats_cores: float
    redis_bytes: float
    redis_cores: float
    deployments: int
    bound_by: str


def costs_of(scaling: Scaling) -> Costs:
    """The costs that the curves tell. Raises LookupError naming the curve that is missing."""
    pipeline = _curve(scaling, "append-concurrency").last(PIPELINE)
    alone = _curve(scaling, "append-concurrency").last(APPEND)
    read = _curve(scaling, "read-processes").at(REDIS, 1)
    stored = _curve(scaling, "bytes-sessions")
    told = stored.last(SUMMARIES)
    by_turn_and_session = {what: slopes(stored, f"{what}_bytes") for what in ("postgres", "jetstream", "valkey")}
    one_log = [*_curve(scaling, "append-processes").of(ONE_LOG), _curve(scaling, "append-logs").at(SINGLES, 1)]
    return Costs(
        ingest_us=pipeline.median("cpu_ingest_us"),
        projector_us=pipeline.median("cpu_projector_us"),
        compressor_us=max(
            pipeline.median("cpu_compressor_us"), told.median("compressor_us")
        ),  # short slices are not due
        nats_us=pipeline.median("cpu_nats_us"),
        valkey_us=pipeline.median("cpu_valkey_us"),
        postgres_us=pipeline.median("cpu_postgres_us"),
        query_us=read.median("cpu_query_us"),
        valkey_read_us=read.median("cpu_valkey_us"),
        one_log_turns_per_s=max(point.median("turns_per_s") for point in one_log),
        wal_bytes=alone.median("wal_bytes"),
        postgres_turn_bytes=by_turn_and_session["postgres"][2],
        postgres_session_bytes=by_turn_and_session["postgres"][1],
        jetstream_turn_bytes=by_turn_and_session["jetstream"][2],
        redis_turn_bytes=by_turn_and_session["valkey"][2],
        redis_session_bytes=by_turn_and_session["valkey"][1],
        turn_payload_bytes=told.median("turn_payload_bytes"),
        summary_bytes=told.median("summary_bytes"),
        summaries_per_turn=told.median("summaries_per_turn"),
        prompt_tokens=told.median("prompt_tokens"),
        covered_turns=told.median("covered_turns"),
        answer_tokens=told.median("answer_tokens_at_most"),
    )


def slopes(stored: Curve, what: str) -> tuple[float, float, float]:
    """Bytes at rest, of a session and of a turn, by least squares over all stages."""
    points: list[Point] = [*stored.of(MORE_SESSIONS), *stored.of(MORE_TURNS)]
    rows = [(point.median("sessions"), point.median("turns")) for point in points]
    at_rest, session, turn = least_squares(rows, [point.median(what) for point in points])
    return at_rest, session, turn


def plan(turns_per_day: float, costs: Costs, assumed: Assumptions = ASSUMED) -> Plan:
    """What so many turns a day take."""
    average = turns_per_day / DAY_S
    peak = average * assumed.peak_factor
    summaries = turns_per_day * costs.summaries_per_turn
    calls = turns_per_day / costs.covered_turns  # only level 1 asks a model (ADR 4)
    tokens_in, tokens_out = calls * costs.prompt_tokens, calls * costs.answer_tokens
    sessions = turns_per_day / assumed.turns_per_session
    postgres_day = (
        turns_per_day * costs.postgres_turn_bytes
        + sessions * costs.postgres_session_bytes
        + summaries * costs.summary_row_bytes
    )
    wal_turn = costs.wal_bytes + costs.summaries_per_turn * costs.summary_row_bytes
    stream_day = turns_per_day * costs.jetstream_turn_bytes + summaries * costs.summary_bytes
    live_turns = turns_per_day * (assumed.hot_days + 1)
    redis_bytes = (
        live_turns * costs.redis_turn_bytes
        + live_turns / assumed.turns_per_session * costs.redis_session_bytes
        + live_turns * costs.summaries_per_turn * costs.summary_bytes
    )
    postgres_cores = _cores(peak, costs.postgres_us)
    redis_cores = _cores(peak, costs.valkey_us + assumed.reads_per_turn * costs.valkey_read_us)
    logs = max(
        1,
        math.ceil(peak / (costs.one_log_turns_per_s * assumed.busy_share)),
        _whole(_cores(peak, costs.projector_us), assumed),
    )
    limits = {
        "a PostgreSQL's disk, filled in a year": postgres_day * YEAR_DAYS / (assumed.postgres_tb * 1e12),
        "a PostgreSQL's cores": postgres_cores / (assumed.postgres_cores * assumed.busy_share),
        "a PostgreSQL's write-ahead log": peak * wal_turn / 1e6 / (assumed.postgres_wal_mb_per_s * assumed.busy_share),
        "a Redis server's memory": redis_bytes / (assumed.redis_gb * 1e9),
        "a Redis server's one core": redis_cores / assumed.busy_share,
    }
    bound_by = max(limits, key=lambda name: limits[name])
    return Plan(
        turns_per_day=turns_per_day,
        average_per_s=average,
        peak_per_s=peak,
        logs=logs,
        ingest_processes=_processes(peak, costs.ingest_us, assumed),
        query_processes=_processes(peak * assumed.reads_per_turn, costs.query_us, assumed),
        projector_processes=_processes(peak, costs.projector_us, assumed),
        compressor_processes=_processes(average, costs.compressor_us, assumed),
        model_calls_at_once=max(1, math.ceil(calls / DAY_S * assumed.model_call_s / assumed.busy_share)),
        tokens_in_per_day=tokens_in,
        tokens_out_per_day=tokens_out,
        dollars_per_day=(tokens_in * assumed.dollars_per_million_in + tokens_out * assumed.dollars_per_million_out)
        / 1e6,
        postgres_cores=postgres_cores,
        wal_mb_per_s=peak * wal_turn / 1e6,
        postgres_bytes_per_day=postgres_day,
        postgres_bytes_per_year=postgres_day * YEAR_DAYS,
        archive_bytes=turns_per_day * wal_turn * assumed.wal_days,
        jetstream_bytes=stream_day * assumed.stream_days * assumed.stream_replicas,
        nats_cores=_cores(peak, costs.nats_us),
        redis_bytes=redis_bytes,
        redis_cores=redis_cores,
        deployments=max(1, math.ceil(limits[bound_by])),
        bound_by=bound_by if limits[bound_by] > 1 else "",
    )


def described(assumed: Assumptions = ASSUMED) -> list[tuple[str, float, str]]:
    """Each assumption: its name, its value, and what it says."""
    return [(one.name, float(getattr(assumed, one.name)), str(one.metadata["says"])) for one in fields(assumed)]


def _curve(scaling: Scaling, name: str) -> Curve:
    if name not in scaling.curves:
        raise LookupError(f"the curve {name} was not measured")
    return scaling.curves[name]


def _cores(per_s: float, us: float) -> float:
    return per_s * us / 1e6


def _whole(cores: float, assumed: Assumptions) -> int:
    return math.ceil(cores / assumed.busy_share)


def _processes(per_s: float, us: float, assumed: Assumptions) -> int:
    return max(math.ceil(assumed.least_replicas), _whole(_cores(per_s, us), assumed))
