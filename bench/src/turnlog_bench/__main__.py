"""`python -m turnlog_bench`: measure everything, print a table, write `bench/results.json`."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import uvloop

from turnlog_bench.figures import Figure, as_json, as_table
from turnlog_bench.groups import GROUPS, measure
from turnlog_bench.process import MeasureFailed
from turnlog_bench.scale import FULL, QUICK, TINY, Scale
from turnlog_runtime.lifecycle import spare_the_collector

RESULTS = Path("bench/results.json")


def main() -> None:
    """Parse, measure, report; status 0 when all was measured, whether or not the targets were met."""
    parser = argparse.ArgumentParser(prog="python -m turnlog_bench", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="scale", action="store_const", const=QUICK, help="about three minutes (default)")
    size.add_argument("--full", dest="scale", action="store_const", const=FULL, help="longer slices, a million events")
    size.add_argument("--tiny", dest="scale", action="store_const", const=TINY, help="to try the bench itself")
    parser.add_argument("--only", choices=list(GROUPS), help="one group of figures; results.json is left alone")
    parser.add_argument("--auth", action="store_true", help="services ask for an API key; results.json is left alone")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    arguments = parser.parse_args()
    scale = arguments.scale or QUICK
    try:
        spare_the_collector()  # as the rebuild command does; the yardstick beside it gains too
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            figures = runner.run(_measured(scale, arguments.only, auth=arguments.auth))
    except KeyboardInterrupt:
        sys.exit(130)
    except MeasureFailed as error:
        sys.exit(f"bench: {error}")
    sys.stdout.write(as_json(figures) if arguments.json else as_table(figures) + "\n")
    if arguments.only is None and not arguments.auth and scale is not TINY and RESULTS.parent.is_dir():
        RESULTS.write_text(as_json(figures))


async def _measured(scale: Scale, only: str | None, *, auth: bool) -> list[Figure]:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        async with asyncio.timeout(scale.total_s):
            return await measure(scale, only, _say, auth=auth)
    except TimeoutError:
        raise MeasureFailed(f"not done after {scale.total_s:g} s") from None
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
