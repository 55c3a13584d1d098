"""The context as messages of OpenAI's chat completions (and of the many servers that speak its form)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from turnlog_query.context.price import message_tokens
from turnlog_query.context.said import Said
from turnlog_query.context.summary_label import LabelledSummary

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]+")
NAME_MAX_CHARS = 64
UNCALLED = "Result of a tool, stored without the id of its call: "


def render(summary: LabelledSummary | None, items: Sequence[Said], gap: bool) -> dict[str, Any]:
    """`{"messages": […]}`. Names are reduced to what the API admits."""
    messages = [{"role": "user", "content": summary.labelled()}] if summary else []
    return {"messages": [*messages, *map(_message, items)]}


def tokens(fields: Mapping[str, Any]) -> int:
    """Tokens of all messages."""
    return sum(map(message_tokens, fields["messages"]))


def price(said: Said) -> int:
    """Tokens of one message; exact, for messages do not touch each other."""
    return message_tokens(_message(said))


def api_name(name: str) -> str:
    """`name` in the characters and length that the API admits; may be empty."""
    return _NOT_IN_NAMES.sub("_", name).strip("_")[:NAME_MAX_CHARS]


def _message(said: Said) -> dict[str, Any]:
    if said.answers is not None:
        return {"role": "tool", "tool_call_id": said.answers, "content": said.content or ""}
    if said.role == "tool":
        # The API refuses a tool message without a call id; as `user` it keeps its content and no authority.
        content = [{"type": "text", "text": UNCALLED}, *said.content] if isinstance(said.content, list) else None
        return {"role": "user", "content": content or f"{UNCALLED}{said.content}"}
    message: dict[str, Any] = {"role": said.role, "content": said.content or ""}
    if said.name and (name := api_name(said.name)):
        message["name"] = name
    if said.calls:
        message["tool_calls"] = [
            call.raw
            or {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in said.calls
        ]
    return message
