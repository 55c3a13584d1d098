"""Pictures of the curves: one SVG each, small, its text left as text, on no ground of its own.

Every picture carries the hash of the numbers that it shows, so that a test can tell an old one.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from turnlog_bench.colours import LINES, TEXT
from turnlog_bench.panels import (
    PROCESSES,
    from_zero,
    labelled,
    line,
    log_y,
    plain_number,
    rates,
    side_by_side,
    stacked_cpu,
    target,
    ticked,
)
from turnlog_bench.scaling.points import Curve
from turnlog_bench.scaling.series import (
    APPEND,
    APPENDS,
    HUNDREDS,
    MORE_SESSIONS,
    OWN_LOGS,
    PIPELINE,
    READS,
    REDIS,
    SINGLES,
    SLOW,
)
from turnlog_bench.sizing import slopes

WIDTH, HEIGHT = 8.4, 3.4
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "turnlog",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), TEXT
    ),
}
Draw = Callable[[Curve, Figure], None]
_HASH = re.compile(r"numbers sha256:([0-9a-f]{64})")


def numbers_hash(curve: Curve) -> str:
    """Of the points of a curve, as they stand in the file."""
    points = json.dumps([asdict(point) for point in curve.points], sort_keys=True)
    return hashlib.sha256(points.encode()).hexdigest()


def hash_in(svg: str) -> str | None:
    """The hash that a picture carries."""
    found = _HASH.search(svg)
    return found[1] if found else None


def draw(name: str, curve: Curve, into: Path) -> None:
    """Write the picture of a curve."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        figure.patch.set_alpha(0)
        PICTURES[name](curve, figure)
        for axes in figure.axes:
            axes.patch.set_alpha(0)
        figure.savefig(
            into, format="svg", metadata={"Date": None, "Description": f"numbers sha256:{numbers_hash(curve)}"}
        )


def _append_logs(curve: Curve, figure: Figure) -> None:
    left, right = side_by_side(figure, 2)
    rates(left, curve, [SINGLES, SINGLES + SLOW, HUNDREDS, HUNDREDS + SLOW], "turns_per_s")
    points = curve.of(SINGLES)
    target(left, points, 1.0, "empty endpoint, requests/s")
    ticked(left, [point.x for point in points])
    from_zero(left, 1.6)
    left.legend(loc="upper left")
    labelled(left, "logs", "turns/s", "append rate against logs, one ingest process")
    stacked_cpu(right, curve, SINGLES, "turn", "logs, single turns")


def _append_processes(curve: Curve, figure: Figure) -> None:
    left, right = side_by_side(figure, 2)
    rates(left, curve, curve.series, "turns_per_s")
    points = curve.of(OWN_LOGS)
    target(left, points, 1.0, "empty endpoint, one process, requests/s")
    ticked(left, [point.x for point in points])
    from_zero(left)
    left.legend(loc="lower right")
    labelled(left, "ingest processes", "turns/s", "append rate against ingest processes")
    stacked_cpu(right, curve, OWN_LOGS, "turn", "ingest processes, as many logs")


def _append_batch(curve: Curve, figure: Figure) -> None:
    left, right = side_by_side(figure, 2)
    rates(left, curve, curve.series, "turns_per_s")
    points = curve.of(curve.series[0])
    ticked(left, [point.x for point in points])
    target(left, points, 1.0, "empty endpoint, requests/s")
    from_zero(left)
    left.legend(loc="upper left")
    labelled(left, "turns a request", "turns/s", "append rate against turns a request, 8 at a time")
    stacked_cpu(right, curve, APPEND, "turn", "turns a request")


def _append_concurrency(curve: Curve, figure: Figure) -> None:
    left, right = side_by_side(figure, 2)
    rates(left, curve, [APPEND, PIPELINE], "turns_per_s")
    points = curve.of(APPEND)
    target(left, points, 1.0, "target at 128: the empty endpoint")
    ticked(left, [point.x for point in points])
    from_zero(left, 1.35)
    left.legend(loc="upper left")
    labelled(left, "requests at a time", "turns/s", "append rate against concurrency, single turns")
    for number, (name, label) in enumerate((("p50_ms", "p50"), ("p99_ms", "p99"))):
        per_s = [point.median("turns_per_s") for point in points]
        right.plot(
            per_s, [point.median(name) for point in points], color=LINES[number], marker="o", markersize=4, label=label
        )
    for point in points:
        right.annotate(
            plain_number(point.x), (point.median("turns_per_s"), point.median("p50_ms")),
            textcoords="offset points", xytext=(4, -9), fontsize=7, color=TEXT,
        )  # fmt: skip
    log_y(right, 1.5)
    right.xaxis.set_major_formatter(FuncFormatter(plain_number))
    right.legend(loc="upper left")
    labelled(right, "turns/s", "ms a request", "latency at each rate (small: requests at a time)")


def _read_processes(curve: Curve, figure: Figure) -> None:
    left, right = side_by_side(figure, 2)
    rates(left, curve, curve.series, "reads_per_s")
    points = curve.of(curve.series[0])
    target(left, points, 0.9, "target of one process: 0.9 × empty endpoint")
    ticked(left, [point.x for point in points])
    from_zero(left, 1.4)
    left.legend(loc="upper left")
    labelled(left, "query processes", "reads/s", "20 recent turns, 32 at a time")
    stacked_cpu(right, curve, REDIS, "read", "query processes, from Redis")


def _bytes_sessions(curve: Curve, figure: Figure) -> None:
    left, right = side_by_side(figure, 2)
    points = curve.of(MORE_SESSIONS)
    xs = [point.x for point in points]
    for number, name in enumerate(PROCESSES):
        memory = [point.median(f"{name}_pss_bytes") / 1024**2 for point in points]
        left.plot(xs, memory, color=LINES[number], marker="o", markersize=4, label=name)
    for number, (name, label) in enumerate(
        (
            ("postgres_bytes", "PostgreSQL, indexes included"),
            ("jetstream_bytes", "JetStream"),
            ("valkey_bytes", "Valkey"),
        )
    ):
        measured = [point.median(name) / 1024**2 for point in points]
        right.plot(xs, measured, color=LINES[number], marker="o", markersize=4, linestyle="", label=label)
        at_rest, session, turn = slopes(curve, name)
        fitted = [(at_rest + session * p.x + turn * p.median("turns")) / 1024**2 for p in points]
        drawn = [(x, y) for x, y in zip(xs, fitted, strict=True) if y > 0]
        right.plot([x for x, _ in drawn], [y for _, y in drawn], color=LINES[number], linewidth=1)
    for axes, title, unit in ((left, "memory (PSS)", "MiB"), (right, "data held; lines: least squares", "MiB")):
        ticked(axes, xs)
        log_y(axes, 6.0)
        axes.legend(loc="upper left", ncols=2 if axes is left else 1)
        each = points[-1].median("turns") / points[-1].x
        labelled(axes, f"sessions of {each:g} turns", unit, title)


def _turns_stored(curve: Curve, figure: Figure) -> None:
    left, right = side_by_side(figure, 2)
    for axes, series, name, title in (
        (left, APPENDS, "turns_per_s", "append rate against turns stored"),
        (right, READS, "reads_per_s", "read rate against turns stored"),
    ):
        points = curve.of(series)
        line(axes, points, name, LINES[0], series)
        first = points[0].median(name)
        axes.axhline(0.9 * first, color=TEXT, linestyle="--", linewidth=1, label="target: 0.9 × the first")
        axes.plot(
            [p.x for p in points], [p.median("yardstick_per_s") for p in points],
            color=TEXT, linewidth=1, label="empty endpoint",
        )  # fmt: skip
        ticked(axes, [point.x for point in points])
        from_zero(axes)
        axes.legend(loc="lower left")
        labelled(axes, "turns stored", name.replace("_per_s", "/s"), title)


def _one_rate(name: str, x: str, title: str, yardstick: str, share: float) -> Draw:
    """A picture of a single panel and series."""

    def drawn(curve: Curve, figure: Figure) -> None:
        (axes,) = side_by_side(figure, 1)
        points = curve.of(curve.series[0])
        line(axes, points, name, LINES[0], curve.series[0])
        target(axes, points, share, yardstick)
        ticked(axes, [point.x for point in points])
        from_zero(axes)
        axes.legend(loc="lower left")
        labelled(axes, x, name.replace("_per_s", "/s"), title)

    return drawn


PICTURES: Mapping[str, Draw] = {
    "append-logs": _append_logs,
    "append-processes": _append_processes,
    "append-batch": _append_batch,
    "append-concurrency": _append_concurrency,
    "read-processes": _read_processes,
    "bytes-sessions": _bytes_sessions,
    "turns-stored": _turns_stored,
    "tenants": _one_rate(
        "turns_per_s", "tenants with one session each", "append rate against tenants", "empty endpoint", 1.0
    ),
    "rebuild-events": _one_rate(
        "events_per_s", "events in the log", "rebuild rate against events", "target: 0.25 × reading them in order", 0.25
    ),
}
