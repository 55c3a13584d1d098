"""Stored turns as the compressor reads them: a turn's event becomes a `Piece`, its text and its estimated size.

Tokens are estimated from bytes here and nowhere counted: the policy (which sees every turn of a log go by) and the
plan must agree on when a window is full, on every machine and in every release, and an encoder would cost both.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from turnlog_compressor.source import SourceTurn
from turnlog_events.event import Event, rfc3339
from turnlog_events.upcast import payload_of

BYTES_PER_TOKEN = 4
TURN_OVERHEAD_TOKENS = 4
CALL_ARGUMENTS_CHARS = 200

Range = tuple[int, int]
"""Versions from..to, both inclusive."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One visible turn and its estimated size in tokens."""

    turn: SourceTurn
    tokens: int

    @property
    def version(self) -> int:
        """The turn's version."""
        return self.turn.version


def piece_of(event: Event) -> Piece:
    """The turn in a `MemoryTurnStored` event. `at` is when it was said, or else when it was stored."""
    assert event.version is not None, "a turn has a version"
    payload = payload_of(event)
    text = text_of(payload)
    at = payload.get("occurred_at") or rfc3339(event.recorded_at_us)
    turn = SourceTurn(event.version, payload["role"], payload.get("name") or "", text, at)
    return Piece(turn, estimated_tokens(text))


def estimated_tokens(text: str) -> int:
    """About how many tokens a turn of this text is worth."""
    return TURN_OVERHEAD_TOKENS + len(text.encode()) // BYTES_PER_TOKEN


def text_of(payload: Mapping[str, Any]) -> str:
    """What was said in a turn: its texts, its calls of tools by name, and other blocks by their type alone (a
    picture's bytes tell a summary nothing)."""
    content = payload["content"]
    parts = [content] if isinstance(content, str) else [_block_text(block) for block in content]
    parts += [_call_text(call) for call in payload.get("tool_calls") or ()]
    return "\n".join(part for part in parts if part)


def _block_text(block: Mapping[str, Any]) -> str:
    if isinstance(text := block.get("text"), str):
        return text
    if block.get("type") == "tool_use":
        return _call(block.get("name"), block.get("input"))
    inner = block.get("content")
    if isinstance(inner, str):
        return inner
    if isinstance(inner, list):
        return "\n".join(_block_text(item) for item in inner if isinstance(item, Mapping))
    return f"[{block.get('type', 'block')}]"


def _call_text(call: Any) -> str:
    function = call.get("function") if isinstance(call, Mapping) else None
    return _call(function.get("name"), function.get("arguments")) if isinstance(function, Mapping) else ""


def _call(name: Any, arguments: Any) -> str:
    given = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    return f"[calls {name} with {given[:CALL_ARGUMENTS_CHARS]}]"


def visible_ranges(from_version: int, to_version: int, hidden: Iterable[Range]) -> list[Range]:
    """What is left of from..to without the hidden ranges, in order."""
    left: list[Range] = []
    start = from_version
    for first, last in sorted(hidden):
        if last < start:
            continue
        if first > to_version:
            break
        if first > start:
            left.append((start, first - 1))
        start = last + 1
    if start <= to_version:
        left.append((start, to_version))
    return left


def visible_count(from_version: int, to_version: int, hidden: Iterable[Range]) -> int:
    """How many versions of from..to are not hidden."""
    return sum(last - first + 1 for first, last in visible_ranges(from_version, to_version, hidden))
