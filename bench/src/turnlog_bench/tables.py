"""The tables of `docs/scaling.md`, written from the curves. Pure."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from turnlog_bench.scaling.fit import least_squares
from turnlog_bench.scaling.points import Curve, Point, Scaling, relative
from turnlog_bench.scaling.series import MORE_SESSIONS, MORE_TURNS, PIPELINE, SUMMARIES
from turnlog_bench.sizing import ASSUMED, Plan, costs_of, described, plan, slopes

Column = tuple[str, Callable[[Point], str]]
PROCESSES = ("ingest", "query", "projector", "compressor", "postgres", "nats", "valkey")
HELD = ("valkey_bytes", "jetstream_bytes", "postgres_bytes")
PER_DAY = (1e6, 1e7, 1e8, 1e9)
_WORDS = {1e6: "1 million", 1e7: "10 million", 1e8: "100 million", 1e9: "1 billion"}


def number(value: float) -> str:
    """As people read it: thousands grouped, three figures that count."""
    if abs(value) >= 1_000:
        digits = 10 ** max(0, len(str(int(abs(value)))) - 3)
        return f"{round(value / digits) * digits:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def sized(count: float) -> str:
    """Bytes in the unit that fits (decimal, as disks are sold)."""
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"


def counted(count: float) -> str:
    """A count in words from a million on."""
    for word, size in (("billion", 1e9), ("million", 1e6)):
        if abs(count) >= size:
            return f"{count / size:.3g} {word}"
    return number(count)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the columns after the first are numbers."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def spread_of(name: str) -> Callable[[Point], str]:
    """Median, and lowest to highest slice where there are several."""

    def shown(point: Point) -> str:
        if not point.has(name):
            return ""
        spread = point.spread(name)
        between = f" ({number(spread.low)}–{number(spread.high)})" if spread.high > spread.low else ""
        return number(spread.median) + between

    return shown


def median_of(name: str) -> Callable[[Point], str]:
    """The median slice."""
    return lambda point: number(point.median(name)) if point.has(name) else ""


def ratio_of(name: str) -> Callable[[Point], str]:
    """The median of ours / yardstick, pair by pair."""

    def shown(point: Point) -> str:
        pairs = relative(point.measured[name], point.measured["yardstick_per_s"])
        return f"{statistics.median(pairs):.2f}"

    return shown


def cpu(point: Point) -> str:
    """CPU of each process that took part."""
    found = [(name, point.median(f"cpu_{name}_us")) for name in PROCESSES if point.has(f"cpu_{name}_us")]
    return ", ".join(f"{name} {number(us)}" for name, us in found if us >= 1)


APPENDED: tuple[Column, ...] = (
    ("turns/s", spread_of("turns_per_s")),
    ("× empty endpoint", ratio_of("turns_per_s")),
    ("p50, ms", median_of("p50_ms")),
    ("p99, ms", median_of("p99_ms")),
    ("commits/s", median_of("commits_per_s")),
    ("ms a commit", median_of("commit_ms")),
    ("cores used", median_of("cores_used")),
    ("CPU, µs a turn", cpu),
)
READ: tuple[Column, ...] = (
    ("reads/s", spread_of("reads_per_s")),
    ("× empty endpoint", ratio_of("reads_per_s")),
    ("p50, ms", median_of("p50_ms")),
    ("p99, ms", median_of("p99_ms")),
    ("cores used", median_of("cores_used")),
    ("CPU, µs a read", cpu),
)
REBUILT: tuple[Column, ...] = (
    ("events/s", spread_of("events_per_s")),
    ("× reading them in order", ratio_of("events_per_s")),
)
GROWN: tuple[Column, ...] = (
    ("turns or reads/s", lambda p: spread_of("turns_per_s")(p) or spread_of("reads_per_s")(p)),
    ("× empty endpoint", lambda p: ratio_of("turns_per_s" if p.has("turns_per_s") else "reads_per_s")(p)),
    ("p50, ms", median_of("p50_ms")),
    ("p99, ms", median_of("p99_ms")),
    ("CPU, µs each", cpu),
)
LAYOUT: Mapping[str, tuple[str, Sequence[Column]]] = {
    "append-logs": ("logs", APPENDED),
    "append-processes": ("ingest processes", APPENDED),
    "append-batch": ("turns a request", APPENDED),
    "append-concurrency": ("requests at a time", APPENDED),
    "read-processes": ("query processes", READ),
    "turns-stored": ("turns stored", GROWN),
    "tenants": ("tenants", GROWN),
    "rebuild-events": ("events", REBUILT),
}


def curve_table(name: str, curve: Curve) -> str:
    """The points of a curve that has a layout."""
    what, columns = LAYOUT[name]
    head = ["series" if len(curve.series) > 1 else what, *([what] if len(curve.series) > 1 else [])]
    rows = []
    for series in curve.series:
        for point in curve.of(series):
            first = [series, number(point.x)] if len(curve.series) > 1 else [number(point.x)]
            rows.append([*first, *(shown(point) for _, shown in columns)])
    return table([*head, *(title for title, _ in columns)], rows)


def bytes_table(curve: Curve) -> str:
    """Memory and disk at each stage, and what least squares make of them."""
    names = [*(f"{name}_pss_bytes" for name in PROCESSES), *HELD]
    titles = {f"{name}_pss_bytes": f"memory of {name}" for name in PROCESSES} | {
        "valkey_bytes": "data in Valkey",
        "jetstream_bytes": "JetStream on disk",
        "postgres_bytes": "tables and indexes on disk",
    }
    stages = [*curve.of(MORE_SESSIONS), *curve.of(MORE_TURNS)]
    head = ["", *(f"{number(p.x)} sessions, {number(p.median('turns'))} turns" for p in stages)]
    rows = []
    for name in names:
        at_rest, session, *turn = slopes(curve, name) if name in HELD else _slope(curve, name)
        fitted = [sized(at_rest), f"{session:,.0f} B", f"{turn[0]:,.0f} B" if turn else "–"]
        rows.append([titles[name], *(sized(point.median(name)) for point in stages), *fitted])
    return table([*head, "at rest (fitted)", "a session", "a turn"], rows)


def _slope(curve: Curve, name: str) -> list[float]:
    """At rest, and of a session with all its turns: what a process remembers does not tell them apart."""
    points = curve.of(MORE_SESSIONS)
    return least_squares([[point.x] for point in points], [point.median(name) for point in points])


def indexes_table(curve: Curve) -> str:
    """What a turn takes in PostgreSQL: the row, and each index of the events, at the largest stage."""
    last = [*curve.of(MORE_SESSIONS), *curve.of(MORE_TURNS)][-1]
    turns = last.median("turns")
    parts = {"the row itself": "events_bytes"} | {
        f"index `{name.removesuffix('_bytes')}`": name
        for name in sorted(last.measured)
        if name.startswith("events_") and name != "events_bytes"
    }
    return table(
        ["part", "bytes a turn"], [[part, f"{last.median(name) / turns:,.1f}"] for part, name in parts.items()]
    )


def summaries_table(curve: Curve) -> str:
    """What summaries add."""
    told = curve.last(SUMMARIES)
    rows = {
        "turns that a level-1 summary covers": number(told.median("covered_turns")),
        "summaries of all levels for a turn": number(told.median("summaries_per_turn")),
        "bytes of a summary's event": number(told.median("summary_bytes")),
        "bytes of a turn's event (its payload)": number(told.median("turn_payload_bytes")),
        "tokens that a model is shown for a level-1 summary": number(told.median("prompt_tokens")),
        "tokens of its answer, at most": number(told.median("answer_tokens_at_most")),
        "CPU of the compressor, µs a turn, extractive": number(told.median("compressor_us")),
    }
    return table(["", "measured"], [[what, value] for what, value in rows.items()])


def runs_table(scaling: Scaling) -> str:
    """Which run each curve comes from."""
    rows = []
    for name, curve in sorted(scaling.curves.items()):
        facts = curve.run.machine
        where = f"{facts['cores']:g} cores ({facts['processor']}), {facts['memory_gib']:.0f} GiB, {facts['system']}"
        flush = f"{float(facts['flush_ms']):.2g}"
        rows.append([f"`{name}`", curve.run.at, curve.run.sizes, where, str(facts["postgresql"]), flush])
    return table(["curve", "UTC", "sizes", "machine", "PostgreSQL", "flush of 8 KiB, ms"], rows)


def sizing_table(scaling: Scaling) -> str:
    """What a million to a billion turns a day take."""
    costs = costs_of(scaling)
    plans = [plan(turns, costs) for turns in PER_DAY]
    lines: list[tuple[str, Callable[[Plan], str]]] = [
        ("turns a second, average", lambda p: number(p.average_per_s)),
        ("turns a second, peak", lambda p: number(p.peak_per_s)),
        ("logs", lambda p: number(p.logs)),
        ("ingest processes (a core each)", lambda p: number(p.ingest_processes)),
        ("query processes (a core each)", lambda p: number(p.query_processes)),
        ("projector processes (a core each; leaders spread over them)", lambda p: number(p.projector_processes)),
        ("compressor processes (a core each, extractive)", lambda p: number(p.compressor_processes)),
        ("model: calls at a time", lambda p: number(p.model_calls_at_once)),
        ("model: tokens in, a day", lambda p: counted(p.tokens_in_per_day)),
        ("model: tokens out, a day, at most", lambda p: counted(p.tokens_out_per_day)),
        ("model: dollars a day at the example's price", lambda p: number(p.dollars_per_day)),
        ("PostgreSQL: cores in use at the peak", lambda p: number(p.postgres_cores)),
        ("PostgreSQL: write-ahead log at the peak", lambda p: f"{number(p.wal_mb_per_s)} MB/s"),
        ("PostgreSQL: grows a day", lambda p: sized(p.postgres_bytes_per_day)),
        ("PostgreSQL: grows a year", lambda p: sized(p.postgres_bytes_per_year)),
        ("archive of the write-ahead log", lambda p: sized(p.archive_bytes)),
        ("NATS: cores in use at the peak, each copy", lambda p: number(p.nats_cores)),
        ("JetStream on disk, all copies", lambda p: sized(p.jetstream_bytes)),
        ("Redis: cores in use at the peak", lambda p: number(p.redis_cores)),
        ("Redis: memory", lambda p: sized(p.redis_bytes)),
        ("deployments among which all this is divided", lambda p: number(p.deployments)),
        ("what asks for more than one", lambda p: p.bound_by or "–"),
    ]
    rows = [[what, *(shown(one) for one in plans)] for what, shown in lines]
    return table(["turns a day", *(_WORDS[turns] for turns in PER_DAY)], rows)


def costs_table(scaling: Scaling) -> str:
    """The measured costs that the sizing rests on."""
    costs = costs_of(scaling)
    at_once = number(scaling.curves["append-concurrency"].last(PIPELINE).x)
    rows = [
        [f"CPU of a turn, whole pipeline, {at_once} at a time, µs", ", ".join(f"{name} {number(us)}" for name, us in (
            ("ingest", costs.ingest_us), ("projector", costs.projector_us), ("compressor", costs.compressor_us),
            ("PostgreSQL", costs.postgres_us), ("NATS", costs.nats_us), ("Valkey", costs.valkey_us)))],
        ["CPU of a read from Redis, µs", f"query {number(costs.query_us)}, Valkey {number(costs.valkey_read_us)}"],
        ["most turns a second through one log", number(costs.one_log_turns_per_s)],
        ["write-ahead log of a turn", sized(costs.wal_bytes)],
        ["PostgreSQL, indexes included", f"{number(costs.postgres_turn_bytes)} B a turn, "
                                         f"{number(costs.postgres_session_bytes)} B a session"],
        ["JetStream", f"{number(costs.jetstream_turn_bytes)} B a turn and copy"],
        ["Redis", f"{number(costs.redis_turn_bytes)} B a turn, {number(costs.redis_session_bytes)} B a session"],
        ["a summary", f"{number(costs.summaries_per_turn)} for a turn, {number(costs.summary_bytes)} B"],
    ]  # fmt: skip
    return table(["", "measured"], rows)


def assumptions_table() -> str:
    """Everything that was not measured."""
    rows = [[f"`{name}`", number(value), says] for name, value, says in described(ASSUMED)]
    return "\n".join(["| assumption | value | |", "| --- | ---: | --- |", *("| " + " | ".join(r) + " |" for r in rows)])
