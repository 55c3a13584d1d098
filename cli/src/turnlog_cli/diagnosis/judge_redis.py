"""Redis or Valkey: what was seen → findings. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from turnlog_cli.diagnosis.findings import Finding, bad, note, size, well

OLDEST = {"Redis": (7, 0), "Valkey": (7, 2)}
NEARLY_FULL = 0.9
SUBJECT = "Redis"


@dataclass(frozen=True, slots=True)
class RedisSeen:
    """What INFO says. `maxmemory_bytes` 0: no bound."""

    name: str
    version: str
    role: str
    loading: bool
    cluster: bool
    used_bytes: int
    maxmemory_bytes: int
    policy: str
    evicted_keys: int
    expired_keys: int = 0
    snapshot_failed: bool = False


def judge_redis(seen: RedisSeen) -> list[Finding]:
    """What needs somebody; the first finding says what server it is."""
    bound = f" of {size(seen.maxmemory_bytes)}" if seen.maxmemory_bytes else ""
    about = {
        "server": seen.name,
        "version": seen.version,
        "used_bytes": seen.used_bytes,
        "maxmemory_bytes": seen.maxmemory_bytes,
        "maxmemory_policy": seen.policy,
        "evicted_keys": seen.evicted_keys,
    }
    text = f"{seen.name} {seen.version}, {size(seen.used_bytes)}{bound} in use"
    return [well(SUBJECT, text, **about), *_server(seen), *_memory(seen)]


def _server(seen: RedisSeen) -> Iterator[Finding]:
    oldest = OLDEST.get(seen.name, (0, 0))
    if _numbers(seen.version) < oldest:
        least = ".".join(map(str, oldest))
        yield bad(
            SUBJECT,
            f"{seen.name} {seen.version} is older than {least}",
            "It knows no functions: there are no read models, PostgreSQL answers every read, slower.",
            f"run {seen.name} {least} or newer",
            "redis",
        )
    if seen.role not in ("master", "primary"):
        yield bad(
            SUBJECT,
            "this server is a replica: it is read-only",
            "The projector cannot write: reads come from PostgreSQL, slower. Nothing is lost.",
            "point TURNLOG_REDIS_URL at the primary, or make this one the primary (`replicaof no one`)",
            "redis",
        )
    if seen.loading:
        yield note(
            SUBJECT,
            "is loading its data from disk",
            "Reads come from PostgreSQL until it is done.",
            "wait; it says how far it is in `INFO persistence`",
            "redis",
        )
    if seen.cluster:
        yield note(
            SUBJECT,
            "this is a Redis Cluster",
            "All read models of a log must be on one server: the switch at the end of a rebuild fails here.",
            "give each deployment one server (with replicas, if it shall fail over)",
            "redis",
        )
    if seen.snapshot_failed:
        yield note(
            SUBJECT,
            "its last snapshot to disk failed",
            "After a restart the read models are built again from the log; it may also refuse writes meanwhile.",
            "see its log; give the disk room, or turn snapshots off: nothing here needs them (`config set save ''`)",
            "redis",
        )


def _memory(seen: RedisSeen) -> Iterator[Finding]:
    if not seen.maxmemory_bytes:
        return
    if seen.policy.startswith("allkeys"):
        yield bad(
            SUBJECT,
            f"maxmemory-policy is {seen.policy}, {seen.evicted_keys:,} keys were thrown away so far",
            "It may throw away any key, those that say how far each partition is among them: these partitions are "
            "built again then, and PostgreSQL answers for them meanwhile. No answer is wrong, many are slow.",
            "`config set maxmemory-policy noeviction` (and in redis.conf), and let TURNLOG_VIEW_IDLE_S take idle "
            "sessions out of memory",
            "redis",
        )
    if seen.used_bytes >= NEARLY_FULL * seen.maxmemory_bytes:
        yield (bad if seen.policy == "noeviction" else note)(
            SUBJECT,
            f"{size(seen.used_bytes)} of {size(seen.maxmemory_bytes)} are in use",
            "When it is full it takes no more writes: read models stand still, and reads come from PostgreSQL, slower.",
            "raise maxmemory, or set TURNLOG_VIEW_IDLE_S so that idle sessions leave (they come back from PostgreSQL), "
            "or lower TURNLOG_RECENT_TURNS and `turnlog rebuild`",
            "redis",
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
