"""The curve of bytes: memory of each process and server, and bytes on disk, against sessions; and what summaries are.

Two kinds of stage tell the cost of a session from that of a turn: more sessions of equally many turns, then more turns
in the same sessions. All services run.
"""

from collections.abc import Sequence
from pathlib import Path

import asyncpg
import redis.asyncio

from turnlog_bench import material
from turnlog_bench.process import MeasureFailed
from turnlog_bench.scaling.points import Point
from turnlog_bench.scaling.series import MORE_SESSIONS, MORE_TURNS, SUMMARIES
from turnlog_bench.scaling.sizes import Sizes
from turnlog_bench.scaling.slices import scraped, summed
from turnlog_bench.stack import LOG, SERVICES, Stack
from turnlog_compressor.prompt import prompt_for_turns
from turnlog_compressor.source import SourceTurn
from turnlog_eventstore import AppendRequest

BATCH_EVENTS = 1_000
NO_IDLE = {"TURNLOG_COMPRESS_IDLE_S": "86400", "TURNLOG_COMPRESS_PENDING_SESSIONS": "200000"}
"""No session becomes due for a summary only because the run takes long, or because many others wait."""
LEAF_TOKENS = 400
_TABLES = """
    select coalesce(sum(pg_table_size(c.oid)) filter (where c.relname = 'events'), 0) as events_bytes,
           coalesce(sum(pg_indexes_size(c.oid)) filter (where c.relname = 'events'), 0) as indexes_bytes,
           coalesce(sum(pg_total_relation_size(c.oid)), 0) as postgres_bytes
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'turnlog' and c.relkind = 'r'
"""
_INDEXES = """
    select i.relname, pg_relation_size(i.oid) from pg_index x join pg_class i on i.oid = x.indexrelid
    where x.indrelid = 'turnlog.events'::regclass order by 1
"""
_SUMMARIES = """
    select count(*)::float8 as summaries, avg(length(payload))::float8 as summary_bytes,
           count(*) filter (where level = 1)::float8 as leaves,
           avg(to_version - from_version + 1) filter (where level = 1)::float8 as covered_turns,
           avg(tokens_in) filter (where level = 1)::float8 as covered_tokens
    from turnlog.events,
         jsonb_to_record(convert_from(payload, 'UTF8')::jsonb)
             as x (level integer, from_version integer, to_version integer, tokens_in integer)
    where type = 'MemorySummarized'
"""
_TURN_BYTES = "select avg(length(payload))::float8 from turnlog.events where type = 'MemoryTurnStored'"


async def by_sessions(stack: Stack, sizes: Sizes) -> list[Point]:
    """Fill and weigh, stage by stage."""
    await stack.launch(*SERVICES, more=NO_IDLE)
    points, stored = [], 0
    for sessions in sizes.sessions:
        await fill(stack, "hold", range(stored, sessions), range(sizes.turns_each))
        stored = sessions
        points.append(await _weighed(stack, sizes, MORE_SESSIONS, sessions, sessions * sizes.turns_each))
    deep = min(stored, sizes.deep_sessions)
    await fill(stack, "hold", range(deep), range(sizes.turns_each, sizes.deep_turns))
    turns = stored * sizes.turns_each + deep * (sizes.deep_turns - sizes.turns_each)
    points.append(await _weighed(stack, sizes, MORE_TURNS, stored, turns))
    points.append(await _summarised(stack, sizes))
    return points


async def fill(stack: Stack, place: str, sessions: range, turns: range, tenant: str | None = None) -> None:
    """Store these turns of each session directly, in large appends. With `tenant` each session is that of a tenant of
    its own, whose name begins so."""
    at_once = max(1, BATCH_EVENTS // max(1, len(turns)))
    for first in range(sessions.start, sessions.stop, at_once):
        numbers = range(first, min(first + at_once, sessions.stop))
        requests = []
        for n in numbers:
            owner = {} if tenant is None else {"tenant": material.tenant_of(tenant, n)}
            session = f"{place}-{n if tenant is None else 0}"
            requests.append(AppendRequest(material.events(session, f"{place}.{n}", turns, **owner)))
        await stack.store.append(LOG, requests)
        stack.check()


async def settled(stack: Stack, sizes: Sizes) -> None:
    """Wait until everything that follows the log, and JetStream, have all of it."""

    async def relayed() -> bool:
        return summed(await scraped(stack.ports["ingest"]), "turnlog_relayed_events_total") >= await stack.head()

    await stack.projected(sizes.settle_s)
    await stack.until(relayed, sizes.settle_s, "the relay to publish everything")
    await stack.quiet(sizes.settle_s)


async def _weighed(stack: Stack, sizes: Sizes, series: str, sessions: int, turns: int) -> Point:
    if await stack.head() != turns:
        raise MeasureFailed(f"the log has {await stack.head()} events, not {turns}")
    await settled(stack, sizes)
    measured = {f"{name}_pss_bytes": 1024 * kib for name, kib in stack.memory_kib().items()}
    measured |= await _disk(stack)
    measured["sessions"], measured["turns"] = float(sessions), float(turns)
    stack.say(f"{sessions:,} sessions, {turns:,} turns: {_shown(measured)}")
    return Point(series, sessions, {name: [value] for name, value in measured.items()})


def _shown(measured: dict[str, float]) -> str:
    names = ("valkey_bytes", "jetstream_bytes", "postgres_bytes")
    return ", ".join(f"{name.removesuffix('_bytes')} {measured[name] / 1024**2:,.1f} MiB" for name in names)


async def _disk(stack: Stack) -> dict[str, float]:
    """Bytes that the servers hold: the tables and each index, the stream, the data set of Redis."""
    connection = await asyncpg.connect(stack.servers.postgres_dsn)
    try:
        found = {name: float(size) for name, size in (await connection.fetchrow(_TABLES) or {}).items()}
        for name, size in await connection.fetch(_INDEXES):
            found[f"{name}_bytes"] = float(size)
    finally:
        await connection.close()
    client = redis.asyncio.Redis.from_url(stack.servers.redis_url)
    try:
        memory = await client.info("memory")
    finally:
        await client.aclose()
    found["valkey_bytes"] = float(memory["used_memory"])
    found["jetstream_bytes"] = float(_bytes_below(stack.servers.data_dir_of("nats")))
    return found


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


async def _summarised(stack: Stack, sizes: Sizes) -> Point:
    """New sessions that become due: how many summaries a turn costs, their bytes, the compressor's CPU, and the tokens
    that a model would be shown for the same turns (counted by the prompt that it would get)."""
    before = stack.cpu()["compressor"]
    await fill(stack, "told", range(sizes.summarised_sessions), range(sizes.summarised_turns))
    await settled(stack, sizes)
    turns = sizes.summarised_sessions * sizes.summarised_turns
    connection = await asyncpg.connect(stack.servers.postgres_dsn)
    try:
        made = dict(await connection.fetchrow(_SUMMARIES) or {})
        turn_bytes = await connection.fetchval(_TURN_BYTES)
    finally:
        await connection.close()
    if not made.get("leaves"):
        raise MeasureFailed(f"{turns} turns were stored and nothing was summarised")
    covered = round(made["covered_turns"])
    measured = {
        **made,
        "turns": float(turns),
        "turn_payload_bytes": turn_bytes,
        "summaries_per_turn": made["summaries"] / made["leaves"] / made["covered_turns"],
        "compressor_us": 1e6 * (stack.cpu()["compressor"] - before) / turns,
        "prompt_tokens": float(prompt_for_turns(_shown_turns(covered), LEAF_TOKENS).tokens),
        "answer_tokens_at_most": float(LEAF_TOKENS),
    }
    stack.say(f"summaries: {made['summaries']:,.0f} of {turns:,} turns")
    return Point(SUMMARIES, sizes.summarised_sessions, {name: [value] for name, value in measured.items()})


def _shown_turns(count: int) -> Sequence[SourceTurn]:
    texts = material.contents()
    return [
        SourceTurn(n + 1, "assistant" if n % 2 else "user", "", texts[n % len(texts)], "2026-11-26T08:00:00Z")
        for n in range(count)
    ]
