"""Figures of fairness: what a tenant that writes little feels of another that writes as much as it can.

Ingest takes the tenant from a header here. The quiet tenant's single turns arrive at fixed times; beside it nobody, or
another tenant with many connections that send requests of a hundred turns one after the other.
"""

import asyncio
from dataclasses import replace

from turnlog_bench.figures import Figure, Target, percentile, plain
from turnlog_bench.material import TENANT_HEADER
from turnlog_bench.orders import Order, Outcome
from turnlog_bench.scale import Scale
from turnlog_bench.slices import order
from turnlog_bench.stack import Stack
from turnlog_bench.writes import TURNS_AT_ONCE, counted_turns

QUIET_PER_S = 100.0
FLOOD_CONNECTIONS = 32
PAIRS = 3
AT_MOST = Target("at most", 2.0)


async def fairness(stack: Stack, scale: Scale) -> list[Figure]:
    """The quiet tenant's latency alone and beside the flood, in turn."""
    await stack.retire("ingest")
    await stack.launch("ingest", more={"TURNLOG_TENANT_HEADER": TENANT_HEADER})
    await stack.launch_generator("flood")
    alone: list[float] = []
    beside: list[float] = []
    floods: list[Outcome] = []
    async with counted_turns(stack) as acknowledged:
        for _ in range(PAIRS):
            quiet = await stack.load(_quiet(stack, scale))
            alone += quiet.latencies_ms
            flooded, flood = await _beside(stack, scale)
            beside += flooded.latencies_ms
            floods.append(flood)
            acknowledged += [quiet.accepted, flooded.accepted, flood.accepted * TURNS_AT_ONCE]
    await stack.retire("ingest", "flood")
    await stack.launch("ingest")
    return _figures(alone, beside, floods)


def _quiet(stack: Stack, scale: Scale) -> Order:
    base = order(stack, scale, "single", "ingest", 16, "quiet")
    return replace(base, per_s=QUIET_PER_S, seconds=scale.fairness_s, warm_s=0.5, headers=f"{TENANT_HEADER}: quiet\r\n")


async def _beside(stack: Stack, scale: Scale) -> tuple[Outcome, Outcome]:
    """The quiet tenant and the flood. The flood is there before it and lasts longer."""
    before = await stack.head()

    async def begun() -> bool:
        return await stack.head() > before + TURNS_AT_ONCE

    base = order(stack, scale, "many", "ingest", FLOOD_CONNECTIONS, "flood")
    headers = f"{TENANT_HEADER}: noisy\r\n"
    flood = replace(base, turns=TURNS_AT_ONCE, seconds=scale.fairness_s + 2, warm_s=0.0, headers=headers)
    async with asyncio.TaskGroup() as tasks:
        flooding = tasks.create_task(stack.load(flood, generator="flood"))
        await stack.until(begun, 20, "the flood to begin")
        quiet = await stack.load(_quiet(stack, scale))
    return quiet, flooding.result()


def _figures(alone: list[float], beside: list[float], floods: list[Outcome]) -> list[Figure]:
    name = f"a quiet tenant's POST of one turn ({QUIET_PER_S:g}/s) beside a flood of {TURNS_AT_ONCE} turns a request"
    figures = []
    for share in (0.5, 0.99):
        ours, other = percentile(beside, share), percentile(alone, share)
        target = AT_MOST if share > 0.5 else None
        met = target.admits(ours / other) if target else None
        title = f"{name}: p{100 * share:g}"
        figures.append(
            Figure(title, ours, "ms", "alone, same run", other, ours / other, str(target) if target else None, met)
        )
    flooded = sum(flood.per_s for flood in floods) / len(floods) * TURNS_AT_ONCE
    return [*figures, plain(f"the flood beside it, {FLOOD_CONNECTIONS} connections", flooded, "turns/s")]
