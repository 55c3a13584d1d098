"""A turn as every reader gets it: one JSON object, the same bytes from Redis, PostgreSQL and a rebuild.

The object is the log's part (version, turn_id, log, position, recorded_at, tokens) followed by the payload's own
fields, joined as bytes: the payload is not parsed to be served. `version` always comes first, so that a store can
read it from the head of the bytes.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from turnlog_events.event import Event, rfc3339
from turnlog_events.tokens import TOKENS_PER_MESSAGE, count_tokens
from turnlog_events.upcast import CURRENT, payload_of

VERSION_PREFIX = b'{"version":'


def turn_view(event: Event, payload: Mapping[str, Any], tokens: int) -> bytes:
    """The JSON bytes of a `MemoryTurnStored` event, given its parsed (current) payload and its tokens."""
    body = event.payload if event.schema_version == CURRENT[event.type] else orjson.dumps(payload)
    head = (
        f'{{"version":{event.version},"turn_id":"{event.key}","log":"{event.log}","position":{event.position},'
        f'"recorded_at":"{rfc3339(event.recorded_at_us)}","tokens":{tokens},'
    )
    return head.encode() + body[1:]


def view_of(event: Event) -> bytes:
    """Like `turn_view`, parsing the payload and counting the tokens itself."""
    payload = payload_of(event)
    return turn_view(event, payload, turn_tokens(payload))


def version_of(view: bytes) -> int:
    """The version at the head of a turn's bytes."""
    return int(view[len(VERSION_PREFIX) : view.index(b",", len(VERSION_PREFIX))])


def turn_tokens(payload: Mapping[str, Any]) -> int:
    """Tokens of one turn as a chat message: its text, name and tool calls, plus `TOKENS_PER_MESSAGE`."""
    texts, beside = counted_texts(payload)
    return sum(map(count_tokens, texts), beside)


def counted_texts(payload: Mapping[str, Any]) -> tuple[list[str], int]:
    """The texts of a turn whose tokens count, and how many tokens it has beside them."""
    content = payload["content"]
    texts, beside = [content if isinstance(content, str) else orjson.dumps(content).decode()], TOKENS_PER_MESSAGE
    if name := payload.get("name"):
        texts.append(name)
        beside += 1
    if calls := payload.get("tool_calls"):
        texts.append(orjson.dumps(calls).decode())
    return texts, beside
