"""A turn as every reader gets it: one JSON object, the same bytes from Redis, PostgreSQL and a rebuild.

The object is the log's part (version, turn_id, log, position, recorded_at, tokens) followed by the payload's own
fields, joined as bytes: the payload is not parsed to be served. `version` always comes first, so that a store can
read it from the head of the bytes.
"""

from typing import Any

import orjson

from turnlog_events.event import Event, rfc3339
from turnlog_events.tokens import TOKENS_PER_MESSAGE, count_tokens
from turnlog_events.upcast import CURRENT, payload_of

VERSION_PREFIX = b'{"version":'


def turn_view(event: Event, payload: dict[str, Any]) -> bytes:
    """The JSON bytes of a `MemoryTurnStored` event, given its parsed (current) payload."""
    body = event.payload if event.schema_version == CURRENT[event.type] else orjson.dumps(payload)
    head = (
        f'{{"version":{event.version},"turn_id":"{event.key}","log":"{event.log}","position":{event.position},'
        f'"recorded_at":"{rfc3339(event.recorded_at_us)}","tokens":{turn_tokens(payload)},'
    )
    return head.encode() + body[1:]


def view_of(event: Event) -> bytes:
    """Like `turn_view`, parsing the payload itself."""
    return turn_view(event, payload_of(event))


def version_of(view: bytes) -> int:
    """The version at the head of a turn's bytes."""
    return int(view[len(VERSION_PREFIX) : view.index(b",", len(VERSION_PREFIX))])


def turn_tokens(payload: dict[str, Any]) -> int:
    """Tokens of one turn as a chat message: its text, name and tool calls, plus `TOKENS_PER_MESSAGE`."""
    content = payload["content"]
    text = content if isinstance(content, str) else orjson.dumps(content).decode()
    tokens = count_tokens(text) + TOKENS_PER_MESSAGE
    if name := payload.get("name"):
        tokens += count_tokens(name) + 1
    if calls := payload.get("tool_calls"):
        tokens += count_tokens(orjson.dumps(calls).decode())
    return tokens
