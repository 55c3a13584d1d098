"""The figure of reading: 20 recent turns, each from Redis, beside an endpoint that does nothing."""

from dataclasses import replace

from turnlog_bench import material
from turnlog_bench.figures import Figure, Target, compared
from turnlog_bench.process import MeasureFailed
from turnlog_bench.scale import Scale
from turnlog_bench.slices import alternate, order
from turnlog_bench.stack import LOG, Stack
from turnlog_bench.writes import cpu_figures
from turnlog_eventstore import AppendRequest

TURNS_PER_SESSION = 30
CONCURRENCY = 32


async def fill(stack: Stack, scale: Scale, place: str) -> None:
    """Sessions of 30 turns, put into the log directly, then projected."""
    for first in range(0, scale.read_sessions, 50):
        sessions = range(first, min(first + 50, scale.read_sessions))
        requests = [
            AppendRequest(material.events(f"{place}-{n}", f"{place}.{n}", range(n, n + TURNS_PER_SESSION)))
            for n in sessions
        ]
        await stack.store.append(LOG, requests)
    await stack.projected()


async def recent_turns(stack: Stack, scale: Scale) -> list[Figure]:
    """GET of 20 turns over many sessions, 32 concurrent; none answered 304, all from Redis."""
    name = f"GET of 20 turns, {scale.read_sessions} sessions, {CONCURRENCY} concurrent"
    ours = replace(order(stack, scale, "read", "query", CONCURRENCY, "read"), sessions=scale.read_sessions)
    other = order(stack, scale, "empty", "empty", CONCURRENCY, "read")
    series = await alternate(stack, scale, name, ours, other)
    strays = sum(outcome.off_redis for outcome in series.ours)
    if strays:
        raise MeasureFailed(f"{strays} of {series.accepted} reads were not answered from Redis")
    figure = compared(name, "reads/s", "empty FastAPI endpoint", series.rates, Target("at least", 0.9))
    return [figure, *cpu_figures(name, series)]
