"""Figures of latency at a tenth of the full load, beside a lone durable one-row INSERT; and of freshness."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import orjson
import redis.asyncio

from turnlog_bench import material
from turnlog_bench.figures import Figure, Target, compared, percentile, plain
from turnlog_bench.process import MeasureFailed
from turnlog_bench.scale import Scale
from turnlog_bench.slices import order
from turnlog_bench.stack import LOG, Stack
from turnlog_bench.writes import counted_turns
from turnlog_events.ids import DEFAULT_TENANT, new_id
from turnlog_views.keys import LogKeys, identity_of, partition_of
from turnlog_views.partitions import FIRST_GENERATION

INSERT = "insert into bench_rows (payload) values ($1)"
PROBES_PER_S = 40.0
PROBE_SESSIONS = 50
VISIBLE_S = 10.0
POLL_S = 0.001
AT_MOST = Target("at most", 3.0)


@asynccontextmanager
async def insert_table(stack: Stack) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection to a plain table with the payload column of the log, on the same server."""
    connection = await asyncpg.connect(stack.servers.postgres_dsn)
    try:
        await connection.execute(
            "create table if not exists bench_rows (id bigserial primary key, payload bytea not null)"
        )
        if (
            await connection.fetchval("show synchronous_commit") != "on"
            or await connection.fetchval("show fsync") != "on"
        ):
            raise MeasureFailed("PostgreSQL does not make commits durable")
        yield connection
    finally:
        await connection.close()


async def at_a_tenth(stack: Stack, scale: Scale, setting: str, full: dict[int, float]) -> list[Figure]:
    """Median latency of single turns that arrive at a tenth of the full rate, by its concurrency.

    Beside two yardsticks: lone inserts one right after the other (the processor never sleeps), and lone inserts that
    arrive at the pace of the turns (both wake up for each).
    """
    figures = []
    async with insert_table(stack) as connection:
        for concurrency, per_s in full.items():
            busy, paced, tails = [], [], []
            async with counted_turns(stack) as acknowledged:
                for _ in range(scale.pairs):
                    base = order(stack, scale, "single", "ingest", concurrency, "tenth")
                    outcome = await stack.load(replace(base, per_s=per_s / 10))
                    acknowledged.append(outcome.accepted)
                    ours = percentile(outcome.latencies_ms, 0.5)
                    tails += outcome.latencies_ms
                    stack.pause_followers()
                    try:
                        busy.append((ours, await _lone_inserts(connection, scale.slice_s / 2, 0.0)))
                        paced.append((ours, await _lone_inserts(connection, scale.slice_s / 2, per_s / 10)))
                    finally:
                        stack.resume_followers()
            name = f"latency at a tenth of the rate at {concurrency} concurrent ({per_s / 10:,.0f}/s), {setting}"
            stack.say(
                f"{name}: " + ", ".join(f"{a:.2f}/{b:.2f}/{c:.2f}" for (a, b), (_, c) in zip(busy, paced, strict=True))
            )
            figures.append(compared(name, "ms (median)", "lone INSERTs back to back", busy, AT_MOST))
            figures.append(compared(f"{name}, at one pace", "ms (median)", "lone INSERTs at that pace", paced, AT_MOST))
            figures.append(plain(f"{name}: p99", percentile(tails, 0.99), "ms"))
    return figures


async def _lone_inserts(connection: "asyncpg.Connection[asyncpg.Record]", seconds: float, per_s: float) -> float:
    """Median milliseconds of inserts, never two at once: one after the other, or (`per_s`) at a pace."""
    statement = await connection.prepare(INSERT)
    payload = material.events("s", "p", [0])[0].payload
    took = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        await statement.fetch(payload)
        took.append(1e3 * (time.perf_counter() - began))
        if per_s:
            await asyncio.sleep(max(0.0, began + 1 / per_s - time.perf_counter()))
    return percentile(took, 0.5)


async def freshness(stack: Stack, scale: Scale, full_per_s: float) -> list[Figure]:
    """From the acknowledgement of a turn to its version in Redis, while half the full rate goes on."""
    seconds = scale.probes / PROBES_PER_S
    base = order(stack, scale, "single", "ingest", 32, "background")
    background = replace(base, seconds=seconds + 1.0, per_s=full_per_s / 2)
    async with counted_turns(stack) as acknowledged:
        async with asyncio.TaskGroup() as group:
            loading = group.create_task(stack.load(background))
            await asyncio.sleep(scale.warm_s + 0.5)
            took = await _probes(stack, scale.probes)
        outcome = loading.result()
        acknowledged += [outcome.accepted, len(took)]
    name = f"freshness at half the full rate ({full_per_s / 2:,.0f}/s)"
    stack.say(f"{name}: background reached {outcome.per_s:,.0f}/s")
    return [
        plain(f"{name}: p50", percentile(took, 0.5), "ms", Target("at most", 10.0)),
        plain(f"{name}: p99", percentile(took, 0.99), "ms", Target("at most", 50.0)),
    ]


async def _probes(stack: Stack, count: int) -> list[float]:
    """Store probe turns at a steady pace and time each from acknowledged to visible, in milliseconds."""
    head = await stack.store.head(LOG)
    keys = LogKeys(LOG, head.incarnation)
    client = redis.asyncio.Redis.from_url(stack.servers.redis_url)
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.ports["ingest"])
    prefix = new_id()
    took = []
    try:
        for n in range(count):
            next_at = time.perf_counter() + 1 / PROBES_PER_S
            session_id = f"{prefix}-{n % PROBE_SESSIONS}"
            body = material.turn_json(n, f"{prefix}.{n}")
            (post,) = material.showing(stack.key, [material.post(f"/v1/sessions/{session_id}/turns", body)])
            writer.write(post)
            version = await _stored_version(reader)
            acknowledged = time.perf_counter()
            await _visible(client, keys, session_id, version)
            took.append(1e3 * (time.perf_counter() - acknowledged))
            await asyncio.sleep(max(0.0, next_at - time.perf_counter()))
    finally:
        writer.close()
        await client.aclose()
    return took


async def _stored_version(reader: asyncio.StreamReader) -> int:
    async with asyncio.timeout(VISIBLE_S):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        body = await reader.readexactly(length)
    if head[9:12] != b"201":
        raise MeasureFailed(f"a probe was answered {head[9:12].decode()}")
    return int(orjson.loads(body)["version"])


async def _visible(client: "redis.asyncio.Redis", keys: LogKeys, session_id: str, version: int) -> None:
    """Wait until the session's head in Redis is at the version, looking every millisecond."""
    identity = identity_of(DEFAULT_TENANT, session_id)
    key = keys.session(partition_of(identity), FIRST_GENERATION, identity)[0]
    until = time.perf_counter() + VISIBLE_S
    while int(await client.hget(key, "v") or 0) < version:
        if time.perf_counter() > until:
            raise MeasureFailed(f"a probe was not in Redis after {VISIBLE_S:g} s")
        await asyncio.sleep(POLL_S)
