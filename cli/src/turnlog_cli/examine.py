"""Looks at each server and tells what it found; no exception of a server leaves here."""

import asyncio
from collections.abc import Sequence
from importlib import import_module

import asyncpg
import httpx
import nats.errors
from redis.asyncio import Redis
from redis.exceptions import RedisError

from turnlog_bus import Bus, BusError
from turnlog_cli.addresses import Addresses
from turnlog_cli.examine_logs import read_models, stream
from turnlog_cli.findings import Finding, State, away, waiting
from turnlog_eventstore import LogHead, SchemaMissing, Store, StoreError, StoreSettings, UnknownLog
from turnlog_runtime.settings import SharedSettings

COMPRESSOR = "compressor"
"""The name of the compressor's checkpoint (`turnlog_compressor.compressor.CONSUMER`; importing it costs a second)."""
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
    if missing or not answer.is_success:
        text = f"{url}: {body['status']}" + (f", away: {', '.join(missing)}" if missing else "")
        state = State.NOTE if answer.is_success else State.BAD
        return [Finding("API", state, text, "see the servers below", states)]
    return [Finding("API", State.OK, f"{url}: ready", facts=states)]


async def postgres(found: Addresses, settings: SharedSettings, only: str | None) -> tuple[list[LogHead], list[Finding]]:
    """PostgreSQL, its schema and each log (or only one of them); also the heads of those that could be read."""
    store = await Store.open(found.database_url, StoreSettings(pool_connections=1, role=settings.database_role))
    try:
        names = [only] if only is not None else await store.logs()
        heads = [await store.head(name) for name in names]
        done = [await store.checkpoint(name, COMPRESSOR) for name in names]
    except SchemaMissing:
        return [], [Finding("PostgreSQL", State.BAD, "holds no schema of Turnlog", "run `turnlog migrate`")]
    except UnknownLog as error:
        return [], [Finding("PostgreSQL", State.BAD, f"has no log {error.log}", "check --log and TURNLOG_LOG")]
    except StoreError as error:
        return [], [away("PostgreSQL", error, "see its log, and check DATABASE_URL")]
    finally:
        await store.close()
    findings = await _server(found.database_owner_url)
    for head, compressed in zip(heads, done, strict=True):
        text = f"{head.log} at position {head.position:,} (incarnation {head.incarnation[:12]})"
        facts = {"log": head.log, "position": head.position, "incarnation": head.incarnation}
        findings += [Finding("log", State.OK, text, facts=facts), waiting(head.log, compressed, head.position)]
    return heads, findings


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


async def nats_server(found: Addresses, settings: SharedSettings, heads: Sequence[LogHead]) -> list[Finding]:
    """NATS and the stream of each log."""
    bus = Bus(found.nats_url)
    store = await Store.open(found.database_url, StoreSettings(pool_connections=1, role=settings.database_role))
    try:
        client = await bus.client()
        server = client.connected_server_version
        version = f"{server.major}.{server.minor}.{server.patch}"
        streams = await asyncio.gather(*(stream(bus, store, head) for head in heads))
        return [Finding("NATS", State.OK, f"{version}, JetStream", facts={"version": version}), *streams]
    except (BusError, StoreError, OSError, TimeoutError, nats.errors.Error) as error:
        return [away("NATS", error, "writes and reads go on without it; check NATS_URL and its log")]
    finally:
        await store.close()
        await bus.close()


async def redis(url: str, heads: Sequence[LogHead]) -> list[Finding]:
    """Redis or Valkey, our functions in it, and the read models of each log."""
    client = Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)
    try:
        info = await client.info("server")
    except (RedisError, OSError) as error:
        return [away("Redis", error, "reads come from PostgreSQL meanwhile; check REDIS_URL and its log")]
    finally:
        await client.aclose()
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version"))
    models = await asyncio.gather(*(read_models(url, head) for head in heads))
    return [Finding("Redis", State.OK, f"{name} {version}", facts={"server": name, "version": version}), *models]
