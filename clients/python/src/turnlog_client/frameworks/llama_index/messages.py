"""LlamaIndex's messages → turns, and the turns of a session → messages. Pure.

A message that its role and text say whole is a turn without metadata; any other stands beside it:

    metadata.llama_index = {"item": …, "starts": true where all messages were replaced,
                            "status": "archived" where it was added so,
                            "archived_to": version at a turn that archives messages and holds none}
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock, ToolCallBlock

from turnlog_client import turn
from turnlog_client.frameworks.history import History
from turnlog_client.frameworks.items import facts_of, fitting, item_of, with_item
from turnlog_client.frameworks.shown import BLANK, Shown, ShownCall, ShownResult

FRAMEWORK = "llama_index"
ROLES = {
    MessageRole.USER: "user",
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}
"""Every other role is the assistant's."""


@dataclass(frozen=True)
class Kept:
    """A message and the version of its turn."""

    version: int
    message: ChatMessage
    archived: bool = False


def turn_of(message: ChatMessage, agent_id: str, *, starts: bool = False, archived: bool = False) -> dict[str, Any]:
    """The turn of a message; with `starts` nothing before it counts any more. Raises `TurnTooLarge`."""
    bare = turn(**shown(message).fields(), agent_id=agent_id)
    facts = ({"starts": True} if starts else {}) | ({"status": "archived"} if archived else {})
    item = message.model_dump(mode="json")
    if item == _plain(bare).model_dump(mode="json"):
        return fitting({**bare, "metadata": {FRAMEWORK: facts}} if facts else bare)
    return with_item(FRAMEWORK, bare, item, facts, _again)


def turns_of(
    messages: Sequence[ChatMessage], agent_id: str, *, starts: bool = False, archived: bool = False
) -> list[dict[str, Any]]:
    """The turns of messages; with `starts` they replace all before them."""
    return [
        turn_of(message, agent_id, starts=starts and index == 0, archived=archived)
        for index, message in enumerate(messages)
    ]


def archiving(to_version: int, agent_id: str) -> dict[str, Any]:
    """The turn that archives every message up to a version."""
    return {**turn("system", BLANK, agent_id=agent_id), "metadata": {FRAMEWORK: {"archived_to": to_version}}}


def kept(found: History) -> list[Kept]:
    """The messages that count, oldest first."""
    messages: list[Kept] = []
    archived_to = 0
    for stored in found.turns:
        facts = facts_of(FRAMEWORK, stored)
        if facts.get("starts"):
            messages = []
        if "archived_to" in facts:
            archived_to = max(archived_to, facts["archived_to"])
            continue
        item = item_of(FRAMEWORK, stored)
        message = _plain(stored) if item is None else ChatMessage.model_validate(item)
        messages.append(Kept(stored["version"], message, facts.get("status") == "archived"))
    return [Kept(m.version, m.message, m.archived or m.version <= archived_to) for m in messages]


def _again(item: Any) -> Any:
    return ChatMessage.model_validate(item).model_dump(mode="json")


def _plain(stored: Mapping[str, Any]) -> ChatMessage:
    """A message from what a turn shows."""
    content = stored["content"]
    texts = [content] if isinstance(content, str) else [b["text"] for b in content if isinstance(b.get("text"), str)]
    kwargs = {name: stored[name] for name in ("tool_calls", "tool_call_id") if name in stored}
    return ChatMessage(
        role=MessageRole(stored["role"]), blocks=[TextBlock(text=t) for t in texts], additional_kwargs=kwargs
    )


def shown(message: ChatMessage) -> Shown:
    """What is read of a message. Thinking is not shown."""
    texts: list[str] = []
    calls = [call for given in message.additional_kwargs.get("tool_calls") or () if (call := _call(given))]
    for block in message.blocks:
        if isinstance(block, TextBlock):
            texts.append(block.text)
        elif isinstance(block, ToolCallBlock):
            given = block.tool_kwargs
            arguments = given if isinstance(given, str) else json.dumps(given, default=str)
            calls.append(ShownCall(block.tool_call_id or "", block.tool_name, arguments))
        elif block.block_type not in ("thinking", "cache"):
            texts.append(f"[{block.block_type}]")
    role = ROLES.get(message.role, "assistant")
    answers = message.additional_kwargs.get("tool_call_id")
    if role == "tool" and isinstance(answers, str):
        return Shown("tool", results=(ShownResult(answers, "\n".join(texts)),))
    return Shown(role, tuple(texts), tuple({call.id: call for call in calls}.values()))


def _call(given: Any) -> ShownCall | None:
    """A call in OpenAI's form, as an object or a dictionary."""
    call = given if isinstance(given, dict) else getattr(given, "model_dump", dict)()
    function = call.get("function")
    if not isinstance(call.get("id"), str) or not isinstance(function, dict):
        return None
    arguments = function.get("arguments", "{}")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, default=str)
    return ShownCall(call["id"], str(function.get("name", "")), text)
