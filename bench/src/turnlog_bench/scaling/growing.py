"""Curves of what is stored already: append and read rate against turns, append rate against tenants, rebuild rate
against events."""

import time
from dataclasses import replace

from turnlog_bench.process import MeasureFailed
from turnlog_bench.rebuilding import PAGE_EVENTS, REBUILD_LOG, append_directly, new_log
from turnlog_bench.scaling.appending import BY_TENANT, YARDSTICK_CONCURRENCY
from turnlog_bench.scaling.points import Point
from turnlog_bench.scaling.series import APPENDS, READS, REBUILDS
from turnlog_bench.scaling.sizes import Sizes
from turnlog_bench.scaling.slices import append_slices, read_slices
from turnlog_bench.scaling.storing import fill
from turnlog_bench.slices import order
from turnlog_bench.stack import Stack
from turnlog_projector.rebuild import RebuildOptions, rebuild
from turnlog_views import ViewWriter

TURNS_PER_SESSION = 50
SESSIONS_READ = 100
CONCURRENCY = 32


async def by_turns(stack: Stack, sizes: Sizes) -> list[Point]:
    """Single turns into, and reads of, sessions of 50 turns, when 10 thousand, 100 thousand, a million are stored.

    The rate stays in the same few sessions, whose state is then in every cache; what grows is the rest.
    """
    await stack.launch("ingest", "query", "projector")
    points, stored = [], 0
    for wanted in sizes.turns_stored:
        await fill(stack, "grow", range(stored, wanted // TURNS_PER_SESSION), range(TURNS_PER_SESSION))
        stored = wanted // TURNS_PER_SESSION
        await stack.projected(sizes.settle_s)
        await stack.quiet(sizes.settle_s, ("projector",))
        ours = order(stack, sizes.scale, "single", "ingest", CONCURRENCY, "grow")
        ours = replace(ours, sessions=min(SESSIONS_READ, stored))
        other = order(stack, sizes.scale, "single", "empty", YARDSTICK_CONCURRENCY, "empty")
        stack.pause_followers()
        measured = await append_slices(stack, sizes, f"appends, {wanted:,} stored", ours, other)
        points.append(Point(APPENDS, wanted, measured))
        await stack.projected(sizes.settle_s)
        reads = replace(order(stack, sizes.scale, "read", "query", CONCURRENCY, "grow"), sessions=ours.sessions)
        other = order(stack, sizes.scale, "empty", "empty", CONCURRENCY, "grow")
        measured = await read_slices(stack, sizes, f"reads, {wanted:,} stored", reads, other, redis=True)
        points.append(Point(READS, wanted, measured))
    return points


async def by_tenants(stack: Stack, sizes: Sizes) -> list[Point]:
    """Single turns of 1, 100, 10,000 tenants with one session each, all known before."""
    await stack.launch("ingest", more=BY_TENANT)
    points = []
    for count in sizes.tenants:
        place = f"of{count}"
        await fill(stack, place, range(count), range(1), place)
        base = order(stack, sizes.scale, "single", "ingest", CONCURRENCY, place)
        ours = replace(base, tenants=count, sessions=1)
        await stack.load(replace(ours, prefix=f"warm-{ours.prefix}"))
        other = order(stack, sizes.scale, "single", "empty", YARDSTICK_CONCURRENCY, "empty")
        points.append(Point(APPENDS, count, await append_slices(stack, sizes, f"{count:,} tenants", ours, other)))
    return points


async def by_events(stack: Stack, sizes: Sizes) -> list[Point]:
    """Rebuilds of a log of its own as it grows, beside reading the same events in order."""
    await new_log(stack, REBUILD_LOG)
    points, stored = [], 0
    for wanted in sizes.rebuilds:
        await append_directly(stack, REBUILD_LOG, "rebuild", stored, wanted, max(1, wanted // TURNS_PER_SESSION))
        stored = wanted
        rebuilt: list[float] = []
        read: list[float] = []
        for _ in range(sizes.slices):
            rebuilt.append(await _rebuilt(stack, wanted))
            read.append(await _read(stack, wanted))
        stack.say(
            f"rebuild of {wanted:,}: " + ", ".join(f"{a:,.0f}/{b:,.0f}" for a, b in zip(rebuilt, read, strict=True))
        )
        points.append(Point(REBUILDS, wanted, {"events_per_s": rebuilt, "yardstick_per_s": read}))
    return points


async def _rebuilt(stack: Stack, events: int) -> float:
    began = time.perf_counter()
    writer = ViewWriter(stack.servers.redis_url, REBUILD_LOG)
    report = await rebuild(stack.store, writer, options=RebuildOptions(keep_s=0))
    if report.position != events:
        raise MeasureFailed(f"rebuilt {report.position} of {events} events")
    return events / (time.perf_counter() - began)


async def _read(stack: Stack, events: int) -> float:
    began, scanned = time.perf_counter(), 0
    async for batch in stack.store.scan(REBUILD_LOG, 0, PAGE_EVENTS):
        scanned += len(batch)
    if scanned != events:
        raise MeasureFailed(f"read {scanned} of {events} events")
    return events / (time.perf_counter() - began)
