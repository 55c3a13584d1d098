"""PostgreSQL: what was seen → findings. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from turnlog_cli.diagnosis.findings import Finding, bad, duration, note, size, well

OLDEST_MAJOR = 14
OLD_TRANSACTION_S, VERY_OLD_TRANSACTION_S = 300.0, 3_600.0
SKEW_S, BAD_SKEW_S = 2.0, 30.0
FULL_CONNECTIONS, NEARLY_FULL_CONNECTIONS = 0.95, 0.8
RETAINED_BYTES, BAD_RETAINED_BYTES = 1 << 30, 16 << 30
OLD_XIDS, VERY_OLD_XIDS = 1_000_000_000, 1_800_000_000
SUBJECT = "PostgreSQL"


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot: what its reader has not taken yet."""

    name: str
    active: bool
    retained_bytes: int
    lost: bool = False


@dataclass(frozen=True, slots=True)
class PostgresSeen:
    """What the owner's connection shows. `None` for what this user may not see."""

    version_num: int
    version: str
    schema: str | None
    newest_schema: str
    settings: dict[str, str]
    in_recovery: bool
    skew_s: float
    connections: int
    oldest_transaction_s: float | None = None
    oldest_transaction: str = ""
    prepared: int = 0
    oldest_prepared_s: float = 0.0
    slots: tuple[Slot, ...] = ()
    sync_standbys: int = 0
    xid_age: int = 0
    database_bytes: int = 0
    archive_failing: bool = False
    facts: dict[str, object] = field(default_factory=dict)


def judge_postgres(seen: PostgresSeen) -> list[Finding]:
    """What needs somebody first; one finding that says so where all is well."""
    found = [*_of_the_server(seen), *_schema(seen), *_durability(seen), *_room(seen), *_holding_back(seen)]
    connections = seen.settings.get("max_connections", "?")
    text = f"{seen.version}, schema {seen.schema or 'none'}, {size(seen.database_bytes)}"
    text += f", {seen.connections} of {connections} connections"
    about = {
        "version": seen.version,
        "schema": seen.schema,
        "newest_schema": seen.newest_schema,
        "database_bytes": seen.database_bytes,
        "connections": seen.connections,
        "clock_skew_s": round(seen.skew_s, 3),
    }
    durable = not [*_durability(seen)] and not seen.in_recovery
    return [well(SUBJECT, text + (", commits are durable" if durable else ""), **about), *found]


def _of_the_server(seen: PostgresSeen) -> Iterator[Finding]:
    if seen.version_num < OLDEST_MAJOR * 10_000:
        yield bad(
            SUBJECT,
            f"{seen.version} is older than {OLDEST_MAJOR}",
            "Services cannot keep a leadership there: read models and summaries stand still.",
            f"upgrade PostgreSQL to {OLDEST_MAJOR} or newer (18 is what is tested), then `turnlog migrate`",
            "postgresql",
        )
    if seen.in_recovery:
        yield bad(
            SUBJECT,
            "this server is a stand-by: it is read-only",
            "Writes are refused with 503; nothing is lost, clients may retry.",
            "point TURNLOG_DATABASE_URL at the primary, or promote this one if the primary is gone for good",
            "postgresql",
        )
    elif seen.settings.get("default_transaction_read_only") == "on":
        yield bad(
            SUBJECT,
            "default_transaction_read_only is on",
            "Writes are refused with 503; nothing is lost, clients may retry.",
            "find out who turned it on; then `alter system reset default_transaction_read_only` and "
            "`select pg_reload_conf()`",
            "postgresql",
        )
    if abs(seen.skew_s) >= SKEW_S:
        kind = bad if abs(seen.skew_s) >= BAD_SKEW_S else note
        way = "behind" if seen.skew_s > 0 else "ahead of"
        yield kind(
            "clock",
            f"this machine's clock is {duration(abs(seen.skew_s))} {way} PostgreSQL's",
            "The order of turns does not depend on clocks. Expiry of keys and tokens, idle sessions and ages in "
            "metrics are off by so much.",
            "set both by NTP (`timedatectl`, `chronyc tracking`)",
            "clocks",
            clock_skew_s=round(seen.skew_s, 3),
        )


def _schema(seen: PostgresSeen) -> Iterator[Finding]:
    if seen.schema == seen.newest_schema:
        return
    if seen.schema is not None and seen.schema > seen.newest_schema:
        yield note(
            SUBJECT,
            f"schema {seen.schema} is newer than this release's {seen.newest_schema}",
            "Each release runs on its own schema and the next one's: that is so during a deployment.",
            "finish the deployment: bring the newer release to every process",
            "replicas-and-deployments",
        )
        return
    yield bad(
        SUBJECT,
        f"schema {seen.schema or 'none'}, this release has {seen.newest_schema}",
        "Services of this release may fail at what the older schema does not know.",
        "run `turnlog migrate`; reads and writes may go on meanwhile",
        "replicas-and-deployments",
    )


def _durability(seen: PostgresSeen) -> Iterator[Finding]:
    weak = [n for n in ("fsync", "synchronous_commit", "full_page_writes") if seen.settings.get(n) == "off"]
    if weak:
        lines = "; ".join(f"alter system set {name} = on" for name in weak)
        yield bad(
            SUBJECT,
            f"runs with {', '.join(f'{name}=off' for name in weak)}",
            "Acknowledged turns can be lost in a power cut, or the whole database with them.",
            f"as superuser: {lines}; select pg_reload_conf(). Look into postgresql.conf if it stays off",
            "durability",
            weak=weak,
        )
    if seen.settings.get("synchronous_standby_names") and not seen.sync_standbys and not seen.in_recovery:
        yield bad(
            SUBJECT,
            "synchronous_standby_names is set, and no synchronous stand-by is connected",
            "Commits wait for it: writes end with 504 `outcome_unknown` after TURNLOG_DEADLINE_S.",
            "bring the stand-by back, or empty synchronous_standby_names and accept that one disk holds the truth",
            "durability",
        )
    if seen.archive_failing:
        yield bad(
            SUBJECT,
            "archiving WAL fails",
            "Backups by WAL end here, and WAL piles up on the disk until it is full.",
            "see `select * from pg_stat_archiver` and PostgreSQL's log; mend archive_command",
            "disk-room",
        )


def _room(seen: PostgresSeen) -> Iterator[Finding]:
    most = int(seen.settings.get("max_connections", "0") or 0) - int(
        seen.settings.get("superuser_reserved_connections", "0") or 0
    )
    if most > 0 and seen.connections >= NEARLY_FULL_CONNECTIONS * most:
        full = seen.connections >= FULL_CONNECTIONS * most
        yield (bad if full else note)(
            SUBJECT,
            f"{seen.connections} of {most} connections are taken",
            "A process that finds none cannot start or reconnect: it answers 503 until it does."
            if full
            else "When they are all taken, a process that starts or reconnects answers 503 until it finds one.",
            "raise max_connections, lower TURNLOG_DATABASE_CONNECTIONS (each process has so many, and one for its "
            "leaderships), or see who has them: `select usename, application_name, count(*) from pg_stat_activity "
            "group by 1, 2`",
            "connections",
        )


def _holding_back(seen: PostgresSeen) -> Iterator[Finding]:
    if seen.oldest_transaction_s is not None and seen.oldest_transaction_s >= OLD_TRANSACTION_S:
        worse = seen.oldest_transaction_s >= VERY_OLD_TRANSACTION_S
        yield (bad if worse else note)(
            SUBJECT,
            f"a transaction is open for {duration(seen.oldest_transaction_s)} ({seen.oldest_transaction})",
            "VACUUM cannot clean up behind it: tables and indexes grow, and reads get slower.",
            "end its program, or `select pg_terminate_backend(pid)` with the pid above",
            "transactions-that-stay-open",
        )
    if seen.prepared:
        worse = seen.oldest_prepared_s >= OLD_TRANSACTION_S
        yield (bad if worse else note)(
            SUBJECT,
            f"{seen.prepared} prepared transactions, the oldest for {duration(seen.oldest_prepared_s)}",
            "Turnlog makes none. They hold locks and VACUUM back, also over restarts.",
            "see `select * from pg_prepared_xacts`; end each by `rollback prepared 'gid'` or `commit prepared 'gid'`",
            "transactions-that-stay-open",
        )
    for slot in seen.slots:
        yield from _slot(slot)
    if seen.xid_age >= OLD_XIDS:
        yield (bad if seen.xid_age >= VERY_OLD_XIDS else note)(
            SUBJECT,
            f"its oldest row is {seen.xid_age:,} transactions old",
            "At 2.1 billion PostgreSQL takes no more writes, to protect what it holds.",
            "let autovacuum do its work: end what holds it back (above), then `vacuum freeze` in a quiet hour",
            "transactions-that-stay-open",
        )


def _slot(slot: Slot) -> Iterator[Finding]:
    if slot.lost:
        yield bad(
            SUBJECT,
            f"replication slot {slot.name} lost the WAL it needs",
            "Its stand-by cannot catch up any more; this server is not affected.",
            f"make the stand-by anew, then `select pg_drop_replication_slot('{slot.name}')`",
            "transactions-that-stay-open",
        )
    elif not slot.active and slot.retained_bytes >= RETAINED_BYTES:
        yield (bad if slot.retained_bytes >= BAD_RETAINED_BYTES else note)(
            SUBJECT,
            f"nobody reads replication slot {slot.name}; it keeps {size(slot.retained_bytes)} of WAL",
            "The WAL kept for it grows with every write until the disk is full; writes are refused then.",
            f"bring its reader back, or `select pg_drop_replication_slot('{slot.name}')`",
            "transactions-that-stay-open",
        )
