"""Numbers as people read them, in few columns. Pure."""

from collections.abc import Mapping

UNKNOWN = "–"


def count(value: float | None) -> str:
    """`12`, `1,234`, `56.7k`, `8.9M`; `–` for what is not known."""
    if value is None:
        return UNKNOWN
    if value < 10_000:
        return f"{value:,.0f}"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f}{unit}"
    raise AssertionError(value)


def rate(value: float) -> str:
    """`0/s`, `0.3/s`, `1,234/s`; never 0 for what moves."""
    if value == 0:
        return "0/s"
    if value < 0.01:
        return "<0.01/s"
    digits = 2 if value < 0.1 else 1
    return f"{value:.{digits}f}/s" if value < 9.95 else f"{count(value)}/s"


def seconds(value: float | None) -> str:
    """`0.4 ms`, `12 ms`, `3.4 s`, `5 min`, `3.0 h`; `–` for what is not known."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "0 s"
    if value < 0.00995:
        return f"{value * 1000:.1f} ms"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 99.5:
        return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 5_970 else f"{value / 3600:.1f} h"


def size(value: float) -> str:
    """`512 B`, `1.2 MB`: powers of ten."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def percent(part: float | None) -> str:
    """`0 %`, `0.3 %`, `99.6 %`, `100 %`; 100 only for all of it."""
    if part is None:
        return UNKNOWN
    value = part * 100
    if value in (0, 100):
        return f"{value:.0f} %"
    return f"{min(max(value, 0.1), 99.9):.1f} %"


def each(rates: Mapping[str, float]) -> str:
    """`miss 3.0/s, stale 0.2/s`."""
    return ", ".join(f"{name} {rate(value)}" for name, value in rates.items())
