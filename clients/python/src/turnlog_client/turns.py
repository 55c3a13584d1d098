"""One turn as the API takes it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from turnlog_client.ids import new_turn_id


def turn(
    role: str,
    content: str | Sequence[Mapping[str, Any]],
    *,
    name: str | None = None,
    agent_id: str | None = None,
    user_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    occurred_at: datetime | str | None = None,
    turn_id: str | None = None,
    tool_calls: Sequence[Mapping[str, Any]] | None = None,
    tool_call_id: str | None = None,
) -> dict[str, Any]:
    """A turn as a JSON object, for `store_many` and (with a `session_id` added) `load`.

    `role` is user, assistant, system or tool. A missing `turn_id` is made now: keep the object to repeat the turn.
    `occurred_at` needs a time zone. The server checks the rest.
    """
    when = occurred_at.isoformat() if isinstance(occurred_at, datetime) else occurred_at
    fields: dict[str, Any] = {
        "role": role,
        "content": content,
        "name": name,
        "agent_id": agent_id,
        "user_id": user_id,
        "metadata": metadata,
        "occurred_at": when,
        "turn_id": turn_id or new_turn_id(),
        "tool_calls": tool_calls,
        "tool_call_id": tool_call_id,
    }
    return {name: value for name, value in fields.items() if value is not None}


def with_turn_id(given: Mapping[str, Any]) -> dict[str, Any]:
    """The turn with an id: its own, or a fresh one."""
    return {**given, "turn_id": given.get("turn_id") or new_turn_id()}
