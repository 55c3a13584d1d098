"""What was seen before, as small pictures of text. Pure, but for what it keeps."""

from collections import deque
from collections.abc import Iterable, Sequence

from turnlog_cli.top.view import View

BARS = "▁▂▃▄▅▆▇█"
KEPT = 120


def sparkline(values: Sequence[float | None], width: int) -> str:
    """The newest `width` values as bars, from 0 to the largest; a blank for what was not known."""
    shown = list(values)[-width:] if width > 0 else []
    top = max((value for value in shown if value is not None), default=0.0)
    return "".join(" " if value is None else _bar(value, top) for value in shown).rjust(max(width, 0))


def _bar(value: float, top: float) -> str:
    if value <= 0 or top <= 0:
        return BARS[0]
    return BARS[max(1, min(len(BARS) - 1, round(value / top * (len(BARS) - 1))))]


class History:
    """The last `KEPT` values of each line that is drawn."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[float | None]] = {}

    def note(self, view: View) -> None:
        """Take in a view that has rates."""
        now: dict[str, float | None] = {"turns": view.writes.turns, "reads": view.reads.rate}
        for log in view.logs:
            now |= {f"{log.log}/{name}": lag.events for name, lag in log.lags.items()}
        for name in now.keys() | self._lines.keys():
            self._lines.setdefault(name, deque(maxlen=KEPT)).append(now.get(name))

    def of(self, name: str) -> Iterable[float | None]:
        """The values of `turns`, `reads` or `<log>/<follower>`, oldest first."""
        return self._lines.get(name, ())

    def drawn(self, name: str, width: int) -> str:
        """The same as bars."""
        return sparkline(list(self.of(name)), width)
