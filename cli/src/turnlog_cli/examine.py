"""Looks at each server and tells what it found; no exception of a server leaves here."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from importlib import import_module

import asyncpg
import httpx
import nats.errors
from redis.asyncio import Redis
from redis.exceptions import RedisError

from turnlog_bus import Bus, BusError, StreamMissing, StreamName
from turnlog_cli.addresses import Addresses
from turnlog_cli.findings import Finding, State, away, lag, waiting
from turnlog_cli.rebuilding import view_writer
from turnlog_eventstore import LogHead, SchemaMissing, Store, StoreError, StoreSettings, UnknownLog
from turnlog_runtime.settings import SharedSettings
from turnlog_views import ViewsError, ViewWriter

COMPRESSOR = "compressor"
"""The name of the compressor's checkpoint (`turnlog_compressor.compressor.CONSUMER`; importing it costs a second)."""
STILL_S = 3.0
_DURABLE = (("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off"))


async def api(url: str) -> list[Finding]:
    """Whether the HTTP API answers, and what it says of its dependencies."""
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
            answer = await http.get(f"{url}/readyz")
            body = answer.json()
            states = {str(name): str(state) for name, state in body["dependencies"].items()}
    except httpx.HTTPError as error:
        return [away("API", str(error) or type(error).__name__, "start `turnlog up`, or give its address with --url")]
    except (ValueError, LookupError, TypeError, AttributeError):
        return [Finding("API", State.BAD, f"{url} is not Turnlog", "give the right address with --url")]
    missing = [name for name, state in states.items() if state != "ok"]
    if missing:
        text = f"{url}: {body['status']}, away: {', '.join(missing)}"
        state = State.NOTE if answer.is_success else State.BAD
        return [Finding("API", state, text, "see the servers below", states)]
    return [Finding("API", State.OK, f"{url}: ready", facts=states)]


async def postgres(found: Addresses, settings: SharedSettings, log: str) -> tuple[LogHead | None, list[Finding]]:
    """PostgreSQL, its schema and the log; also the log's head when it could be read."""
    store = await Store.open(found.database_url, StoreSettings(pool_connections=1, role=settings.database_role))
    try:
        head = await store.head(log)
        done = await store.checkpoint(log, COMPRESSOR)
    except SchemaMissing:
        return None, [Finding("PostgreSQL", State.BAD, "holds no schema of Turnlog", "run `turnlog migrate`")]
    except UnknownLog:
        return None, [Finding("PostgreSQL", State.BAD, f"has no log {log}", "check --log and TURNLOG_LOG")]
    except StoreError as error:
        return None, [away("PostgreSQL", error, "see its log, and check DATABASE_URL")]
    finally:
        await store.close()
    findings = await _server(found.database_owner_url)
    text = f"{log} at position {head.position:,} (incarnation {head.incarnation[:12]})"
    findings.append(Finding("log", State.OK, text, facts={"position": head.position, "incarnation": head.incarnation}))
    findings.append(waiting(done, head.position))
    return head, findings


async def _server(url: str) -> list[Finding]:
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        return [away("PostgreSQL", error, "the services can, the owner cannot: check TURNLOG_DATABASE_OWNER_URL")]
    try:
        version = await connection.fetchval("show server_version", timeout=5)
        schema = await connection.fetchval("select version_num from turnlog_schema_version", timeout=5)
        weak = [f"{name}={value}" for name, value in _DURABLE if await connection.fetchval(f"show {name}") == value]
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        return [away("PostgreSQL", error, "see its log")]
    finally:
        await connection.close(timeout=5)
    newest = (await asyncio.to_thread(import_module, "turnlog_migrations")).latest()
    facts = {"version": version, "schema": schema, "newest_schema": newest}
    if schema != newest:
        text = f"{version}, schema {schema}, this release has {newest}"
        return [Finding("PostgreSQL", State.BAD, text, "run `turnlog migrate`", facts)]
    if weak:
        advice = "acknowledged turns can be lost in a power cut: turn these on"
        return [Finding("PostgreSQL", State.BAD, f"{version} with {', '.join(weak)}", advice, facts)]
    return [Finding("PostgreSQL", State.OK, f"{version}, schema {schema}, commits are durable", facts=facts)]


async def nats_server(url: str, head: LogHead | None) -> list[Finding]:
    """NATS and the log's stream."""
    bus = Bus(url)
    try:
        client = await bus.client()
        server = client.connected_server_version
        version = f"{server.major}.{server.minor}.{server.patch}"
        findings = [Finding("NATS", State.OK, f"{version}, JetStream", facts={"version": version})]
        if head is not None:
            name = StreamName(head.log, head.incarnation)
            last, moves = await watched(lambda: bus.last_sequence(name), head.position)
            advice = "the relay catches up" if moves else "see logs/api.log; without `up`, start ingest"
            findings.append(lag("stream", name.stream, last, head.position, advice, moves=moves))
    except StreamMissing:
        text = "the log has no stream yet; followers read PostgreSQL"
        findings.append(Finding("stream", State.NOTE, text, "the relay makes it when `turnlog up` or ingest runs"))
    except (BusError, OSError, TimeoutError, nats.errors.Error) as error:
        return [away("NATS", error, "writes and reads go on without it; check NATS_URL and its log")]
    finally:
        await bus.close()
    return findings


async def redis(url: str, log: str, head: LogHead | None) -> list[Finding]:
    """Redis or Valkey, our functions in it, and the read models."""
    client = Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)
    try:
        info = await client.info("server")
    except (RedisError, OSError) as error:
        return [away("Redis", error, "reads come from PostgreSQL meanwhile; check REDIS_URL and its log")]
    finally:
        await client.aclose()
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version"))
    findings = [Finding("Redis", State.OK, f"{name} {version}", facts={"server": name, "version": version})]
    return findings + (await _read_models(url, log, head) if head is not None else [])


async def _read_models(url: str, log: str, head: LogHead) -> list[Finding]:
    writer = view_writer(url, log)
    try:
        await writer.open(head.incarnation, head.epoch)  # sees to it that the functions are there
        reached, moves = await watched(lambda: _lowest(writer), head.position)
        partitions = await writer.partitions()
        unready = sum(not writer.readable(partition) for partition in partitions)
    except ViewsError as error:
        return [away("read models", error, "reads come from PostgreSQL meanwhile")]
    finally:
        await writer.close()
    generations = sorted({partition.generation for partition in partitions})
    what = f"generation {generations[-1]}"
    advice = "the projector catches up" if moves else "see logs/projector.log; without `up`, start the projector"
    found = lag("read models", what, reached, head.position, advice, moves=moves)
    found.facts.update(generations=generations, partitions=len(partitions), unready_partitions=unready)
    if unready and found.state is State.OK:
        text = f"{what}: {unready} of {len(partitions)} partitions are not complete; PostgreSQL answers for them"
        return [Finding("read models", State.NOTE, text, advice, found.facts)]
    return [found]


async def _lowest(writer: ViewWriter) -> int:
    return min(partition.checkpoint for partition in await writer.partitions())


async def watched(position_of: Callable[[], Awaitable[int]], head: int) -> tuple[int, bool]:
    """A consumer's position, and whether it moves: one that is behind is looked at again until it does, or for
    `STILL_S` seconds."""
    first = position = await position_of()
    deadline = time.monotonic() + STILL_S
    while first < head and position == first and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        position = await position_of()
    return position, position > first or first >= head
