"""The curves by name, each measured on a system of its own, and the file they are merged into."""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from turnlog_bench.process import MeasureFailed
from turnlog_bench.scaling import appending, growing, reading, storing
from turnlog_bench.scaling.machine import machine
from turnlog_bench.scaling.points import Curve, Point, Run, Scaling, parsed
from turnlog_bench.scaling.sizes import Sizes
from turnlog_bench.stack import Stack, running

Measure = Callable[[Stack, Sizes], Awaitable[list[Point]]]
GROUP = "scaling"
CURVES: Mapping[str, Measure] = {
    "append-logs": appending.by_logs,
    "append-processes": appending.by_processes,
    "append-batch": appending.by_batch,
    "append-concurrency": appending.by_concurrency,
    "read-processes": reading.by_processes,
    "bytes-sessions": storing.by_sessions,
    "turns-stored": growing.by_turns,
    "tenants": growing.by_tenants,
    "rebuild-events": growing.by_events,
}
RESULTS = Path("bench/scaling.json")


def group_names() -> list[str]:
    """What `--only` takes: all curves, or one."""
    return [GROUP, *(f"{GROUP}:{name}" for name in CURVES)]


def wanted(group: str) -> list[str]:
    """The curves that a name of `group_names` stands for."""
    _, _, one = group.partition(":")
    return [one] if one else list(CURVES)


async def measured(
    names: Sequence[str], sizes: Sizes, say: Callable[[str], None], into: Path | None
) -> dict[str, Curve]:
    """Measure these curves one after the other. Each is merged into the file as soon as it is done, so that a run that
    fails keeps what it had. Raises `MeasureFailed`."""
    found: dict[str, Curve] = {}
    if into is not None:
        kept(into)  # a file that cannot be merged into is told before minutes are spent
    for name in names:
        began = time.monotonic()
        async with running(say) as stack:
            run = Run(datetime.now(UTC).strftime("%Y-%m-%d %H:%M"), sizes.name, await machine(stack))
            found[name] = Curve(run, await CURVES[name](stack, sizes))
        say(f"{GROUP}:{name} took {time.monotonic() - began:.0f} s")
        if into is not None:
            into.write_text(kept(into).merged(found).as_json())
    return found


def kept(path: Path) -> Scaling:
    """What the file holds; nothing when it is not there. Raises `MeasureFailed` for a file that is none of ours."""
    try:
        return parsed(path.read_text())
    except FileNotFoundError:
        return Scaling()
    except (ValueError, KeyError, TypeError) as error:
        raise MeasureFailed(f"{path} cannot be read: {error}") from None


def lines(curves: Mapping[str, Curve]) -> Iterator[str]:
    """The curves as text: a line for each point, with what it is about first."""
    for name, curve in curves.items():
        yield f"{name} ({curve.run.sizes}, {curve.run.at} UTC)"
        for point in curve.points:
            shown = ", ".join(f"{what} {point.median(what):,.4g}" for what in point.measured)
            yield f"  {point.series}, {point.x:g}: {shown}"
