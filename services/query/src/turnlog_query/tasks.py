"""GET /v1/tasks/{task_id}: what became of a compression that was asked for, from PostgreSQL.

`done` means readable: the answer waits, bounded, until reads show the summary.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from turnlog_events import event as ev
from turnlog_events.event import Event, rfc3339
from turnlog_events.upcast import payload_of
from turnlog_query.answer import Answer
from turnlog_query.deps import QueryDeps
from turnlog_runtime.problems import Problem

_ENDS = {ev.COMPRESSION_FAILED: "failed", ev.COMPRESSION_SKIPPED: "skipped"}


async def task_of(deps: QueryDeps, tenant: str, task_id: str) -> Answer:
    """The state of a task. Raises 404 `task_not_found`."""
    started = await deps.store.task_started(tenant, task_id)
    events = await deps.store.task_events(tenant, task_id)
    requested = next((e for e in events if e.type == ev.COMPRESSION_REQUESTED), None)
    if requested is None:
        raise Problem(404, "task_not_found", f"task {task_id} does not exist", "task_id")
    fields = task_fields(task_id, requested, events, started)
    if fields["summary"] is not None:
        position = fields["summary"]["position"]
        reading = await deps.reading(tenant)
        await reading.settle(tenant, requested.session_id, position, deps.limits.task_settle_s)
    return Answer(orjson.dumps(fields))


def task_fields(task_id: str, requested: Event, events: Sequence[Event], started: bool) -> dict[str, Any]:
    """The answer for a task from the event that asked for it, all events of the task in order, and whether a
    compressor has taken it up."""
    fields: dict[str, Any] = {
        "task_id": task_id,
        "state": "running" if started else "queued",
        "session_id": requested.session_id,
        "up_to_version": payload_of(requested)["up_to_version"],
        "requested_at": rfc3339(requested.recorded_at_us),
        "ended_at": None,
        "reason": None,
        "summary": None,
    }
    for event in events:
        payload = payload_of(event)
        if payload.get("task_id") != task_id:
            continue
        if event.type == ev.SUMMARIZED:
            summary = {name: payload[name] for name in ("from_version", "to_version", "level", "revision")}
            found = {"event_id": event.event_id, "position": event.position, **summary}
            return fields | {"state": "done", "ended_at": rfc3339(event.recorded_at_us), "summary": found}
        if event.type in _ENDS:
            ended = rfc3339(event.recorded_at_us)
            return fields | {"state": _ENDS[event.type], "ended_at": ended, "reason": payload["reason"]}
    return fields
