"""PostgreSQL, NATS and Redis, asked directly: versions, sizes, and the newest sessions. Never raises for a server."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import nats.errors
from redis.asyncio import Redis
from redis.exceptions import RedisError

from turnlog_bus import Bus, BusError
from turnlog_cli.top.view import Server, Session, Sessions, Stores

LOOK_S = 3.0
RECENT_EVENTS = 2_000
COUNTED = 10_000
ACTIVE_S = 60.0
NEWEST = 20

_SERVER = """
    select current_setting('server_version') as version,
           pg_database_size(current_database()) as disk_bytes,
           (select count(*) from pg_stat_activity where datname = current_database()) as connections"""
_COUNT = """
    select (select count(*) from (select 1 from turnlog.sessions limit $1 + 1) s) as counted,
           (select reltuples::bigint from pg_class where oid = 'turnlog.sessions'::regclass) as estimate"""
_RECENT = """
    select e.log, e.tenant, e.session_id, coalesce(max(e.version), 0) as version, count(*) as events,
           extract(epoch from clock_timestamp())::float8 - max(e.recorded_at_us) / 1e6 as age_s
    from turnlog.logs l
    cross join lateral (
        select log, tenant, session_id, version, recorded_at_us
        from turnlog.events where log = l.log order by log desc, position desc limit $1
    ) e
    group by e.log, e.tenant, e.session_id order by age_s"""


@dataclass(frozen=True)
class Known:
    """The addresses that are known here; "" for one that is not."""

    database_url: str = ""
    nats_url: str = ""
    redis_url: str = ""


async def stores_of(known: Known) -> Stores:
    """What they say within `LOOK_S` seconds, all at once."""
    if not (known.database_url or known.nats_url or known.redis_url):
        return Stores(unasked="not asked: DATABASE_URL, NATS_URL and REDIS_URL are not set here")
    postgres, *others = await asyncio.gather(
        _within("PostgreSQL", known.database_url, _postgres),
        _within("NATS", known.nats_url, _nats),
        _within("Redis", known.redis_url, _redis),
    )
    found = [server for server, _ in (postgres, *others) if server is not None]
    return Stores(tuple(found), postgres[1])


Answer = tuple[Server | None, Sessions | None]


async def _within(name: str, url: str, ask: Callable[[str], Awaitable[Answer]]) -> Answer:
    """The answer; or that there is none in time, without waiting for a driver that swallows its cancellation."""
    if not url:
        return None, None
    asking = asyncio.ensure_future(ask(url))
    done, _ = await asyncio.wait({asking}, timeout=LOOK_S)
    if not done:
        asking.cancel()
        asking.add_done_callback(_heard)
        return Server(name, away=f"no answer within {LOOK_S:g} s"), None
    try:
        return asking.result()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, RedisError, BusError, nats.errors.Error) as error:
        return Server(name, away=_first_line(error)), None


def _heard(asking: "asyncio.Future[Any]") -> None:
    if not asking.cancelled():
        asking.exception()


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


async def _postgres(url: str) -> Answer:
    connection = await asyncpg.connect(url, timeout=LOOK_S)
    try:
        (row,) = await connection.fetch(_SERVER)
        facts = dict(row)
        server = Server("PostgreSQL", facts.pop("version").split()[0], facts)
        try:
            ((counted, estimate),) = await connection.fetch(_COUNT, COUNTED)
            recent = await connection.fetch(_RECENT, RECENT_EVENTS)
        except asyncpg.PostgresError:  # no schema yet, or a user who may not see them
            return server, None
    finally:
        connection.terminate()
    newest = tuple(
        Session(r["session_id"], r["tenant"], r["log"], r["version"], max(0.0, r["age_s"])) for r in recent[:NEWEST]
    )
    ages = [row["age_s"] for row in recent]
    full = any(
        sum(r["events"] for r in recent if r["log"] == log) >= RECENT_EVENTS for log in {r["log"] for r in recent}
    )
    active = sum(age <= ACTIVE_S for age in ages)
    about = counted > COUNTED
    total = max(estimate, counted) if about else counted
    return server, Sessions(total, about, active, full and active == len(ages), newest)


async def _nats(url: str) -> Answer:
    bus = Bus(url)
    try:
        client = await bus.client()
        version = client.connected_server_version
        account = await client.jetstream(timeout=LOOK_S).account_info()
        facts = {"disk_bytes": account.storage, "memory_bytes": account.memory, "streams": account.streams}
        return Server("NATS", f"{version.major}.{version.minor}.{version.patch}", facts), None
    finally:
        await bus.close()


async def _redis(url: str) -> Answer:
    client = Redis.from_url(url, socket_timeout=LOOK_S, socket_connect_timeout=LOOK_S)
    try:
        info = await client.info()
    finally:
        await client.aclose()
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version"))
    return Server(name, version, {"memory_bytes": info["used_memory"], "connections": info["connected_clients"]}), None
