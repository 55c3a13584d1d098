"""The curve of the read rate: against query processes, from Redis, and from PostgreSQL alone."""

from dataclasses import replace

from turnlog_bench.reads import CONCURRENCY, fill
from turnlog_bench.scaling.points import Point
from turnlog_bench.scaling.series import POSTGRES, REDIS
from turnlog_bench.scaling.sizes import Sizes
from turnlog_bench.scaling.slices import read_slices
from turnlog_bench.slices import order
from turnlog_bench.stack import Stack, replicas

NOWHERE = "redis://127.0.0.1:1/0"


async def by_processes(stack: Stack, sizes: Sizes) -> list[Point]:
    """20 recent turns of sessions of 30, by 1, 2, 4 query processes; then the same with a Redis that is not there."""
    scale = replace(sizes.scale, read_sessions=sizes.read_sessions)
    await stack.launch("projector")
    await fill(stack, scale, "read")
    await stack.retire("projector")
    points = []
    for series, more in ((REDIS, {}), (POSTGRES, {"TURNLOG_REDIS_URL": NOWHERE})):
        for count in sizes.query:
            processes = replicas("query", count)
            await stack.retire(*replicas("query", max(sizes.query)))
            await stack.launch(*processes, more=more)
            base = order(stack, scale, "read", "query", CONCURRENCY, "read")
            ours = replace(base, sessions=sizes.read_sessions, more_ports=[stack.ports[p] for p in processes[1:]])
            await stack.load(replace(ours, seconds=0.2, warm_s=0.0))
            other = order(stack, scale, "empty", "empty", CONCURRENCY, "read")
            name = f"reads {series}, {count} processes"
            measured = await read_slices(stack, sizes, name, ours, other, redis=series == REDIS)
            points.append(Point(series, count, measured))
    return points
