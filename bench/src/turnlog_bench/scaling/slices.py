"""One point of a curve: slices of load, ours and the yardstick's in turn, with what each process used."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import asyncpg

from turnlog_bench.figures import percentile
from turnlog_bench.orders import Order, Outcome
from turnlog_bench.process import MeasureFailed
from turnlog_bench.scaling.points import gathered
from turnlog_bench.scaling.sizes import Sizes
from turnlog_bench.stack import LOG, Snapshot, Stack, kind_of
from turnlog_bench.writes import counted_turns

SCRAPE_S = 5.0
_COMMITS, _COMMIT_S = "turnlog_append_commit_seconds_count", "turnlog_append_commit_seconds_sum"
Settle = Callable[[], Awaitable[object]]


async def append_slices(
    stack: Stack,
    sizes: Sizes,
    name: str,
    ours: Order,
    other: Order,
    logs: Sequence[str] = (LOG,),
    settle: Settle | None = None,
) -> dict[str, list[float]]:
    """A point of storing turns: `turns_per_s`, `yardstick_per_s`, `p50_ms` and `p99_ms` of a request, `commits_per_s`,
    `commit_ms`, `wal_bytes` per turn, `cpu_<process>_us` per turn, `cores_used`.

    With `settle` (waits until the followers have done the work of a slice) their CPU time is that of all of it.
    """
    found = []
    async with counted_turns(stack, logs) as acknowledged:
        for number in range(sizes.slices):
            before, commits, wal = stack.cpu(), await _commits(stack), await _wal_bytes(stack)
            outcome = await stack.load(replace(ours, prefix=f"{ours.prefix}-{number}"))
            commits_after, wal_after, loaded = await _commits(stack), await _wal_bytes(stack), stack.cpu()
            acknowledged.append(outcome.accepted * ours.turns)
            if settle is not None:
                await settle()
            turns = outcome.accepted * ours.turns
            span_s = ours.seconds + ours.warm_s
            made = commits_after[0] - commits[0]
            one = _of_load(outcome, ours.turns) | _cpu(before, stack.cpu(), turns)
            one |= {
                "commits_per_s": made / span_s,
                "commit_ms": 1e3 * (commits_after[1] - commits[1]) / made,
                "wal_bytes": (wal_after - wal) / turns,
                "cores_used": sum(_difference(before, loaded).values()) / span_s + outcome.cpu_share,
            }
            found.append(one | await _yardstick(stack, other))
    return _told(stack, name, gathered(found), "turns_per_s")


async def read_slices(
    stack: Stack, sizes: Sizes, name: str, ours: Order, other: Order, *, redis: bool
) -> dict[str, list[float]]:
    """A point of reading: `reads_per_s` and the rest as for appending. Every answer must come from Redis, or none."""
    found = []
    for number in range(sizes.slices):
        before = stack.cpu()
        outcome = await stack.load(replace(ours, prefix=f"{ours.prefix}-{number}"))
        used = _difference(before, stack.cpu())
        if outcome.off_redis != (0 if redis else outcome.accepted):
            raise MeasureFailed(f"{name}: {outcome.off_redis} of {outcome.accepted} reads did not come from Redis")
        one = _of_load(outcome, 1)
        one["reads_per_s"] = one.pop("turns_per_s")
        one |= {f"cpu_{process}_us": 1e6 * s / outcome.accepted for process, s in used.items()}
        one["cores_used"] = sum(used.values()) / (ours.seconds + ours.warm_s) + outcome.cpu_share
        found.append(one | await _yardstick(stack, other))
    return _told(stack, name, gathered(found), "reads_per_s")


def _of_load(outcome: Outcome, turns: int) -> dict[str, float]:
    if not outcome.latencies_ms:
        raise MeasureFailed("no request was answered within a slice: the machine is too busy, or the slice too short")
    return {
        "turns_per_s": outcome.per_s * turns,
        "p50_ms": percentile(outcome.latencies_ms, 0.5),
        "p99_ms": percentile(outcome.latencies_ms, 0.99),
        "load_cores": outcome.cpu_share,
    }


async def _yardstick(stack: Stack, other: Order) -> dict[str, float]:
    """The yardstick's slice. The followers get no CPU: work that they still have must not slow it and flatter us."""
    stack.pause_followers()
    try:
        return {"yardstick_per_s": (await stack.load(other)).per_s}
    finally:
        stack.resume_followers()


def _difference(before: Snapshot, after: Snapshot) -> Snapshot:
    return {name: max(0.0, total - before.get(name, 0.0)) for name, total in after.items()}


def _cpu(before: Snapshot, after: Snapshot, turns: int) -> dict[str, float]:
    return {f"cpu_{name}_us": 1e6 * s / max(1, turns) for name, s in _difference(before, after).items()}


def _told(stack: Stack, name: str, measured: dict[str, list[float]], what: str) -> dict[str, list[float]]:
    pairs = zip(measured[what], measured["yardstick_per_s"], strict=True)
    stack.say(f"{name}: " + ", ".join(f"{ours:,.0f}/{other:,.0f}" for ours, other in pairs))
    return measured


async def _commits(stack: Stack) -> tuple[float, float]:
    """How many append transactions all ingest replicas have made, and their seconds."""
    pages = [await scraped(stack.ports[name]) for name in stack.processes if kind_of(name) == "ingest"]
    return sum(summed(page, _COMMITS) for page in pages), sum(summed(page, _COMMIT_S) for page in pages)


async def _wal_bytes(stack: Stack) -> float:
    connection = await asyncpg.connect(stack.servers.postgres_dsn)
    try:
        return float(await connection.fetchval("select pg_current_wal_lsn() - '0/0'::pg_lsn"))
    finally:
        await connection.close()


async def scraped(port: int) -> str:
    """The metrics page of a process."""
    async with asyncio.timeout(SCRAPE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET /metrics HTTP/1.1\r\nhost: bench\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
            return (await reader.readexactly(length)).decode()
        finally:
            writer.close()


def summed(page: str, name: str) -> float:
    """A metric of a page, all its labels together. Raises LookupError when the page does not know it."""
    rows = [line for line in page.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    if f"# TYPE {name.removesuffix('_count').removesuffix('_sum')} " not in page:
        raise LookupError(f"no metric {name}")
    return sum(float(line.rsplit(" ", 1)[1]) for line in rows)
