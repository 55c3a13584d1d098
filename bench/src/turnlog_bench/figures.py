"""A figure beside its yardstick, and how figures become a table or JSON. Pure."""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Bound = Literal["at least", "at most"]
CPU_OF = ": CPU of "


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the results. `ratio` is value / yardstick_value as measured pairwise; `target` is the bound that
    the ratio (or, where there is no yardstick, the value) is held to, None for a row that only informs."""

    name: str
    value: float
    unit: str
    yardstick: str | None = None
    yardstick_value: float | None = None
    ratio: float | None = None
    target: str | None = None
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on a ratio or a value."""

    bound: Bound
    limit: float

    def admits(self, found: float) -> bool:
        """Whether `found` is on the right side."""
        return found >= self.limit if self.bound == "at least" else found <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.bound == 'at least' else '<='} {self.limit:g}"


def plain(name: str, value: float, unit: str, target: Target | None = None) -> Figure:
    """A figure without a yardstick; the target, if any, is of the value itself."""
    met = target.admits(value) if target else None
    return Figure(name, value, unit, target=f"{target} {unit}" if target else None, met=met)


def compared(
    name: str, unit: str, yardstick: str, pairs: Sequence[tuple[float, float]], target: Target | None
) -> Figure:
    """A figure from pairs (ours, yardstick) of slices measured one after the other: medians of both, and the median
    of the pairs' ratios, which a machine that is faster for a while does not move."""
    ratio = statistics.median(ours / other for ours, other in pairs)
    return Figure(
        name,
        statistics.median(ours for ours, _ in pairs),
        unit,
        yardstick,
        statistics.median(other for _, other in pairs),
        ratio,
        str(target) if target else None,
        target.admits(ratio) if target else None,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of the values lie (nearest rank)."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def as_json(figures: Sequence[Figure]) -> str:
    """The results file: a list of objects, rounded to what was measured."""
    rows = [{name: _rounded(value) for name, value in asdict(figure).items()} for figure in figures]
    return "[\n" + ",\n".join("  " + json.dumps(row) for row in rows) + "\n]\n"


def as_table(figures: Sequence[Figure]) -> str:
    """The results as a table in Markdown, and below it the CPU time of each process by figure."""
    head = ("figure", "value", "yardstick", "ratio", "target", "met")
    rows = [head, *(_cells(figure) for figure in figures if CPU_OF not in figure.name)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join([*lines, *_cpu_lines(figures)])


def _cpu_lines(figures: Sequence[Figure]) -> list[str]:
    used: dict[str, list[str]] = {}
    for figure in figures:
        of, found, process = figure.name.partition(CPU_OF)
        if found:
            used.setdefault(of, []).append(f"{process} {_short(figure.value)}")
    lines = [f"- {of}: CPU per request: {', '.join(parts)} µs" for of, parts in used.items()]
    return ["", *lines] if lines else []


def _cells(figure: Figure) -> tuple[str, ...]:
    other = ""
    if figure.yardstick is not None and figure.yardstick_value is not None:
        other = f"{_short(figure.yardstick_value)} ({figure.yardstick})"
    return (
        figure.name,
        f"{_short(figure.value)} {figure.unit}",
        other,
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        figure.target or "",
        {None: "", True: "yes", False: "no"}[figure.met],
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _rounded(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value
