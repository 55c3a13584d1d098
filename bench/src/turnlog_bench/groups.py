"""The groups of figures in the order in which they are measured, and the state each needs."""

from collections.abc import Callable

from turnlog_bench import balanced, door, fairness, growth, latency, reads, rebuilding, writes
from turnlog_bench.figures import Figure
from turnlog_bench.scale import Scale
from turnlog_bench.slices import order
from turnlog_bench.stack import FOLLOWERS, SERVICES, Stack, running

GROUPS = ("reads", "pipeline", "writes", "hundreds", "rebuild", "fairness", "door", "balanced", "growth")
FINISH_S = 30.0


async def measure(scale: Scale, only: str | None, say: Callable[[str], None], *, auth: bool = False) -> list[Figure]:
    """All figures, or those of one group; with `auth`, every request shows an API key."""
    wanted = set(GROUPS) if only is None else {only}
    figures: list[Figure] = []
    if wanted - {"growth"}:
        async with running(say, auth=auth) as stack:
            await stack.launch(*SERVICES)
            if "reads" in wanted:
                figures += await _reads(stack, scale)
            if "pipeline" in wanted:
                figures += await _pipeline(stack, scale)
            await stack.retire(*FOLLOWERS, "query")  # its live hub follows too
            if "writes" in wanted:
                figures += await _writes(stack, scale)
            if "hundreds" in wanted:
                figures += await writes.hundreds(stack, scale)
            if "rebuild" in wanted:
                figures += await rebuilding.rebuilding(stack, scale)
            if "fairness" in wanted:
                figures += await fairness.fairness(stack, scale)
            if "door" in wanted:
                figures += await door.door(stack, scale)
            if "balanced" in wanted and (only is not None or balanced.possible(say)):
                figures += await balanced.balanced(stack, scale)
    if "growth" in wanted:
        async with running(say, auth=auth) as stack:
            figures += await growth.growth(stack, scale)
    return figures


async def _reads(stack: Stack, scale: Scale) -> list[Figure]:
    await reads.fill(stack, scale, "read")
    await stack.quiet(FINISH_S)
    return await reads.recent_turns(stack, scale)


async def _pipeline(stack: Stack, scale: Scale) -> list[Figure]:
    """With everything running: full speed, then (the followers' work done) freshness and latency."""
    await stack.load(order(stack, scale, "single", "ingest", 32, "warm"))
    full = await writes.single_turns(stack, scale, writes.WITH_FOLLOWERS)
    stack.say(f"pipeline: read models caught up in {await stack.projected():.1f} s")
    rates = _rates(full, writes.WITH_FOLLOWERS)
    figures = full + await latency.freshness(stack, scale, max(rates.values()))
    await stack.projected()
    return figures + await latency.at_a_tenth(stack, scale, writes.WITH_FOLLOWERS, rates)


async def _writes(stack: Stack, scale: Scale) -> list[Figure]:
    """Projector, compressor and query (its live hub follows) stopped; the relay is part of ingest and runs."""
    full = await writes.single_turns(stack, scale, writes.ALONE)
    tenth = await latency.at_a_tenth(stack, scale, writes.ALONE, _rates(full, writes.ALONE))
    return full + tenth + await writes.generator_ceiling(stack, scale, full)


def _rates(figures: list[Figure], setting: str) -> dict[int, float]:
    """The full rates just measured, by concurrency."""
    found = {}
    for concurrency in writes.CONCURRENCIES:
        name = f"POST of one turn, {concurrency} concurrent, {setting}"
        found[concurrency] = next(figure.value for figure in figures if figure.name == name)
    return found
