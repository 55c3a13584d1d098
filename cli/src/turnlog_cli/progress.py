"""How far a long command is: a bar on a terminal, else a line now and then; always on standard error."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 5.0


class Meter:
    """Progress in any measure (`done` of `total`; None: unknown), with a count of what people think in."""

    def __init__(self, console: Console, what: str, noun: str, total: int | None, *, quiet: bool = False) -> None:
        self._console, self._what, self._noun, self._total, self._quiet = console, what, noun, total, quiet
        self._began = self._said_at = time.monotonic()
        self._bar: Progress | None = None
        if console.is_terminal and not quiet:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                TaskProgressColumn(),
                TextColumn("{task.fields[counted]}"),
                TimeRemainingColumn(compact=True),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task(what, total=total, counted="")

    def __enter__(self) -> "Meter":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def at(self, done: int, count: int, total: int | None = None) -> None:
        """`done` of the total, which is `count` things."""
        self._total = total if total is not None else self._total
        elapsed_s = max(time.monotonic() - self._began, 1e-9)
        counted = f"{count:,} {self._noun}, {count / elapsed_s:,.0f}/s"
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=self._total, counted=counted)
        elif not self._quiet and time.monotonic() - self._said_at > LINE_EVERY_S:
            self._said_at = time.monotonic()
            self._console.print(f"{self._what}: {counted}{left(done, self._total, elapsed_s)}", soft_wrap=True)


def left(done: int, total: int | None, elapsed_s: float) -> str:
    """`, 45 %, 12 s left`; empty when nothing can be said."""
    if not total or done <= 0:
        return ""
    seconds = elapsed_s * (total - done) / done
    shown = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    return f", {100 * done // total} %, {shown} left"
