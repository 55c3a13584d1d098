"""The end of a run: the logs as they stand in PostgreSQL, JetStream held to them, the read models verified and rebuilt.

Goes around the proxies. Called by `run.py` when everything is healed and quiet.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson

from faults.check import RETRACTED, FinalLog, Finding, LogRow
from turnlog_bus import Bus, StreamName
from turnlog_events.event import Event
from turnlog_eventstore import Store
from turnlog_projector.rebuild import rebuild
from turnlog_projector.verify import verify
from turnlog_views import ViewWriter, WriterSettings

PAGE_EVENTS = 2_000
TAIL_EVENTS, SAMPLED_EVENTS = 200, 200
RELAYED_S = 10.0


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Store]:
    """A store of our own."""
    store = await Store.open(dsn)
    try:
        yield store
    finally:
        await store.close()


async def read_logs(store: Store, logs: Sequence[str]) -> FinalLog:
    """Every event of the logs."""
    rows: list[LogRow] = []
    for log in logs:
        async for events in store.scan(log, 0, PAGE_EVENTS):
            rows += map(row_of, events)
    return FinalLog(rows)


def row_of(event: Event) -> LogRow:
    """What the checks need of an event."""
    hides = None
    if event.type == RETRACTED:
        payload = orjson.loads(event.payload)
        hides = (payload["from_version"], payload["to_version"])
    return LogRow(
        event.log, event.position, event.tenant, event.session_id, event.version, event.type, event.key,
        event.payload_sha256.hex(), event.chain_hash.hex(), hides,
    )  # fmt: skip


async def _ends(store: Store, bus: Bus, log: str) -> tuple[StreamName, int, int]:
    """The log's stream, where it ends, and the log's head read after that: a last summary may still come, so the relay
    has `RELAYED_S` to bring the two together."""
    deadline = time.monotonic() + RELAYED_S
    while True:
        before = await store.head(log)
        name = StreamName(log, before.incarnation)
        last = await bus.last_sequence(name) if before.position else 0
        head = (await store.head(log)).position
        if last >= head or time.monotonic() > deadline:
            return name, last, head
        await asyncio.sleep(0.1)


async def relayed(store: Store, bus: Bus, logs: Sequence[str], seed: int) -> list[Finding]:
    """JetStream ends where each log ends, and its sequence N holds position N (the newest events, and some others)."""
    findings: list[Finding] = []
    for log in logs:
        name, last, head = await _ends(store, bus, log)
        if last != head:
            findings.append(Finding("relay", log, f"JetStream ends at {last}, PostgreSQL at {head}"))
        for position in _positions(head, seed):
            stored = (await store.read_after(log, position - 1, 1))[0]
            message = await bus.event_at(name, position)
            if message is not None and (message.position, message.chain_hash) != (position, stored.chain_hash):
                what = f"sequence {position} holds position {message.position} of chain {message.chain_hash.hex()[:12]}"
                findings.append(Finding("relay", log, what))
            if message is None and position == head:
                findings.append(Finding("relay", log, f"sequence {position}, the last, is missing"))
    return findings


def _positions(end: int, seed: int) -> list[int]:
    newest = range(max(1, end - TAIL_EVENTS + 1), end + 1)
    older = range(1, newest.start)
    rng = random.Random(f"relayed/{seed}")
    return sorted({*newest, *rng.sample(older, min(SAMPLED_EVENTS, len(older)))})


async def verified(store: Store, redis_url: str, logs: Sequence[str], settings: WriterSettings) -> list[Finding]:
    """`turnlog verify` finds nothing, and a rebuild comes out byte for byte as the live read models."""
    findings: list[Finding] = []
    for log in logs:
        report = await verify(store, ViewWriter(redis_url, log, settings))
        findings += [
            Finding("verify", d.where, f"{d.what}: expected {d.expected}, found {d.found}") for d in report.differences
        ]
    for log in logs:
        rebuilt = await rebuild(store, ViewWriter(redis_url, log, settings), compare=True)
        findings += _compared(log, rebuilt.comparison)
    return findings


def _compared(log: str, comparison: Any) -> list[Finding]:
    if comparison is None:
        return [Finding("rebuild", log, "was not compared: the log never stood still")]
    named = [*comparison.differing, *comparison.missing]
    return [Finding("rebuild", log, f"session {session} differs from the live read model") for session in named]
