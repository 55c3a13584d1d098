"""Figures of writing: single turns at full speed beside an endpoint that does nothing, and turns by the hundred beside
the append function."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from turnlog_bench import material
from turnlog_bench.figures import CPU_OF, Figure, Target, compared, plain
from turnlog_bench.process import MeasureFailed
from turnlog_bench.scale import Scale
from turnlog_bench.slices import Series, alternate, order
from turnlog_bench.stack import LOG, Stack
from turnlog_events.event import TURN_STORED
from turnlog_events.ids import new_id
from turnlog_eventstore import AppendRequest

CONCURRENCIES = (32, 128)
ALONE, WITH_FOLLOWERS = "followers stopped", "whole pipeline"
TARGETS = {ALONE: Target("at least", 1.0), WITH_FOLLOWERS: Target("at least", 0.6)}
TURNS_AT_ONCE = 100
EMPTY_POST = "empty FastAPI endpoint, same body"
SCAN_EVENTS = 5_000


@asynccontextmanager
async def counted_turns(stack: Stack, logs: Sequence[str] = (LOG,)) -> AsyncIterator[list[int]]:
    """Check afterwards that the logs together grew by exactly the turns put into the list (numbers of them), each of
    them without a hole."""
    before = {log: await stack.head(log) for log in logs}
    acknowledged: list[int] = []
    yield acknowledged
    stored = 0
    for log, head in before.items():
        async for batch in stack.store.scan(log, head, SCAN_EVENTS):
            stored += sum(event.type == TURN_STORED for event in batch)
            head += len(batch)
            if batch[-1].position != head:
                raise MeasureFailed(f"log {log} has a hole before position {batch[-1].position}")
    if stored != sum(acknowledged):
        raise MeasureFailed(f"{sum(acknowledged)} turns were acknowledged, {stored} are in the log")


async def single_turns(stack: Stack, scale: Scale, setting: str) -> list[Figure]:
    """POST of one turn at 32 and 128 concurrent, as many a second as possible."""
    figures = []
    for concurrency in CONCURRENCIES:
        name = f"POST of one turn, {concurrency} concurrent, {setting}"
        ours = order(stack, scale, "single", "ingest", concurrency, "bench")
        other = order(stack, scale, "single", "empty", concurrency, "bench")
        async with counted_turns(stack) as acknowledged:
            series = await alternate(stack, scale, name, ours, other)
            acknowledged.append(series.accepted)
        figures.append(compared(name, "turns/s", EMPTY_POST, series.rates, TARGETS[setting]))
        figures += cpu_figures(name, series)
    return figures


def cpu_figures(name: str, series: Series) -> list[Figure]:
    """CPU time per request, by process, and the share of a core that the generator used."""
    figures = [plain(f"{name}{CPU_OF}{process}", us, "µs/request") for process, us in series.cpu_us().items()]
    busiest = max(outcome.cpu_share for outcome in series.ours + series.other)
    return [*figures, plain(f"{name}: load generator's share of a core", busiest, "cores", Target("at most", 0.6))]


async def generator_ceiling(stack: Stack, scale: Scale, figures: list[Figure]) -> list[Figure]:
    """What the generator reaches against a server that costs next to nothing, beside the most that it measured."""
    fastest = max((f for f in figures if f.unit == "turns/s"), key=lambda f: max(f.value, f.yardstick_value or 0.0))
    most = max(fastest.value, fastest.yardstick_value or 0.0)
    reached = []
    for _ in range(scale.pairs):
        outcome = await stack.load(order(stack, scale, "same", "ceiling", max(CONCURRENCIES), "bench"))
        reached.append((outcome.per_s, most))
    return [
        compared("load generator against a raw responder", "requests/s", "most that it measured here", reached,
                 Target("at least", 3.0))
    ]  # fmt: skip


async def hundreds(stack: Stack, scale: Scale) -> list[Figure]:
    """POST of 100 turns beside the append function called with 100 events, one and eight at a time."""
    figures = []
    for concurrency in (1, 8):
        pairs = []
        async with counted_turns(stack) as acknowledged:
            for _ in range(scale.pairs):
                base = order(stack, scale, "many", "ingest", concurrency, "hundred")
                ours = await stack.load(replace(base, turns=TURNS_AT_ONCE))
                appended, per_s = await _append_for(stack, scale, concurrency)
                acknowledged += [ours.accepted * TURNS_AT_ONCE, appended]
                pairs.append((ours.per_s * TURNS_AT_ONCE, per_s))
        name = f"POST of 100 turns, {concurrency} at a time"
        stack.say(f"{name}: " + ", ".join(f"{a:,.0f}/{b:,.0f}" for a, b in pairs))
        figures.append(
            compared(name, "turns/s", f"Store.append of 100, {concurrency} at a time", pairs, Target("at least", 0.6))
        )
    return figures


async def _append_for(stack: Stack, scale: Scale, concurrency: int) -> tuple[int, float]:
    """Append requests of 100 events as the HTTP side sends them, for one slice: events in all, and per second."""
    prefix = new_id()
    span_s = scale.slice_s + scale.warm_s
    prepared = [
        AppendRequest(material.events(f"append-{n % scale.sessions}", f"{prefix}.{n}", range(n, n + TURNS_AT_ONCE)))
        for n in range(int(250 * span_s) + concurrency)
    ]
    requests = iter(prepared)
    began = time.perf_counter()
    count_from, until = began + scale.warm_s, began + span_s
    total = counted = 0

    async def caller() -> None:
        nonlocal total, counted
        while time.perf_counter() < until and (request := next(requests, None)) is not None:
            await stack.store.append(LOG, [request])
            total += TURNS_AT_ONCE
            if count_from <= time.perf_counter() < until:
                counted += TURNS_AT_ONCE

    async with asyncio.TaskGroup() as callers:
        for _ in range(concurrency):
            callers.create_task(caller())
    return total, counted / (min(time.perf_counter(), until) - count_from)
