"""Curves of the append rate: against logs, ingest processes, turns in a request, and concurrency.

Except where the whole pipeline is meant, projector, compressor and query are not running: on a machine with two cores
they would be what is measured.
"""

from collections.abc import Sequence
from dataclasses import replace

from turnlog_bench.material import TENANT_HEADER
from turnlog_bench.orders import Order
from turnlog_bench.scaling.logs import TENANTS, create, names, slow_flush
from turnlog_bench.scaling.points import Point
from turnlog_bench.scaling.series import APPEND, HUNDREDS, ONE_LOG, OWN_LOGS, PIPELINE, SINGLES, SLOW
from turnlog_bench.scaling.sizes import Sizes
from turnlog_bench.scaling.slices import append_slices
from turnlog_bench.slices import order
from turnlog_bench.stack import LOG, SERVICES, Stack, replicas

SINGLES_CONCURRENCY = 64
HUNDREDS_CONCURRENCY = 16
BATCH_CONCURRENCY = 8
LONG_FROM_TURNS, LONGER = 1_000, 2.5
"""Large requests take so long that a slice has only a few: theirs is longer."""
YARDSTICK_CONCURRENCY = 32
BY_TENANT = {"TURNLOG_TENANT_HEADER": TENANT_HEADER}


async def by_logs(stack: Stack, sizes: Sizes) -> list[Point]:
    """The same 16 tenants and connections over 1, 2, 4, 8 logs: as the disk is, and with a slow flush."""
    points = []
    for count in sizes.logs:
        logs, place = names(count), f"logs{count}"
        await create(stack, logs, place)
        await stack.retire("ingest")
        await stack.launch("ingest", more=BY_TENANT)
        orders = {SINGLES: _singles(stack, sizes, SINGLES_CONCURRENCY, place), HUNDREDS: _hundreds(stack, sizes, place)}
        for series, ours in orders.items():
            await _warm(stack, ours)
            points.append(await _point(stack, sizes, series, count, ours, logs))
        async with slow_flush(stack, sizes.commit_delay_ms):
            for series, ours in orders.items():
                again = replace(ours, prefix=f"slow-{ours.prefix}")
                points.append(await _point(stack, sizes, series + SLOW, count, again, logs))
    return points


async def by_processes(stack: Stack, sizes: Sizes) -> list[Point]:
    """1, 2, 4 ingest processes, all on one log, and with as many logs as processes."""
    points: list[Point] = []
    for count in sizes.ingest:
        for series, logs in ((ONE_LOG, names(1)), (OWN_LOGS, names(count))):
            if series == OWN_LOGS and count == 1:
                points.append(Point(series, 1, points[-1].measured))
                continue
            place = f"{len(logs)}logs{count}"
            await create(stack, logs, place)
            processes = replicas("ingest", count)
            await stack.retire(*replicas("ingest", max(sizes.ingest)))
            await stack.launch(*processes, more=BY_TENANT)
            ours = _singles(stack, sizes, SINGLES_CONCURRENCY, place)
            ours = replace(ours, more_ports=[stack.ports[name] for name in processes[1:]])
            await _warm(stack, ours)
            points.append(await _point(stack, sizes, series, count, ours, logs))
    return points


async def by_batch(stack: Stack, sizes: Sizes) -> list[Point]:
    """1, 10, 100, 1000 turns a request, eight requests at a time."""
    await stack.launch("ingest")
    points = []
    for turns in sizes.batches:
        base = order(stack, sizes.scale, "many", "ingest", BATCH_CONCURRENCY, "batch")
        if turns >= LONG_FROM_TURNS:
            base = replace(base, seconds=LONGER * base.seconds)
        points.append(await _point(stack, sizes, APPEND, turns, replace(base, turns=turns)))
    return points


async def by_concurrency(stack: Stack, sizes: Sizes) -> list[Point]:
    """Single turns from 1 to 256 at a time; then with the whole pipeline, whose CPU is that of all its work."""
    points = []
    await stack.launch("ingest")
    for concurrency in sizes.concurrencies:
        ours = order(stack, sizes.scale, "single", "ingest", concurrency, "at-once")
        points.append(await _point(stack, sizes, APPEND, concurrency, ours))
    await stack.launch(*(name for name in SERVICES if name != "ingest"))

    async def settled() -> None:
        await stack.projected()
        await stack.quiet(sizes.settle_s)

    await settled()
    for concurrency in sizes.pipeline_concurrencies:
        ours = order(stack, sizes.scale, "single", "ingest", concurrency, "pipeline")
        other = _yardstick(stack, sizes)
        name = f"{PIPELINE}, {concurrency} at a time"
        measured = await append_slices(stack, sizes, name, ours, other, settle=settled)
        points.append(Point(PIPELINE, concurrency, measured))
    return points


async def _point(stack: Stack, sizes: Sizes, series: str, x: float, ours: Order, logs: Sequence[str] = (LOG,)) -> Point:
    measured = await append_slices(stack, sizes, f"{series}, {x:g}", ours, _yardstick(stack, sizes), logs)
    return Point(series, x, measured)


def _yardstick(stack: Stack, sizes: Sizes) -> Order:
    return order(stack, sizes.scale, "single", "empty", YARDSTICK_CONCURRENCY, "empty")


def _singles(stack: Stack, sizes: Sizes, concurrency: int, place: str) -> Order:
    return replace(order(stack, sizes.scale, "single", "ingest", concurrency, place), tenants=TENANTS, sessions=20)


def _hundreds(stack: Stack, sizes: Sizes, place: str) -> Order:
    base = order(stack, sizes.scale, "many", "ingest", HUNDREDS_CONCURRENCY, place)
    return replace(base, turns=100, tenants=TENANTS, sessions=20)


async def _warm(stack: Stack, ours: Order) -> None:
    """Every tenant's log is known, every session begun."""
    await stack.load(replace(ours, kind="single", turns=1, seconds=0.3, warm_s=0.0, prefix=f"warm-{ours.prefix}"))
