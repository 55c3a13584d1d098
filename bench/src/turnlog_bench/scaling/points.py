"""Curves of measured points, and the file that keeps them. Pure.

A point is one place on the x axis in one series. What was measured there is a list of values by name, one for each
slice; a name ends in its unit (`turns_per_s`, `p99_ms`, `postgres_bytes`). A curve knows the run it comes from, so that
curves of several runs can stand in one file.
"""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the slices, the lowest and the highest."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured at `x` of a series."""

    series: str
    x: float
    measured: Mapping[str, Sequence[float]]

    def has(self, name: str) -> bool:
        """Whether this was measured here."""
        return bool(self.measured.get(name))

    def spread(self, name: str) -> Spread:
        """Median, lowest and highest slice. Raises KeyError for what was not measured here."""
        values = self.measured[name]
        return Spread(statistics.median(values), min(values), max(values))

    def median(self, name: str) -> float:
        """The median slice."""
        return self.spread(name).median


@dataclass(frozen=True, slots=True)
class Run:
    """When (UTC, to the minute), at which sizes and on which machine a curve was measured."""

    at: str
    sizes: str
    machine: Mapping[str, str | float]


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of one curve, series by series in the order in which they were measured."""

    run: Run
    points: Sequence[Point]

    @property
    def series(self) -> list[str]:
        """The names of the series."""
        return list(dict.fromkeys(point.series for point in self.points))

    def of(self, series: str) -> list[Point]:
        """A series by x."""
        return sorted((point for point in self.points if point.series == series), key=lambda point: point.x)

    def at(self, series: str, x: float) -> Point:
        """One point. Raises LookupError when it was not measured."""
        for point in self.points:
            if point.series == series and point.x == x:
                return point
        raise LookupError(f"no point {x:g} in {series}")

    def last(self, series: str) -> Point:
        """The point with the greatest x. Raises LookupError when the series was not measured."""
        found = self.of(series)
        if not found:
            raise LookupError(f"no series {series}")
        return found[-1]


@dataclass(frozen=True, slots=True)
class Scaling:
    """All curves, by name."""

    curves: Mapping[str, Curve] = field(default_factory=dict)

    def merged(self, newer: Mapping[str, Curve]) -> "Scaling":
        """With these curves instead of those of the same name."""
        return Scaling(dict(self.curves) | dict(newer))

    def as_json(self) -> str:
        """The file: one line a point, so that a difference shows what changed."""
        parts = []
        for name, curve in sorted(self.curves.items()):
            points = ",\n".join("      " + json.dumps(_rounded(asdict(point))) for point in curve.points)
            run = json.dumps(_rounded(asdict(curve.run)))
            parts.append(
                f'    {json.dumps(name)}: {{\n      "run": {run},\n      "points": [\n{points}\n      ]\n    }}'
            )
        return f'{{\n  "format": {FORMAT},\n  "curves": {{\n' + ",\n".join(parts) + "\n  }\n}\n"


def parsed(text: str) -> Scaling:
    """What `as_json` wrote. Raises ValueError for another format."""
    found = json.loads(text)
    if found.get("format") != FORMAT:
        raise ValueError(f"scaling.json has format {found.get('format')!r}, not {FORMAT}")
    return Scaling(
        {
            name: Curve(Run(**curve["run"]), [Point(**point) for point in curve["points"]])
            for name, curve in found["curves"].items()
        }
    )


def relative(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """first / second, slice by slice."""
    return [a / b for a, b in zip(first, second, strict=True)]


def gathered(slices: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    """One mapping for each slice becomes one list for each name; what a slice lacks counts as 0."""
    found = list(slices)
    names = dict.fromkeys(name for one in found for name in one)
    return {name: [one.get(name, 0.0) for one in found] for name in names}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}") if abs(value) < 10_000 else round(value)
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(inner) for inner in value]
    return value
