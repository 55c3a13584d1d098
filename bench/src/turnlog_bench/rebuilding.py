"""The figure of a rebuild, beside reading the same events in order, on a log of its own."""

import time

import asyncpg

from turnlog_bench import material
from turnlog_bench.figures import Figure, Target, compared
from turnlog_bench.process import MeasureFailed
from turnlog_bench.scale import Scale
from turnlog_bench.stack import Stack
from turnlog_eventstore import AppendRequest
from turnlog_projector.rebuild import RebuildOptions, rebuild
from turnlog_views import ViewWriter

REBUILD_LOG = "rebuild"
PAGE_EVENTS = 2_000


async def new_log(stack: Stack, name: str) -> None:
    """A further, empty log."""
    connection = await asyncpg.connect(stack.servers.postgres_dsn)
    try:
        await connection.execute("insert into turnlog.logs (log) values ($1) on conflict do nothing", name)
    finally:
        await connection.close()


async def append_directly(stack: Stack, log: str, place: str, first: int, past: int, sessions: int) -> None:
    """Turns number first..past-1 by large appends, spread over the sessions in runs of ten."""
    for start in range(first, past, 1_000):
        runs = range(start, min(start + 1_000, past), 10)
        requests = [
            AppendRequest(
                material.events(f"{place}-{run // 10 % sessions}", f"{place}.{run}", range(run, min(run + 10, past)))
            )
            for run in runs
        ]
        await stack.store.append(log, requests)
        stack.check()


async def rebuilding(stack: Stack, scale: Scale) -> list[Figure]:
    """Events per second of a rebuild, from the first read to the switch, deleting the old generation included."""
    await new_log(stack, REBUILD_LOG)
    await append_directly(stack, REBUILD_LOG, "rebuild", 0, scale.rebuild_events, scale.sessions)
    pairs = []
    for _ in range(scale.rebuild_pairs):
        began = time.perf_counter()
        report = await rebuild(
            stack.store, ViewWriter(stack.servers.redis_url, REBUILD_LOG), options=RebuildOptions(keep_s=0)
        )
        rebuilt_s = time.perf_counter() - began
        began, scanned = time.perf_counter(), 0
        async for batch in stack.store.scan(REBUILD_LOG, 0, PAGE_EVENTS):
            scanned += len(batch)
        scanned_s = time.perf_counter() - began
        if not report.position == scanned == scale.rebuild_events:
            raise MeasureFailed(f"rebuilt {report.position} and read {scanned} of {scale.rebuild_events} events")
        pairs.append((scanned / rebuilt_s, scanned / scanned_s))
    name = f"rebuild of {scale.rebuild_events:,} events"
    stack.say(f"{name}: " + ", ".join(f"{a:,.0f}/{b:,.0f}" for a, b in pairs))
    return [compared(name, "events/s", "reading them in order", pairs, Target("at least", 0.25))]
