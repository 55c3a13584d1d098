"""Asks Redis or Valkey for what `judge_redis` judges."""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError

from turnlog_cli.diagnosis.findings import Finding, bad, not_reached
from turnlog_cli.diagnosis.judge_redis import SUBJECT, RedisSeen, judge_redis
from turnlog_cli.diagnosis.of_logs import read_models
from turnlog_eventstore import LogHead, Store

STEP_S = 4.0


async def redis(url: str, store: Store, heads: Sequence[LogHead]) -> list[Finding]:
    """Redis or Valkey, and the read models of each log."""
    client = Redis.from_url(url, socket_timeout=STEP_S, socket_connect_timeout=STEP_S)
    try:
        info = await client.info("everything")
    except (RedisError, OSError, ValueError) as error:
        return [redis_away(error)]
    finally:
        await client.aclose()
    models = await asyncio.gather(*(read_models(url, store, head) for head in heads))
    return [*judge_redis(seen_in(info)), *models]


def redis_away(error: object) -> Finding:
    """It does not answer."""
    login = isinstance(error, AuthenticationError)
    return bad(
        SUBJECT,
        not_reached(SUBJECT, error),
        "Writes go on. PostgreSQL answers every read, slower; each process counts limits for itself alone.",
        "check user and password in TURNLOG_REDIS_URL"
        if login
        else "start it, or let it go on if it is paused; see its log (logs/valkey.log for `turnlog up`); check "
        "TURNLOG_REDIS_URL",
        "redis",
    )


def seen_in(info: dict[str, Any]) -> RedisSeen:
    """The facts in INFO."""
    valkey = "valkey_version" in info
    return RedisSeen(
        name="Valkey" if valkey else "Redis",
        version=str(info["valkey_version"] if valkey else info.get("redis_version", "")),
        role=str(info.get("role", "master")),
        loading=str(info.get("loading", "0")) not in ("0", "False"),
        cluster=str(info.get("cluster_enabled", "0")) not in ("0", "False"),
        used_bytes=int(info.get("used_memory", 0)),
        maxmemory_bytes=int(info.get("maxmemory", 0)),
        policy=str(info.get("maxmemory_policy", "")),
        evicted_keys=int(info.get("evicted_keys", 0)),
        expired_keys=int(info.get("expired_keys", 0)),
        snapshot_failed=str(info.get("rdb_last_bgsave_status", "ok")) != "ok",
    )
