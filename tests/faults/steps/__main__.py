"""`python -m faults.steps [--all] [scenario …]`: walks the crash points and prints a table; exit status 1 when a check
was violated or an await was missed."""

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from faults.steps.report import StepReport
from faults.steps.scenario import SCENARIOS
from faults.steps.walking import walker
from turnlog_embedded import start

SAMPLE_EVERY = 11


def main() -> int:
    """Walk what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m faults.steps", description="Crash at every step.")
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=f"one or more of: {'; '.join(SCENARIOS)}")
    parser.add_argument("--all", action="store_true", help=f"every crash point, not every {SAMPLE_EVERY}th")
    parser.add_argument("--offset", type=int, default=0, help="leave out so many crash points at first")
    parser.add_argument("--lanes", type=int, default=2, help="processes at a time")
    asked = parser.parse_args()
    names = asked.scenarios or list(SCENARIOS)
    return asyncio.run(_walk(names, 1 if asked.all else SAMPLE_EVERY, asked.offset, asked.lanes))


async def _walk(names: list[str], every: int, offset: int, lanes: int) -> int:
    folder = Path(tempfile.mkdtemp(prefix="turnlog-steps-"))
    reports: list[StepReport] = []
    running = await start(folder / "data")
    try:
        async with walker(running, lanes) as walks:
            print(_row("scenario", "awaits", "crashes", "restarts", "violations", "missed", "s"), flush=True)
            for name in names:
                reports.append(report := await walks.walk(name, every, offset))
                _print(report, every)
    finally:
        await running.stop()
        shutil.rmtree(folder, ignore_errors=True)
    red = [r for r in reports if not r.ok or (every == 1 and r.missed)]
    print(f"{sum(r.crashes for r in reports)} crashes, {sum(len(r.violations) for r in reports)} violations")
    return 1 if red else 0


def _row(name: str, *columns: object) -> str:
    return f"{name:<20}" + "".join(f"{column:>11}" for column in columns)


def _print(report: StepReport, every: int) -> None:
    missed = f"{len(report.missed)}/{report.lines}" if every == 1 else "-"
    counts = (report.awaits, report.crashes, report.restarts, len(report.violations), missed, f"{report.seconds:.1f}")
    print(_row(report.scenario, *counts), flush=True)
    for violation in report.violations:
        print(f"    {violation}")
    for place in report.missed if every == 1 else ():
        print(f"    never crashed at: {place}")


if __name__ == "__main__":
    sys.exit(main())
