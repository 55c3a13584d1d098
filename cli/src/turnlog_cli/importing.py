"""`turnlog import`: streams a file to the API in bounded requests, with what became of each line."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from turnlog_cli.addresses import Api
from turnlog_cli.errors import NOT_DONE, CommandError
from turnlog_cli.escape import one_line
from turnlog_cli.lines import Feed
from turnlog_cli.progress import Meter
from turnlog_cli.screen import Screen, count, marked
from turnlog_client import Client, LineResult, Unavailable

REFUSALS_SHOWN = 20
REFUSALS_KEPT = 1_000


@dataclass
class Tally:
    """What became of the lines so far."""

    stored: int = 0
    duplicates: int = 0
    refused: int = 0
    refusals: list[LineResult] = field(default_factory=list)

    @property
    def lines(self) -> int:
        """Lines that have an answer."""
        return self.stored + self.duplicates + self.refused

    def add(self, result: LineResult) -> None:
        """One more."""
        if result.status == "stored":
            self.stored += 1
        elif result.status == "duplicate":
            self.duplicates += 1
        else:
            self.refused += 1
            if len(self.refusals) < REFUSALS_KEPT:
                self.refusals.append(result)


def import_file(path: str, api: Api, screen: Screen) -> int:
    """Load the file (or with `-` standard input); the exit status: 1 when lines were refused."""
    with _opened(path) as (file, size):
        tally, seconds = load(file, size, api, screen)
    _report(tally, seconds, screen)
    return 1 if tally.refused else 0


def load(file: BinaryIO, size: int | None, api: Api, screen: Screen) -> tuple[Tally, float]:
    """Send every line; the tally and the seconds it took. Raises `CommandError` when the API stays away."""
    feed, tally, began = Feed(file), Tally(), time.monotonic()
    with (
        Client(api.url, api_key=api.key) as client,
        Meter(screen.err, "importing", "lines", size, quiet=screen.as_json) as meter,
    ):
        try:
            for result in client.load(feed):
                tally.add(_numbered(result, feed.sent.popleft()))
                if not tally.lines % 500:
                    meter.at(feed.read_bytes, tally.lines)
        except Unavailable as error:
            raise CommandError(_broken_off(tally, feed, error), NOT_DONE) from error
    for result in feed.too_long:
        tally.add(result)
    tally.refusals.sort(key=lambda refusal: refusal.line)
    return tally, max(time.monotonic() - began, 1e-9)


def _numbered(result: LineResult, number: int) -> LineResult:
    return LineResult(
        number,
        result.status,
        result.turn_id,
        result.position,
        result.version,
        result.code,
        result.message,
        result.param,
    )


def _broken_off(tally: Tally, feed: Feed, error: Unavailable) -> str:
    first = feed.sent[0] if feed.sent else 1
    return (
        f"broken off at line {first}, {tally.stored + tally.duplicates:,} lines before it are stored: {error}\n"
        "Run the same command again when the API is back: nothing is stored twice"
    )


def _report(tally: Tally, seconds: float, screen: Screen) -> None:
    rate = tally.lines / seconds
    refusals = [{"line": r.line, "code": r.code, "message": r.message, "param": r.param} for r in tally.refusals]
    screen.fact(
        {
            "stored": tally.stored,
            "duplicates": tally.duplicates,
            "refused": tally.refused,
            "refusals": refusals,
            "seconds": round(seconds, 3),
            "lines_per_s": round(rate, 1),
        }
    )
    if screen.as_json:
        return
    for refusal in tally.refusals[:REFUSALS_SHOWN]:
        screen.warn(f"line {refusal.line} refused: {one_line(refusal.message or '')} ({refusal.code})")
    if tally.refused > REFUSALS_SHOWN:
        screen.warn(f"… and {tally.refused - REFUSALS_SHOWN:,} more; --json lists up to {REFUSALS_KEPT:,}")
    mark, style = ("✗", "red") if tally.refused else ("✓", "green")
    text = f"{count(tally.stored, 'turn')} stored, {count(tally.duplicates, 'duplicate')}, {tally.refused:,} refused"
    screen.say(marked(mark, style, f"{text}; {rate:,.0f} lines/s, {seconds:.1f} s"))


@contextmanager
def _opened(path: str) -> Iterator[tuple[BinaryIO, int | None]]:
    if path == "-":
        yield sys.stdin.buffer, None
        return
    try:
        file = Path(path).open("rb")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    with file:
        yield file, os.fstat(file.fileno()).st_size or None
