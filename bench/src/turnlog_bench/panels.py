"""Parts of pictures: axes, lines with bars, targets, stacked CPU."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from turnlog_bench.colours import LINES, TEXT
from turnlog_bench.scaling.points import Curve, Point

PROCESSES = ("ingest", "query", "projector", "compressor", "postgres", "nats", "valkey")


def side_by_side(figure: Figure, columns: int) -> list[Axes]:
    """So many panels."""
    return [figure.add_subplot(1, columns, number + 1) for number in range(columns)]


def labelled(axes: Axes, x: str, y: str, title: str) -> None:
    """Names of the axes with their units, and what is shown."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, fontsize=9)


def ticked(axes: Axes, xs: Sequence[float]) -> None:
    """A logarithmic x axis with a tick at each point, in plain numbers."""
    places = sorted(set(xs))
    axes.set_xscale("log", base=2)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(places, [plain_number(place) for place in places])


def plain_number(value: float, _: object = None) -> str:
    """1000 as 1k; also the form of a tick."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def line(axes: Axes, points: Sequence[Point], name: str, colour: str, label: str, style: str = "-") -> None:
    """Medians, with a bar from the lowest slice to the highest."""
    spreads = [point.spread(name) for point in points]
    below = [spread.median - spread.low for spread in spreads]
    above = [spread.high - spread.median for spread in spreads]
    axes.errorbar(
        [point.x for point in points],
        [spread.median for spread in spreads],
        yerr=[below, above],
        color=colour, label=label, linestyle=style, marker="o", markersize=4, capsize=3, linewidth=1.5,
    )  # fmt: skip


def target(axes: Axes, points: Sequence[Point], share: float, label: str, name: str = "yardstick_per_s") -> None:
    """A dashed line at a share of what was measured beside each point."""
    axes.plot(
        [point.x for point in points],
        [share * point.median(name) for point in points],
        color=TEXT, linestyle="--", linewidth=1, label=label,
    )  # fmt: skip


def rates(axes: Axes, curve: Curve, series: Sequence[str], name: str) -> None:
    """A line for each series that was measured."""
    for number, one in enumerate(series):
        if points := curve.of(one):
            line(axes, points, name, LINES[number % len(LINES)], one)


def from_zero(axes: Axes, headroom: float = 1.05) -> None:
    """A linear y axis from 0 to above all that is drawn, with room for a legend; the last thing to do."""
    top = axes.get_ylim()[1]
    axes.set_ylim(0, top * headroom)
    axes.yaxis.set_major_formatter(FuncFormatter(plain_number))


def log_y(axes: Axes, headroom: float = 1.0) -> None:
    """A logarithmic y axis in plain numbers, with room for a legend above."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(plain_number))
    axes.yaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * headroom)


def stacked_cpu(axes: Axes, curve: Curve, series: str, what: str, x: str) -> None:
    """CPU of each process, one bar a point."""
    points = curve.of(series)
    used = [
        name for name in PROCESSES if any(p.has(f"cpu_{name}_us") and p.median(f"cpu_{name}_us") >= 1 for p in points)
    ]
    places = range(len(points))
    floor = [0.0] * len(points)
    for number, name in enumerate(used):
        heights = [p.median(f"cpu_{name}_us") if p.has(f"cpu_{name}_us") else 0.0 for p in points]
        axes.bar(places, heights, bottom=floor, color=LINES[number], label=name, width=0.6)
        floor = [low + height for low, height in zip(floor, heights, strict=True)]
    for place, point in zip(places, points, strict=True):
        cores = f"{point.median('cores_used'):.1f} cores"
        axes.annotate(cores, (place, floor[place]), ha="center", va="bottom", fontsize=7, color=TEXT)
    axes.set_xticks(list(places), [plain_number(point.x) for point in points])
    axes.set_ylim(top=max(floor) * 1.35)
    axes.legend(ncols=2, loc="upper left")
    labelled(axes, x, f"CPU, µs a {what}", f"what it costs, and cores in use (of {curve.run.machine['cores']:g})")
