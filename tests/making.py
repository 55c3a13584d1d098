"""Makers of logs, events and requests for tests."""

import uuid
from typing import Any

import asyncpg

from turnlog_events.canonical import canonical
from turnlog_events.event import TURN_STORED, NewEvent
from turnlog_events.hashing import payload_hash
from turnlog_events.ids import new_id
from turnlog_eventstore import AppendRequest


async def new_log(owner_dsn: str) -> str:
    """A fresh, empty log."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    connection = await asyncpg.connect(owner_dsn)
    try:
        await connection.execute("insert into turnlog.logs (log) values ($1)", name)
    finally:
        await connection.close()
    return name


def turn(tenant: str, session_id: str, content: str = "hello", key: str | None = None, **fields: Any) -> NewEvent:
    """A turn to be appended."""
    payload = canonical({"role": "user", "content": content, **fields})
    return NewEvent(
        tenant=tenant,
        session_id=session_id,
        type=TURN_STORED,
        key=key or new_id(),
        payload=payload,
        payload_sha256=payload_hash(payload),
        event_id=new_id(),
        agent_id=fields.get("agent_id"),
        user_id=fields.get("user_id"),
    )


def mark(tenant: str, session_id: str, event_type: str, key: str, payload: dict[str, Any], **more: Any) -> NewEvent:
    """An event that is not a turn."""
    data = canonical(payload)
    return NewEvent(tenant, session_id, event_type, key, data, payload_hash(data), new_id(), **more)


def request(*events: NewEvent, expected: int | None = None) -> AppendRequest:
    """An append request of these events."""
    return AppendRequest(tuple(events), expected)
