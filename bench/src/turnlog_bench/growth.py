"""Figures of growth: append rate and memory with many events stored beside those with few, on a system of its own."""

import time
from dataclasses import dataclass, replace

from turnlog_bench.figures import Figure, Target, compared
from turnlog_bench.process import MeasureFailed
from turnlog_bench.reads import TURNS_PER_SESSION
from turnlog_bench.rebuilding import append_directly
from turnlog_bench.scale import Scale
from turnlog_bench.slices import order
from turnlog_bench.stack import LOG, SERVICES, Snapshot, Stack

SESSIONS = 200
WORKOUT_S = 2.0


@dataclass(frozen=True)
class Stage:
    """The system with so many events: append rate beside the empty endpoint's, and memory of each process."""

    events: int
    rates: list[tuple[float, float]]
    memory_kib: Snapshot


async def growth(stack: Stack, scale: Scale) -> list[Figure]:
    """Fill, measure, fill on, measure again. All services run; both stages do the same work before memory is read."""
    await stack.launch(*SERVICES)
    small = await _stage(stack, scale, 0, scale.growth_small_events)
    large = await _stage(stack, scale, scale.growth_small_events, scale.growth_large_events)
    sizes = f"{large.events:,} events beside {small.events:,}"
    claimed = scale.growth_claims
    pairs = [(ours, before) for (ours, _), (before, _) in zip(large.rates, small.rates, strict=True)]
    relative = [(a / b, c / d) for (a, b), (c, d) in zip(large.rates, small.rates, strict=True)]
    target = Target("at least", 0.9) if claimed else None
    with_few = f"with {small.events:,}"
    figures = [
        compared(f"append rate, {sizes}", "turns/s", with_few, pairs, target),
        compared(f"append rate per rate of the empty endpoint, {sizes}", "x", with_few, relative, None),
    ]
    for name, kib in large.memory_kib.items():
        before = small.memory_kib[name]
        bound = Target("at most", 1.05) if claimed and name in SERVICES else None
        memory = f"memory of {name}, {sizes}"
        figures.append(compared(memory, "MiB", with_few, [(kib / 1024, before / 1024)], bound))
    return figures


async def _stage(stack: Stack, scale: Scale, stored: int, wanted: int) -> Stage:
    began = time.monotonic()
    await append_directly(stack, LOG, "grow", stored, wanted, SESSIONS)
    loaded_s = time.monotonic() - began
    await stack.projected(scale.growth_settle_s)
    try:
        await stack.quiet(scale.growth_settle_s)
    except MeasureFailed:
        stack.say(f"growth: the compressor was still at work {scale.growth_settle_s:g} s after the load")
    stack.say(
        f"growth: {wanted:,} events, loaded in {loaded_s:.0f} s, followed {time.monotonic() - began - loaded_s:.0f} s"
    )
    await _work_out(stack, scale)
    rates = []
    for _ in range(scale.pairs):
        stack.pause_followers()
        ours = await stack.load(order(stack, scale, "single", "ingest", 32, "grow"))
        other = await stack.load(order(stack, scale, "single", "empty", 32, "grow"))
        stack.resume_followers()
        rates.append((ours.per_s, other.per_s))
    await stack.projected()
    return Stage(wanted, rates, stack.memory_kib())


async def _work_out(stack: Stack, scale: Scale) -> None:
    """The same work of every kind at each stage, so that memory is compared after the same peaks."""
    base = replace(order(stack, scale, "single", "ingest", 128, "grow"), seconds=WORKOUT_S)
    await stack.load(base)
    read = replace(order(stack, scale, "read", "query", 32, "grow"), seconds=WORKOUT_S, limit=TURNS_PER_SESSION)
    await stack.load(read)
