"""Clients that read: recent turns, their own writes, context, summary, head, tasks, the history as auditors."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from faults import client_turns as made
from faults.client import Client, Request
from faults.client_http import Answer
from faults.ground import Ground
from faults.record import ANSWERED, STALE, WRONG, AuditTrace, Call, Page, Sighting, Task, ranges_of

ENDED = ("done", "failed", "skipped")


async def reader(ground: Ground, client: Client, name: str) -> None:
    """Reads whatever was written lately, at the version that somebody was told of or without asking for one."""
    kinds: tuple[Callable[..., Any], ...] = (read_turns, read_turns, read_context, read_summary, read_head)
    while await ground.pause(client.rng, 0.1):
        sessions = ground.recent.get(client.tenant)
        if sessions:
            await client.rng.choice(kinds)(ground, client, client.rng.choice(sessions))


async def read_turns(ground: Ground, client: Client, session: str, own: bool = False) -> Call:
    """The newest turns; `own` asks for the version that was acknowledged."""
    limit = client.rng.choice((5, 20, 50))
    at_least = _at_least(ground, client, session) if own or client.rng.random() < 0.3 else 0
    query = f"limit={limit}" + (f"&min_version={at_least}" if at_least else "")

    def judge(call: Call, answer: Answer) -> Call:
        if answer.status != 200:
            return replace(call, outcome=WRONG)
        data = orjson.loads(answer.body)
        for turn in data["turns"]:
            ground.record.saw(sighting(call, turn))
        page = Page(data["version"], at_least, limit, ranges_of(turn["version"] for turn in data["turns"]))
        return _read(call, data, page)

    return await client.try_once(
        _get(_kind("turns", at_least), session, f"/turns?{query}", judge, _wait_s(ground, at_least))
    )


async def read_context(ground: Ground, client: Client, session: str) -> Call:
    """What to put into a prompt."""
    return await _read_object(ground, client, session, "context", "/context?max_tokens=2000")


async def read_summary(ground: Ground, client: Client, session: str) -> Call:
    """The rolling summary."""
    return await _read_object(ground, client, session, "summary", "/summary?")


async def read_head(ground: Ground, client: Client, session: str) -> Call:
    """The session's head."""
    return await client.try_once(_get("head", session, "", head_judge, wait_s=0.0))


def head_judge(call: Call, answer: Answer) -> Call:
    """What a session's head says."""
    return _judge(0)(call, answer)


async def _read_object(ground: Ground, client: Client, session: str, kind: str, target: str) -> Call:
    at_least = _at_least(ground, client, session) if client.rng.random() < 0.5 else 0
    target += f"&min_version={at_least}" if at_least else ""
    return await client.try_once(
        _get(
            _kind(kind, at_least),
            session,
            target.rstrip("?").replace("?&", "?"),
            _judge(at_least),
            _wait_s(ground, at_least),
        )
    )


async def auditor(ground: Ground, client: Client, name: str) -> None:
    """Reads the tenant's whole history page by page, over and over from where it is."""
    trace = AuditTrace(client.tenant, ground.logs[client.tenant])
    ground.record.audits.append(trace)

    def judge(call: Call, answer: Answer) -> Call:
        if answer.status != 200:
            return replace(call, outcome=WRONG)
        for event in orjson.loads(answer.body)["events"]:
            trace.events.append((event["position"], event["payload_sha256"], event["chain_hash"]))
        return replace(call, outcome=ANSWERED)

    while await ground.pause(client.rng, 0.5):
        after = trace.events[-1][0] if trace.events else 0
        target = f"/v1/logs/{trace.log}/events?after={after}&limit=300"
        await client.try_once(Request("audit", "", "GET", target, "audit", judge))


async def compression_asker(ground: Ground, client: Client, name: str) -> None:
    """Asks for compressions and watches each until it ends."""
    reads = ground.client(client.tenant, ground.query, f"{name}.tasks")
    number = 0
    while await ground.pause(client.rng, 3.0):
        if sessions := ground.recent.get(client.tenant):
            number += 1
            task = await ask_compression(
                ground, client, client.rng.choice(sessions), f"{client.tenant}.{name}.c{number}"
            )
            while task is not None and not task.state and await ground.pause(client.rng, 0.3):
                await read_task(reads, task)


async def ask_compression(ground: Ground, client: Client, session: str, task_id: str) -> Task | None:
    """Ask for one; None when its fate is unknown at the end of the run."""
    call = await client.persist(made.compression(session, task_id))
    if not call.placed:
        return None
    return ground.record.tasks.setdefault(task_id, Task(client.tenant, task_id, call.started_s))


async def read_task(client: Client, task: Task) -> None:
    """Look at a task; its end is noted."""

    def judge(call: Call, answer: Answer) -> Call:
        if answer.status != 200:
            return replace(call, outcome=WRONG)
        state = orjson.loads(answer.body)["state"]
        if state in ENDED and not task.state:
            task.state, task.ended_s = state, time.monotonic()
        return replace(call, outcome=ANSWERED)

    target = f"/v1/tasks/{task.task_id}"
    await client.try_once(Request("task", "", "GET", target, task.task_id, judge))


def sighting(call: Call, turn: dict[str, Any]) -> Sighting:
    """A turn as it was shown."""
    return Sighting(
        call.tenant, call.session, turn["version"], turn["turn_id"], turn["position"], made.shown_digest(turn),
        call.ended_s, f"{call.kind} at {call.replica}",
    )  # fmt: skip


def _get(kind: str, session: str, target: str, judge: Callable[[Call, Answer], Call], wait_s: float) -> Request:
    path = f"/v1/sessions/{session}{target}"
    return Request(kind, session, "GET", path, kind, judge, wait_s=wait_s)


def _judge(at_least: int) -> Callable[[Call, Answer], Call]:
    def judge(call: Call, answer: Answer) -> Call:
        if answer.status != 200:
            return replace(call, outcome=WRONG)
        data = orjson.loads(answer.body)
        return _read(call, data, Page(data["version"], at_least, 0, None))

    return judge


def _read(call: Call, data: dict[str, Any], page: Page) -> Call:
    return replace(call, outcome=STALE if data.get("stale") else ANSWERED, page=page, code=data.get("source", ""))


def _kind(kind: str, at_least: int) -> str:
    return f"{kind} at least" if at_least else kind


def _wait_s(ground: Ground, at_least: int) -> float:
    return ground.deadlines.wait_s if at_least else 0.0


def _at_least(ground: Ground, client: Client, session: str) -> int:
    return ground.acknowledged.get((client.tenant, session), 0)


__all__ = [
    "ENDED",
    "ask_compression",
    "auditor",
    "compression_asker",
    "head_judge",
    "read_task",
    "read_turns",
    "reader",
]
