"""Turns as the context builder sees them: what was said, which tools were called, which call a result
answers.

Enters: a turn's JSON bytes as served. Leaves: one or more `Said`. Two ways of writing tools down are
understood: OpenAI's (`tool_calls` on an assistant turn, `tool_call_id` on a tool turn) and Anthropic's
(`tool_use` and `tool_result` blocks inside `content`); both become the same `Call` and `answers`, so that
each form can be rendered from either.
"""

from dataclasses import dataclass
from typing import Any

import orjson

Content = str | list[dict[str, Any]]

TEXT_KINDS = frozenset({"text", "input_text", "output_text"})


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool. `arguments` is JSON text; `raw` is the call as stored when it came in OpenAI's
    form."""

    id: str
    name: str
    arguments: str
    raw: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a turn. A tool's result has the id of its call in `answers`; `at` is RFC 3339 or
    empty."""

    version: int
    role: str
    content: Content
    name: str | None = None
    at: str = ""
    calls: tuple[Call, ...] = ()
    answers: str | None = None

    @property
    def empty(self) -> bool:
        """Nothing would be left to show."""
        return not self.content and not self.calls and self.answers is None

    @property
    def blank(self) -> bool:
        """Nothing can be read in it: it is empty, or its content is blocks of empty text."""
        return not self.calls and self.answers is None and not _shows(self.content)


def said_of(view: bytes) -> list[Said]:
    """The messages of one turn, in the order said: a turn that answers calls and also speaks becomes
    several. Only an assistant calls tools, as in both chat APIs: what looks like a call in another role is
    text."""
    turn = orjson.loads(view)
    version, role, content = turn["version"], turn["role"], turn["content"]
    name, at = turn.get("name"), turn.get("occurred_at") or ""
    if role == "tool" and isinstance(turn.get("tool_call_id"), str):
        return [Said(version, "tool", content, name, at, answers=turn["tool_call_id"])]
    may_call = role == "assistant"
    asked = turn.get("tool_calls") or ()
    calls = [call for item in asked if may_call and (call := _openai_call(item))]
    if asked and not may_call:
        content = [*_blocks_of(content), *map(_as_text, asked)]
    results: list[Said] = []
    if isinstance(content, list):
        rest: list[dict[str, Any]] = []
        for block in content:
            if call := _anthropic_call(block):
                calls += [call] if may_call else []
                rest += [] if may_call else [_as_text(block)]
            elif block.get("type") == "tool_result" and isinstance(block.get("tool_use_id"), str):
                inner = _result_content(block.get("content"))
                results.append(Said(version, "tool", inner, None, at, answers=block["tool_use_id"]))
            else:
                rest.append(block)
        content = rest
    unique = tuple({call.id: call for call in calls}.values())
    spoken = Said(version, role, content, name, at, unique)
    return results if results and spoken.empty else [*results, spoken]


def plain_text(content: Content) -> str:
    """The content as one text: text blocks as they are, other blocks as JSON."""
    if isinstance(content, str):
        return content
    return "\n".join(
        block["text"] if isinstance(block.get("text"), str) else orjson.dumps(block).decode() for block in content
    )


def _shows(content: Content) -> bool:
    """Whether there is anything in the content but blocks of empty text."""
    if isinstance(content, str):
        return bool(content)
    return any(block.get("type") not in TEXT_KINDS or block.get("text") != "" for block in content)


def _blocks_of(content: Content) -> list[dict[str, Any]]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []


def _as_text(item: Any) -> dict[str, Any]:
    return {"type": "text", "text": orjson.dumps(item).decode()}


def _openai_call(item: Any) -> Call | None:
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        return None
    function = item.get("function")
    function = function if isinstance(function, dict) else {}
    arguments = function.get("arguments", "{}")
    if not isinstance(arguments, str):
        arguments = orjson.dumps(arguments).decode()
    return Call(item["id"], str(function.get("name", "")), arguments, item)


def _anthropic_call(block: dict[str, Any]) -> Call | None:
    if block.get("type") != "tool_use" or not isinstance(block.get("id"), str):
        return None
    return Call(block["id"], str(block.get("name", "")), orjson.dumps(block.get("input", {})).decode())


def _result_content(content: Any) -> Content:
    """A `tool_result`'s content: text, blocks, or nothing; anything else as its JSON text."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(block, dict) for block in content):
        return content
    return orjson.dumps(content).decode()
