"""A message of pydantic-ai → what is read of it, and its JSON; and back. Pure."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic_ai.messages import (
    BinaryContent,
    CompactionPart,
    FilePart,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    RetryPromptPart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from turnlog_client.frameworks.shown import Shown, ShownCall, ShownResult


def message_json(message: ModelMessage) -> Any:
    """The message as the JSON object that pydantic-ai itself stores it as."""
    return json.loads(ModelMessagesTypeAdapter.dump_json([message]))[0]


def message_of(stored: Any) -> ModelMessage:
    """The message that `message_json` gave the object of."""
    return ModelMessagesTypeAdapter.validate_json(json.dumps([stored]))[0]


def again(stored: Any) -> Any:
    """The JSON of the message of a JSON object."""
    return message_json(message_of(stored))


def shown(message: ModelMessage) -> Shown:
    """What is read of a message. System prompts and instructions are shown only where nothing else is said: they belong
    to the agent's code, not to the conversation. Thinking is not shown."""
    return _request(message) if isinstance(message, ModelRequest) else _response(message)


def _request(message: ModelRequest) -> Shown:
    texts: list[str] = []
    results: list[ShownResult] = []
    for part in message.parts:
        if isinstance(part, UserPromptPart):
            texts += _prompt(part)
        elif isinstance(part, ToolReturnPart):
            results.append(ShownResult(part.tool_call_id, part.model_response_str()))
        elif isinstance(part, RetryPromptPart) and part.tool_name is not None:
            results.append(ShownResult(part.tool_call_id, part.model_response()))
        elif isinstance(part, RetryPromptPart):
            texts.append(part.model_response())
    if texts or results:
        return Shown("user", tuple(texts), results=tuple(results))
    return Shown("system", tuple(part.content for part in message.parts if isinstance(part, SystemPromptPart)))


def _prompt(part: UserPromptPart) -> Iterator[str]:
    for item in [part.content] if isinstance(part.content, str) else part.content:
        if isinstance(item, str):
            yield item
        elif isinstance(item, BinaryContent):
            yield f"[{item.media_type}, {len(item.data)} bytes]"
        elif (url := getattr(item, "url", None)) is not None:
            yield f"[{url}]"
        elif isinstance(text := getattr(item, "content", None), str):
            yield text


def _response(message: ModelResponse) -> Shown:
    texts: list[str] = []
    calls: list[ShownCall] = []
    for part in message.parts:
        if isinstance(part, TextPart | CompactionPart) and part.content:
            texts.append(part.content)
        elif isinstance(part, FilePart):
            texts.append(f"[{part.content.media_type}, {len(part.content.data)} bytes]")
        elif isinstance(part, ToolCallPart):
            calls.append(ShownCall(part.tool_call_id, part.tool_name, part.args_as_json_str()))
    return Shown("assistant", tuple(texts), tuple(calls))
