"""What a message costs in tokens: the counting rule that every budget and every answer uses.

OpenAI's counting recipe with the bundled encoding (`turnlog_events.tokens`): the text (content that is a
list counts as its JSON), the name plus one, tool calls and call ids as JSON, and `TOKENS_PER_MESSAGE` for
each message.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from turnlog_events.tokens import TOKENS_PER_MESSAGE, count_tokens


def message_tokens(message: Mapping[str, Any]) -> int:
    """Tokens of one chat message in OpenAI's or Anthropic's form."""
    content = message.get("content")
    tokens = TOKENS_PER_MESSAGE + content_tokens("" if content is None else content)
    if name := message.get("name"):
        tokens += count_tokens(name) + 1
    if calls := message.get("tool_calls"):
        tokens += count_tokens(orjson.dumps(calls).decode())
    if call_id := message.get("tool_call_id"):
        tokens += count_tokens(call_id)
    return tokens


def content_tokens(content: str | list[Any]) -> int:
    """Tokens of a message's content alone."""
    return count_tokens(content if isinstance(content, str) else orjson.dumps(content).decode())
