"""`python -m turnlog_bench`: measure everything, print a table, write `bench/results.json`; with `--only scaling` the
curves instead, merged into `bench/scaling.json`."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from turnlog_bench.figures import as_json, as_table
from turnlog_bench.groups import GROUPS, measure
from turnlog_bench.process import MeasureFailed
from turnlog_bench.scale import FULL, QUICK, TINY
from turnlog_bench.scaling import measure as scaling
from turnlog_bench.scaling import sizes as scaling_sizes
from turnlog_bench.scaling.points import Scaling
from turnlog_runtime.lifecycle import spare_the_collector

RESULTS = Path("bench/results.json")
SIZES = {sizes.name: sizes for sizes in (scaling_sizes.QUICK, scaling_sizes.FULL, scaling_sizes.TINY)}
T = TypeVar("T")


def main() -> None:
    """Parse, measure, report; status 0 when all was measured, whether or not the targets were met."""
    parser = argparse.ArgumentParser(prog="python -m turnlog_bench", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="scale", action="store_const", const=QUICK, help="about three minutes (default)")
    size.add_argument("--full", dest="scale", action="store_const", const=FULL, help="longer slices, a million events")
    size.add_argument("--tiny", dest="scale", action="store_const", const=TINY, help="to try the bench itself")
    only = [*GROUPS, *scaling.group_names()]
    parser.add_argument("--only", choices=only, metavar="GROUP", help=f"one of {', '.join(only)}")
    parser.add_argument("--into", type=Path, help="where curves are merged into (default: bench/scaling.json)")
    parser.add_argument("--auth", action="store_true", help="services ask for an API key; results.json is left alone")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    arguments = parser.parse_args()
    scale = arguments.scale or QUICK
    if (arguments.only or "").startswith(scaling.GROUP):
        _curves(arguments.only, SIZES[scale.name], arguments.into, as_file=arguments.json)
        return
    figures = _run(measure(scale, arguments.only, _say, auth=arguments.auth), scale.total_s)
    sys.stdout.write(as_json(figures) if arguments.json else as_table(figures) + "\n")
    if arguments.only is None and not arguments.auth and scale is not TINY and RESULTS.parent.is_dir():
        RESULTS.write_text(as_json(figures))


def _curves(only: str, sizes: scaling_sizes.Sizes, into: Path | None, *, as_file: bool) -> None:
    if into is None and sizes is not scaling_sizes.TINY and scaling.RESULTS.parent.is_dir():
        into = scaling.RESULTS
    curves = _run(scaling.measured(scaling.wanted(only), sizes, _say, into), sizes.total_s)
    sys.stdout.write(Scaling(curves).as_json() if as_file else "\n".join(scaling.lines(curves)) + "\n")


def _run(measuring: Coroutine[Any, Any, T], limit_s: float) -> T:
    """Measure on a loop of its own; a failure ends the process with its reason."""
    try:
        spare_the_collector()  # as the rebuild command does; the yardstick beside it gains too
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_bounded(measuring, limit_s))
    except KeyboardInterrupt:
        sys.exit(130)
    except MeasureFailed as error:
        sys.exit(f"bench: {error}")


async def _bounded(measuring: Coroutine[Any, Any, T], limit_s: float) -> T:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        async with asyncio.timeout(limit_s):
            return await measuring
    except TimeoutError:
        raise MeasureFailed(f"not done after {limit_s:g} s") from None
    except BaseExceptionGroup as group:
        failed = group.subgroup(MeasureFailed)
        if failed is None:
            raise
        raise _first(failed) from None


def _first(group: BaseExceptionGroup[MeasureFailed]) -> MeasureFailed:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
